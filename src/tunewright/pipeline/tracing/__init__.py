"""Lineage both ways: from a version to its rows, and from a row to all that it went into."""
