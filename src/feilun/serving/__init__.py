"""Serving: engines in supervised processes of their own, reached over loopback HTTP in the shape of OpenAI's API.

The room knows how engines' processes start, speak, share the memory and come back after a crash. It does not know
workspaces, keys, routes or exams: whoever holds an engine asks it.
"""

from feilun.serving.start import start_engine

__all__ = ["start_engine"]
