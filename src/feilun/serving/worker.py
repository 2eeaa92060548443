"""The torch engine as a process of its own: ``python -m feilun.serving.worker --base FOLDER``.

It listens on a free loopback port and says which on stdout: ``{"ready": {"port": …}}``. It never outlives whoever
started it, and answers only those who hold the token from its environment. It knows how the process begins and ends. It
does not know what is asked of it: the face does.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from feilun.compute import die_with_parent, say_failure
from feilun.engines.batch import Batcher
from feilun.engines.grammar import Grammars
from feilun.errors import FeilunError
from feilun.serving.client import TOKEN_VARIABLE
from feilun.serving.face import Face, listen_and_serve
from feilun.serving.local import BatchEngine


def main() -> int:
    """Load, listen, say so, serve."""
    parser = argparse.ArgumentParser(description="Serve one base model and its adapters on a loopback port.")
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    die_with_parent()
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        engine = BatchEngine(given.base, Batcher(given.base, given.slots, given.context, Grammars))
    except FeilunError as error:
        say_failure(error)
        return error.exit_code
    token = os.environ.pop(TOKEN_VARIABLE, "")
    return listen_and_serve(Face(engine, token, engine.batcher.context, str(given.base)))


if __name__ == "__main__":
    raise SystemExit(main())
