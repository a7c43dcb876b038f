"""From a ``Dataset`` and a base to a ``Candidate``."""
