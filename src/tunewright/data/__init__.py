"""From a source to a versioned ``Dataset``: read, clean, validate, split, describe."""
