"""Base models: named choices, tokenizer checks, loading, adapters, and the classifier that all else uses."""
