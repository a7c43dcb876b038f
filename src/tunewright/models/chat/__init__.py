"""Chat models: their families, tokenizers and templates, and which tokens of a row carry loss."""
