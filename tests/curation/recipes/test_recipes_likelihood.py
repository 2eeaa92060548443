"""How likely a local model finds texts: the same numbers as transformers, for every family of models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.models import tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from feilun.curation.recipes.around import Around
from feilun.curation.recipes.likelihood import WINDOW, Likelihood

PAIRS = [
    ("", "The library opens at nine on weekdays."),
    ("When does it open?", "At nine."),
    ("", "图书馆九点开门。"),
    ("", ""),
    ("A context", ""),
    ("", "long " * 2 * WINDOW),
    ("before " * 2 * WINDOW, "after"),
]


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_same_as_transformers(tmp_path: Path, kind: str) -> None:
    """Means over tokens agree with another maker's; texts of nothing have none; long ones are cut."""
    folder = tiny_model(tmp_path / "base", kind)
    found = Likelihood(folder)(PAIRS)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for (before, text), mean in zip(PAIRS, found, strict=True):
        said = tokenizer.encode(text, add_special_tokens=False)[:WINDOW]
        context = tokenizer.encode(before, add_special_tokens=False) if before else []
        context = context[-(WINDOW - len(said)) :] if len(said) < WINDOW else []
        first = max(1, len(context))
        ids = torch.tensor([context + said])
        if ids.shape[1] <= first:
            assert mean == 0.0
            continue
        with torch.inference_mode():
            chances = model(ids.long()).logits[0].log_softmax(-1)
        expected = chances[torch.arange(first - 1, ids.shape[1] - 1), ids[0, first:]].mean()
        assert mean == pytest.approx(float(expected), abs=2e-4)


def test_it_is_opened_where_it_is_asked_for(tmp_path: Path) -> None:
    """Surroundings with a reader give its numbers; without one there is none."""
    folder = tiny_model(tmp_path / "base")
    likelihood = Around(reader=str(folder)).open().likelihood
    assert likelihood is not None
    assert likelihood([("", "some words")])[0] < 0
    assert Around().open().likelihood is None
