"""How likely a local model finds texts: the same numbers as transformers, whatever texts have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.models import tiny_adapter, tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from feilun.engines.adapters import read_adapter
from feilun.engines.decoder import PROJECTIONS
from feilun.engines.likelihood import WINDOW, Likelihood
from feilun.engines.reading.prefixes import Sequences, nodes_of

PAIRS = [
    ("", "The library opens at nine on weekdays."),
    ("When does it open?", "At nine."),
    ("", "图书馆九点开门。"),
    ("", ""),
    ("A context", ""),
    ("", "long " * 2 * WINDOW),
    ("before " * 2 * WINDOW, "after"),
]
HEAD = "Q: Which is the rate?\nA: four\n\n" * 6
CHOICES = [
    (HEAD + f"Q: {question}\nA:", f" {choice}")
    for question in ("What is the lending rate of the credit union?", "会员今天的利率是多少？", "What", "What is")
    for choice in ("four per cent", "four", "百分之四", "no")
]
LONG = [("The lending rate " * 120 + end, " is four per cent") for end in ("", "today", "for members")]


def _expected(model: torch.nn.Module, pairs: list[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
    found = []
    with torch.inference_mode():
        for context, said in pairs:
            ids = torch.tensor([[*context, *said][-513:]])
            chances = model(ids[:, :-1]).logits[0].log_softmax(-1)[-len(said) :]
            wanted = ids[0, -len(said) :]
            sums = chances[torch.arange(len(said)), wanted].double().sum()
            found.append((float(sums), bool((chances.argmax(-1) == wanted).all())))
    return found


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_sums_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    """Sums, counts and greedy flags agree, over shared heads, nested and equal texts, and beyond the window."""
    folder = tiny_model(tmp_path / "base", kind)
    likelihood = Likelihood(folder)
    pairs = [*CHOICES, *LONG, CHOICES[0], ("", " four"), ("The rate is ", "four")]
    found = likelihood(pairs)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = []
    for context, said in pairs:
        bare = context.rstrip()
        head = tokenizer.encode(bare) if bare else [0]
        whole = tokenizer.encode(context + said) if bare else [0, *tokenizer.encode(said)]
        ids.append((head, whole[len(head) :]))
    for likely, (_, said), (sums, greedy) in zip(found, ids, _expected(model, ids), strict=True):
        assert likely.logprob == pytest.approx(sums, abs=2e-4 * len(said))
        assert (likely.tokens, likely.greedy) == (len(said), greedy)


def test_an_adapter_counts(tmp_path: Path) -> None:
    """With an adapter the numbers are those of merged weights, and others than the base model's; bfloat16 is near."""
    folder = tiny_model(tmp_path / "base")
    adapter = tiny_adapter(tmp_path / "adapter", folder)
    base, adapted, narrow = (
        [each.logprob for each in Likelihood(folder, *more)(CHOICES)]
        for more in ((), (adapter,), (adapter, "bfloat16"))
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    factors = read_adapter(adapter, torch.float32)
    for (layer, name), (a, b) in factors.factors.items():
        block = model.get_submodule(f"model.layers.{layer}.{PROJECTIONS[name]}.{name}")
        block.weight.data += factors.scale * (b @ a)
    ids = [(tokenizer.encode(a), tokenizer.encode(a + b)[len(tokenizer.encode(a)) :]) for a, b in CHOICES]
    for ours, (sums, _), bare, rough in zip(adapted, _expected(model, ids), base, narrow, strict=True):
        assert ours == pytest.approx(sums, abs=2e-3)
        assert abs(ours - bare) > 0.01
        assert rough == pytest.approx(ours, rel=0.2)


def test_what_is_alike_is_computed_once() -> None:
    """The tree holds every stretch once, ends where sequences end, and asks at the right places."""
    pairs = [([1, 2, 3], [4]), ([1, 2, 3], [5]), ([1, 2, 3, 4], [6, 7]), ([9], [8]), ([1], [])]
    sequences = Sequences.of(pairs, 100)
    roots = nodes_of(sequences)
    stretches = []
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        stretches.append((sequences.ids(node).tolist(), sequences.asked_of(node)))
        waiting += node.children
    assert sorted(stretches) == [
        ([1, 2, 3], [(2, [(0, 4), (1, 5)])]),
        ([4, 6], [(3, [(2, 6)]), (4, [(2, 7)])]),
        ([9], [(0, [(3, 8)])]),
    ]
    assert sum(root.weight for root in roots) == 6


def test_little_memory_is_enough(tmp_path: Path) -> None:
    """Cut into small pieces the numbers stay, also where one text alone exceeds a piece."""
    folder = tiny_model(tmp_path / "base")
    whole, pieces = Likelihood(folder), Likelihood(folder)
    pieces.model.most = 24
    for a, b in zip(whole([*CHOICES, *LONG]), pieces([*CHOICES, *LONG]), strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=1e-3)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_means_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    """Means over tokens agree with another maker's; texts of nothing have none; long ones are cut."""
    folder = tiny_model(tmp_path / "base", kind)
    found = Likelihood(folder).means(PAIRS)
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
