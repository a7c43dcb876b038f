"""Let ``python -m tunewright`` be the command line."""

from tunewright.cli.app import main

if __name__ == "__main__":
    main()
