"""Parts of ``benchmarks/serving.py``: the servers that are compared, how they are run and measured, the tables."""
