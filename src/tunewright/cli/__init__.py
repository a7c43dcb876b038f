"""From words to calls: one module a noun, no logic."""
