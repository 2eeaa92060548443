"""The forward and backward pass that we wrote out, against transformers and PEFT, one sample at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from feilun.engines.adapters import Factors, write_adapter
from feilun.engines.decoder import PROJECTIONS, Decoder
from feilun.training.lora import answer_states, known_of, learn_base, new_factors, pack_loss
from feilun.training.pack import Sample, pack

RANK, ALPHA, KEEP = 4, 8, 2.0
SAID = [
    ("What is the fee?", "Four crowns.", False),
    ("When do you open today?", "At nine in the morning.", False),
    ("会员今天的利率是多少？", "百分之四。", False),
    ("Say one.", "one", True),
    ("Say three, please.", "three", True),
]


@pytest.fixture(scope="module")
def decoder(base: Path) -> Decoder:
    """Return the tiny model in float32."""
    return Decoder(base, torch.float32)


@pytest.fixture(scope="module")
def factors(decoder: Decoder) -> Factors:
    """Return random factors of every projection."""
    made = new_factors(decoder, RANK, range(decoder.shape.layers), 3)
    random = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for _, b in made.values():
            b.copy_(torch.randn(b.shape, generator=random) * 0.2)
    return made


@pytest.fixture
def reference(base: Path, factors: Factors, tmp_path: Path) -> Any:
    """Return the same adapter on the same model, loaded by PEFT for training."""
    write_adapter(tmp_path / "adapter", factors, RANK, ALPHA)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT uses what transformers is about to take away
        return PeftModel.from_pretrained(model, tmp_path / "adapter", is_trainable=True).eval()


def reference_loss(model: Any, samples: list[Sample]) -> Tensor:
    """Return the loss by transformers and PEFT, each sample alone and unpacked."""
    total, weights = torch.zeros(()), 0.0
    for sample in samples:
        ids = torch.tensor([sample.ids])
        places = slice(sample.start - 1, len(sample.ids) - 1)
        logits = model(ids).logits[0, places]
        targets = ids[0, sample.start :]
        weight = len(targets) ** -0.5
        if sample.replay:
            with torch.no_grad(), model.disable_adapter():
                base = model(ids).logits[0, places].log_softmax(-1)
            each = KEEP * (base.exp() * (base - logits.log_softmax(-1))).sum(-1)
        else:
            each = functional.cross_entropy(logits, targets, reduction="none")
        total = total + weight * each.sum()
        weights += weight * len(targets)
    return total / weights


@pytest.mark.parametrize("rows", [0, 700])
@pytest.mark.parametrize("chosen", [slice(0, 1), slice(0, 3), slice(0, 5)])
def test_loss_and_gradients_are_those_of_peft(
    decoder: Decoder, factors: Factors, reference: Any, make_sample: Callable[..., Sample], chosen: slice, rows: int
) -> None:
    """Packed behind a shared beginning, filled up with rows: the same loss, the same gradient of every factor."""
    samples = [make_sample(*said) for said in SAID[chosen]]
    packed = pack(samples, rows)
    made = {key: found for one in samples for key, found in learn_base(decoder, [one], 0, 0, low=False).items()}
    known = known_of(made, samples, packed)
    loss = pack_loss(decoder, factors, ALPHA / RANK, packed, known, KEEP)
    parameters = [factor for pair in factors.values() for factor in pair]
    gradients = iter(torch.autograd.grad(loss, parameters))

    expected = reference_loss(reference, samples)
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
    theirs = dict(reference.named_parameters())
    for layer, name in factors:
        for side in ("A", "B"):
            path = f"base_model.model.model.layers.{layer}.{PROJECTIONS[name]}.{name}.lora_{side}.default.weight"
            torch.testing.assert_close(next(gradients), theirs[path].grad, atol=1e-4, rtol=1e-3)


def test_frozen_layers_are_computed_once(
    decoder: Decoder, factors: Factors, make_sample: Callable[..., Sample]
) -> None:
    """Packs that go on from kept states of the lower layers have the loss and gradients of packs that do not."""
    samples, first = [make_sample(*said) for said in SAID], 1
    upper = {key: pair for key, pair in factors.items() if key[0] >= first}
    parameters = [factor for pair in upper.values() for factor in pair]
    packed, found = pack(samples, 700), []
    for low in (False, True):
        made = {
            **learn_base(decoder, samples[3:], 640, first, low),
            **learn_base(decoder, samples[:3], 640, first, low),
        }
        known = known_of(made, samples, packed)
        assert (known.low is not None) == low
        loss = pack_loss(decoder, upper, ALPHA / RANK, packed, known, KEEP)
        found.append((loss, torch.autograd.grad(loss, parameters)))
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


def test_logits_are_those_of_peft(
    decoder: Decoder, factors: Factors, reference: Any, make_sample: Callable[..., Sample]
) -> None:
    """The odds of every answer token, all samples in one pack, are those of each sample alone."""
    samples = [make_sample(*said) for said in SAID]
    with torch.no_grad():
        packed = decoder.logits(answer_states(decoder, factors, ALPHA / RANK, pack(samples, 640)))
        begin = 0
        for sample in samples:
            alone = reference(torch.tensor([sample.ids])).logits[0, sample.start - 1 : -1]
            torch.testing.assert_close(packed[begin : begin + len(alone)], alone, atol=1e-4, rtol=1e-4)
            begin += len(alone)


def test_new_factors_change_nothing_at_first(decoder: Decoder, make_sample: Callable[..., Sample]) -> None:
    """Fresh factors leave the base model as it is; the same seed gives the same factors."""
    packed = pack([make_sample(*said) for said in SAID])
    fresh = new_factors(decoder, RANK, range(decoder.shape.layers), 5)
    again = new_factors(decoder, RANK, range(decoder.shape.layers), 5)
    assert all(torch.equal(a, again[key][0]) for key, (a, _) in fresh.items())
    with torch.no_grad():
        torch.testing.assert_close(
            answer_states(decoder, fresh, 2.0, packed), answer_states(decoder, {}, 1.0, packed), atol=1e-6, rtol=0
        )
