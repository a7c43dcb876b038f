"""The runtimes that come with tunewright, one package each; every one imports its libraries when it is used."""
