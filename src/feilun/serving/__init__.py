"""Serving: an engine in a supervised process of its own, reached over loopback HTTP.

The room knows how an engine's process starts, speaks and comes back after a crash. It does not know workspaces, keys,
routes or exams: whoever holds the engine asks it.
"""

from feilun.serving.start import start_engine

__all__ = ["start_engine"]
