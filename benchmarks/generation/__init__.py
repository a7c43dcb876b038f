"""Parts of ``benchmarks/generation.py``: its model, the ways to ask it, its roof, its tables."""
