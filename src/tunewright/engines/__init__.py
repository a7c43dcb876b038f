"""Engines: a model version becomes something that answers fast, proven to be the same model."""
