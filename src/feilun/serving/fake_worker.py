"""An engine without a model as a process of its own: ``python -m feilun.serving.fake_worker``.

For trials and load tests: it begins in a moment, bears thousands of streams, and counts exactly what it made. It takes
the arguments of the torch worker and does not know what they are for, nor any model.
"""

from __future__ import annotations

import argparse
import os
import random

from feilun.compute import die_with_parent
from feilun.engines.fake import FakeEngine
from feilun.records import ModelVersion
from feilun.serving.client import TOKEN_VARIABLE
from feilun.serving.face import Face, listen_and_serve


def main() -> int:
    """Listen, say so, serve."""
    parser = argparse.ArgumentParser(description="Serve an engine without a model on a loopback port.")
    parser.add_argument("--model", action="append", default=[], help="a model that is loaded from the beginning")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two words")
    parser.add_argument("--failures", type=float, default=0.0, help="share of calls that break off (0-1)")
    parser.add_argument("--seed", type=int, default=0, help="decides which calls break off, and where")
    parser.add_argument("--context", type=int, default=2048)
    for ignored in ("--base", "--slots", "--threads"):
        parser.add_argument(ignored, default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    die_with_parent()
    engine = FakeEngine(context=given.context)
    engine.pause, engine.failures, engine.random = given.pause, given.failures, random.Random(given.seed)
    for model in given.model:
        engine.loaded[model] = ModelVersion(model, "", model, "base", "", "", {}, created=0.0)
    return listen_and_serve(Face(engine, os.environ.pop(TOKEN_VARIABLE, ""), given.context))


if __name__ == "__main__":
    raise SystemExit(main())
