"""Conversations, completions, preferences and plain text: what causal language models learn from."""
