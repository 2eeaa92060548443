"""Vectors of questions, made in a process of its own, so that whoever asks keeps their memory and their processors.

This module knows how texts go there and vectors come back. It does not know what the vectors are for.

As a program: JSON list of texts on standard input, float32 rows of one length on standard output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from feilun.engines.embed import DEFAULT, plain_encoder
from feilun.errors import EngineDown
from feilun.feedback.insights.near import Encode

_LATER = 10  # the priority (nice) of work that others go before


def encoder(model: str) -> Encode | None:
    """Return what gives vectors of questions by the embedding model of the settings; None where it tells nothing.

    What is returned raises EngineDown if the model cannot be used here.
    """
    return _encoded if model == DEFAULT else None


def _encoded(texts: Sequence[str]) -> np.ndarray:
    asked = json.dumps(list(texts)).encode()
    done = subprocess.run([sys.executable, "-m", __name__], input=asked, capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise EngineDown(f"The embedding model cannot be used: {words[-1] if words else done.returncode}.")
    return np.frombuffer(done.stdout, np.float32).reshape(len(texts), -1)


def main() -> None:
    """Answer what is on standard input."""
    os.nice(_LATER)
    texts = json.loads(sys.stdin.buffer.read())
    rows = plain_encoder(DEFAULT, query=True)(texts)
    sys.stdout.buffer.write(np.ascontiguousarray(rows, np.float32).tobytes())


if __name__ == "__main__":
    main()
