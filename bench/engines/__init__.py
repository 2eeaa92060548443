"""Engines on the same model and prompts: ``python bench/engines``."""
