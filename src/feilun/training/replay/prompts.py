"""What a base model is asked so that it forgets none of it: two lists of prompts, and where its answers lie.

``everyday`` is simple questions in English; ``broad`` is some of these and prompts of other kinds in two languages:
confidences, harmful requests, trick questions, figures of speech, prescribed forms, reasoning. None is an exam's. What
supervised training forgets, the first list shows; what is learnt from preferences is how to answer, and spreads to
whatever is asked (docs/decisions/0013). This module does not know who answers.
"""

from __future__ import annotations

import json
from pathlib import Path

from feilun.errors import BadRequest
from feilun.records import content_hash

EVERYDAY, BROAD = "everyday", "broad"
FILES = {EVERYDAY: Path(__file__).with_name("everyday.jsonl"), BROAD: Path(__file__).with_name("broad.jsonl")}
EVERY = 5  # of the simple questions, every fifth is asked beside the other kinds


def prompts_of(kind: str) -> list[str]:
    """Return the prompts of a list; raise BadRequest that names the lists."""
    if kind not in FILES:
        raise BadRequest(f"There are no prompts named {kind!r} to replay.", f"Choices: {', '.join(FILES)}.")
    simple = _read(FILES[EVERYDAY])
    return simple if kind == EVERYDAY else [*_read(FILES[BROAD]), *simple[::EVERY]]


def replay_file(root: Path, base: str, kind: str, tokens: int) -> Path:
    """Return where a base's answers of at most so many tokens lie below ``root``; other prompts have another file."""
    asked = content_hash(prompts_of(kind))[:8]
    return root / "models" / "replay" / f"{base}-{kind}-{asked}-{tokens}.jsonl"


def _read(file: Path) -> list[str]:
    return [json.loads(line)["prompt"] for line in file.read_text(encoding="utf-8").splitlines() if line]
