"""Recipes from other tools' fine-tuning configurations, with what became of every key."""
