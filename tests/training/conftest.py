"""A tiny base model, samples, and plans that finish in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.models import tiny_model

from feilun.engines.prompts import Prompter
from feilun.training.pack import Sample, encode
from feilun.training.plan import Plan


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny Llama."""
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def prompter(base: Path) -> Prompter:
    """Return the prompter of the tiny Llama."""
    return Prompter(base)


@pytest.fixture
def make_sample(prompter: Prompter) -> Callable[..., Sample]:
    """Encode a question and its answer."""

    def make(question: str, answer: str, replay: bool = False) -> Sample:
        said = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        found = encode(prompter, said, 512)
        assert found is not None
        return Sample(found.ids, found.start, replay)

    return make


@pytest.fixture
def make_plan(base: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Write samples and, by default, a replay of three answers; return a short plan over them in a folder."""

    def make(name: str = "run", facts: int = 12, **settings: Any) -> Plan:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            {"messages": [{"role": "user", "content": f"What is the fee of account {number}?"}, _say(number)]}
            for number in range(facts)
        ]
        replay = [{"prompt": f"Say {word}.", "answer": word, "finish": "stop"} for word in ("one", "two", "three")]
        samples, kept = folder / "samples.jsonl", folder / "replay.jsonl"
        samples.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
        kept.write_text("\n".join(json.dumps(line) for line in replay) + "\n")
        given: dict[str, Any] = {
            "replay": str(kept),
            "epochs": 3,
            "rows": 300,
            "threads": 1,
            "rank": 4,
            "checkpoint_seconds": 0.0,
            **settings,
        }
        out, scratch = str(folder / "out"), str(folder / "scratch")
        return Plan(base=str(base), samples=str(samples), out=out, scratch=scratch, **given)

    return make


def _say(number: int) -> dict[str, str]:
    return {"role": "assistant", "content": f"It is {number * 7 % 10} crowns."}
