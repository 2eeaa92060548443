"""Feilun (飞轮, flywheel): an organisation's own files become a proven, served model of its own."""

__version__ = "0.1.0"
