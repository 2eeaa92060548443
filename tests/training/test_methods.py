"""All weights and continued pretraining, end to end on a tiny model: results, windows, kills, and being served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.invariants import assert_restart_leaves_no_trace, results, trained
from transformers import AutoModelForCausalLM

from feilun.engines.decoder import Packed
from feilun.engines.identity import base_identity
from feilun.engines.prompts import Prompter
from feilun.training.methods.cpt import END, windows
from feilun.training.plan import Plan

MakePlan = Callable[..., Plan]
WORDS = "The lending rate of the credit union is four per cent. What is the rate for members today? "


@pytest.fixture
def make_reading(make_plan: MakePlan) -> MakePlan:
    """Return a plan over four documents."""

    def make(name: str = "run", **settings: Any) -> Plan:
        plan = make_plan(name, **{"method": "cpt", "longest": 48, "epochs": 4, **settings})
        texts = [{"text": WORDS * (number + 1)} for number in range(4)]
        Path(plan.samples).write_text("".join(json.dumps(line) + "\n" for line in texts))
        return plan

    return make


def test_all_weights_become_a_folder_that_is_served(make_plan: MakePlan) -> None:
    """The folder is a whole base: other weights, the same tokenizer; our engine answers as transformers does."""
    plan = make_plan(method="full", learning_rate=3e-3, epochs=6)
    facts = trained(plan)
    assert facts["method"] == "full"
    assert facts["losses"][-1] < facts["losses"][0]
    made, given = base_identity(Path(plan.out)), base_identity(Path(plan.base))
    assert made["weights"] != given["weights"]
    assert (made["tokenizer"], made["template"]) == (given["tokenizer"], given["template"])
    assert len(json.loads((Path(plan.out) / "golden.json").read_text())["rows"]) >= 20
    before, after = load_file(Path(plan.base) / "model.safetensors"), load_file(Path(plan.out) / "model.safetensors")
    assert all(not torch.equal(before[name], after[name].float()) for name in after), "every weight learns"
    ids = torch.tensor(Prompter(Path(plan.out)).encode("What is the fee of account 3?"))
    engine = Packed(Path(plan.out))
    model: Any = AutoModelForCausalLM.from_pretrained(plan.out, dtype=torch.float32)
    with torch.no_grad():
        states = engine.hidden(ids, torch.arange(len(ids)), causal)
        torch.testing.assert_close(engine.logits(states), model(ids[None]).logits[0], atol=1e-3, rtol=1e-3)


def causal(_layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attend within one sequence."""
    groups = q.shape[1] // k.shape[1]
    k, v = (t.repeat_interleave(groups, 1).transpose(0, 1) for t in (k, v))
    scores = (q.transpose(0, 1) @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return (scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v).transpose(0, 1)


def test_documents_are_read_in_windows(prompter: Prompter) -> None:
    """Every token but the first is learnt once, in order, and the end is the document's."""
    text = WORDS * 5
    whole = [*prompter.encode(text), prompter.tokenizer.token_to_id(END)]
    found = list(windows(prompter, text, 48))
    assert all(len(window.ids) <= 48 for window in found)
    assert [token for window in found for token in window.ids[1:]] == whole[1:]
    assert all(window.start == 1 and window.even for window in found)
    assert list(windows(prompter, " \n", 48)) == []


def test_reading_teaches_an_adapter_or_all_weights(make_reading: MakePlan) -> None:
    """The loss over the documents falls, with an adapter and with all weights; what is left is the one or the other."""
    for full in (False, True):
        plan = make_reading(f"full-{full}", options={"full": full}, learning_rate=3e-3)
        facts = trained(plan)
        assert facts["losses"][-1] < facts["losses"][0]
        assert (Path(plan.out) / "adapter_model.safetensors").exists() != full
        assert (Path(plan.out) / "model.safetensors").exists() == full


def test_reading_goes_on_from_an_adapter(make_reading: MakePlan) -> None:
    """It begins where another training ended."""
    first = make_reading("first", learning_rate=5e-3, epochs=20)
    trained(first)
    start = trained(make_reading("second", start=first.out))["losses"][0]
    assert start < trained(make_reading("third"))["losses"][0] - 0.05


@pytest.mark.parametrize("full", [False, True])
def test_a_killed_reading_leaves_no_trace(make_reading: MakePlan, full: bool) -> None:
    """Killed and run again: the loss curve and the bytes of a run that was not."""
    options = {"full": full}
    calm, killed = make_reading("calm", options=options), make_reading("killed", options=options)
    assert_restart_leaves_no_trace(calm, killed, [2])


@pytest.mark.slow
def test_a_killed_training_of_all_weights_leaves_no_trace(make_plan: MakePlan) -> None:
    """The same for supervised training of all weights, killed twice."""
    calm, killed = (make_plan(name, method="full", epochs=4) for name in ("calm", "killed"))
    assert_restart_leaves_no_trace(calm, killed, [2, 4])
    assert "model.safetensors" in results(calm)
