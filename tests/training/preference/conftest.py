"""A tiny base model, random factors on it, preferences about it, and the same model in transformers and PEFT."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tests.models import tiny_model
from torch import Tensor
from transformers import AutoModelForCausalLM

from feilun.engines.adapters import write_adapter
from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter
from feilun.training.lora import new_factors
from feilun.training.plan import Plan
from feilun.training.preference.odds import Policy
from feilun.training.preference.trees import Tree, encode_tree

RANK, ALPHA = 4, 8
SAID = (
    ("What is the fee?", ("Four crowns.", "The fee is what the fee is, as members know.")),
    ("When do you open today?", ("At nine.", "Today we open at some time in the morning, perhaps.")),
    ("会员今天的利率是多少？", ("百分之四。", "利率是一个利率。")),
    ("Thank you.", ("You are welcome.", "What?")),
)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny Llama."""
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def prompter(base: Path) -> Prompter:
    """Return the prompter of the tiny Llama."""
    return Prompter(base)


@pytest.fixture(scope="session")
def trees(prompter: Prompter) -> list[Tree]:
    """Return questions with two answers each."""
    found = [encode_tree(prompter, [{"role": "user", "content": asked}], answers, 512) for asked, answers in SAID]
    return [tree for tree in found if tree is not None]


@pytest.fixture(scope="session")
def policy(base: Path) -> Policy:
    """Return the tiny model in float32 with random factors on its upper layer."""
    decoder = Decoder(base, torch.float32)
    factors = new_factors(decoder, RANK, range(1, decoder.shape.layers), 3)
    random = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for _, b in factors.values():
            b.copy_(torch.randn(b.shape, generator=random) * 0.2)
    return Policy(decoder, factors, ALPHA / RANK, 1)


@pytest.fixture
def peft(base: Path, policy: Policy, tmp_path: Path) -> Any:
    """Return the same adapter on the same model, loaded by PEFT for training."""
    write_adapter(tmp_path / "adapter", policy.factors, RANK, ALPHA)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT uses what transformers is about to take away
        return PeftModel.from_pretrained(model, tmp_path / "adapter", is_trainable=True).eval()


def plain_odds(model: Any, tree: Tree) -> list[Tensor]:
    """Return log p of each token of each answer by transformers, every answer alone behind its prompt."""
    found = []
    for answer in tree.answers:
        ids = torch.tensor([[*tree.prompt, *answer]])
        logits = model(ids).logits[0, len(tree.prompt) - 1 : -1]
        found.append(logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)])
    return found


@pytest.fixture
def make_plan(base: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Write lines of a method and return a short plan over them in a folder."""

    def make(method: str, lines: list[dict[str, Any]], name: str = "run", **settings: Any) -> Plan:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        samples = folder / "samples.jsonl"
        samples.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        given: dict[str, Any] = {
            "replay": "",
            "epochs": 2,
            "rows": 300,
            "threads": 1,
            "rank": RANK,
            "learning_rate": 1e-2,
            "checkpoint_seconds": 0.0,
            **settings,
        }
        out, scratch = str(folder / "out"), str(folder / "scratch")
        return Plan(base=str(base), samples=str(samples), out=out, scratch=scratch, method=method, **given)

    return make


def pairs(count: int = 12) -> list[dict[str, Any]]:
    """Return preferences for short answers."""
    return [
        {
            "prompt": [{"role": "user", "content": f"What is the fee of account {number}?"}],
            "chosen": f"{number * 7 % 10} crowns.",
            "rejected": f"The fee of account {number} is a fee, as fees are, of {number * 7 % 10} crowns.",
        }
        for number in range(count)
    ]


def rated(count: int = 12) -> list[dict[str, Any]]:
    """Return answers of which the short ones were liked."""
    return [
        {"prompt": pair["prompt"], "answer": pair["chosen" if liked else "rejected"], "liked": liked}
        for number, pair in enumerate(pairs(count))
        for liked in (number % 3 > 0,)
    ]


def tasks(count: int = 10) -> list[dict[str, Any]]:
    """Return prompts for graders."""
    return [
        {"prompt": [{"role": "user", "content": f"The fee of account {number}?"}], "item": {"number": number}}
        for number in range(count)
    ]
