"""Engines: who produces tokens. One small seam, several makers behind it.

The room knows model files, chat templates, decoding and adapters. It does not know workspaces, keys, datasets, jobs or
exams, and it does not know processes or HTTP: the room ``serving`` gives an engine a process of its own.
"""

from feilun.engines.seam import Delta, Engine, Request

__all__ = ["Delta", "Engine", "Request"]
