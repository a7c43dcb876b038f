"""From a base name to a checked tokenizer and model."""
