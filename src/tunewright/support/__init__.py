"""The few small things that every room needs: errors, paths, files, digests, console, environment."""
