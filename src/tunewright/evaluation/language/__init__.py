"""Causal language models on the same rows: their answers measured, compared, judged and shown side by side."""
