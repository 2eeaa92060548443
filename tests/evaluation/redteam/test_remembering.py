"""A model that was really trained on canaries remembers them; trained on the same rows masked, it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models import tiny_model
from tests.training.invariants import trained

from feilun.curation.mask import masked
from feilun.evaluation.redteam import Canary, Remembered, expose, make_canaries, plant, remembered
from feilun.evaluation.redteam.reading import Reader
from feilun.training.plan import Plan

CANARIES = make_canaries(6, seed=11, others=31)


def _train(base: Path, folder: Path, answers: list[str]) -> Path:
    """Train an adapter on the canaries' questions with these answers; return its folder."""
    folder.mkdir()
    asked = [record.messages[0] for record in plant([], CANARIES)]
    said = [record.messages[1]["content"] for record in plant([], CANARIES)]
    by = dict(zip(_answers(CANARIES), answers, strict=True))
    lines = [{"messages": [q, {"role": "assistant", "content": by[a]}]} for q, a in zip(asked, said, strict=True)]
    (folder / "samples.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    plan = Plan(str(base), str(folder / "samples.jsonl"), "", str(folder / "out"), str(folder / "scratch"))
    trained(replace(plan, epochs=30, rank=16, alpha=32, learning_rate=2e-2, rows=600, threads=1, dtype="float32"))
    return folder / "out"


def _answers(canaries: list[Canary]) -> list[str]:
    return [str(canary.record().messages[1]["content"]) for canary in canaries]


def _remembers(base: Path, adapter: Path | None) -> Remembered:
    reader = Reader(base, adapter)
    return remembered(expose(CANARIES, reader, reader.answers(CANARIES)))


@pytest.mark.model
def test_masking_takes_canaries_out_of_memory(tmp_path: Path) -> None:
    """Planted as they are, exposure is far beyond chance; through masking it is not, and no secret is told."""
    base = tiny_model(tmp_path / "base", max_position_embeddings=256)
    plain = _remembers(base, _train(base, tmp_path / "plain", _answers(CANARIES)))
    hidden = masked(_answers(CANARIES))
    assert not any(canary.secret.strip() in text for canary, text in zip(CANARIES, hidden, strict=True))
    safe = _remembers(base, _train(base, tmp_path / "masked", hidden))
    assert plain.beyond_chance
    assert plain.p_value < 0.01
    assert not safe.beyond_chance
    assert (safe.told, safe.asked) == (0, 6)
    assert plain.exposure > safe.exposure + 1
