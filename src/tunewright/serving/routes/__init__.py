"""The routes, one subject a module; each gives its endpoints as data."""
