"""Packs: what is learnt, what is shared, what is filled up, and that samples never meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from feilun.engines.adapters import Factors
from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter
from feilun.training.lora import new_factors, pack_loss
from feilun.training.pack import ROUND, Sample, encode, epoch, pack, shared_prefix

Make = Callable[..., Sample]
QUESTIONS = [
    ("What is the fee?", "Four crowns."),
    ("When do you open today?", "At nine."),
    ("会员今天的利率是多少？", "百分之四。"),
    ("Who?", "The desk of the credit union answers that, on weekdays."),
]


@pytest.fixture(scope="module")
def decoder(base: Path) -> Decoder:
    """Return the tiny model in float32."""
    return Decoder(base, torch.float32)


@pytest.fixture(scope="module")
def factors(decoder: Decoder) -> Factors:
    """Return factors that change answers."""
    made = new_factors(decoder, 4, range(decoder.shape.layers), 1)
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _, b in made.values():
            b.copy_(torch.randn(b.shape, generator=random) * 0.2)
    return made


@pytest.fixture
def samples(make_sample: Make) -> list[Sample]:
    """Return four exchanges of different lengths."""
    return [make_sample(question, answer) for question, answer in QUESTIONS]


def loss_of(decoder: Decoder, factors: Factors, *samples: Sample, rows: int = 0) -> Tensor:
    """Return the loss of one pack without a teacher."""
    return pack_loss(decoder, factors, 2.0, pack(samples, rows))


def test_only_the_answer_is_learnt(make_sample: Make, prompter: Prompter) -> None:
    """The targets of a pack are the answer and its end token, and nothing else weighs."""
    sample = make_sample("What is the fee?", "Four crowns.")
    packed = pack([sample])
    weighed = packed.targets[packed.weights > 0].tolist()
    assert weighed == list(sample.ids[sample.start :])
    assert prompter.decode(weighed) == "Four crowns."
    assert weighed[-1] in prompter.end_ids
    assert len(packed.ids) % ROUND == 0
    assert len(packed.want) % ROUND == 0


def test_answers_count_and_prompts_do_not(make_sample: Make, decoder: Decoder, factors: Factors) -> None:
    """Another answer makes another loss; targets at places of the prompt make none."""
    sample = make_sample("What is the fee?", "Four crowns.")
    packed = pack([sample])
    before = pack_loss(decoder, factors, 2.0, packed)
    elsewhere = packed.targets.clone()
    elsewhere[packed.weights == 0] = 7
    assert torch.equal(pack_loss(decoder, factors, 2.0, replace(packed, targets=elsewhere)), before)
    other = replace(sample, ids=(*sample.ids[:-2], sample.ids[-2] + 1, sample.ids[-1]))
    assert not torch.isclose(loss_of(decoder, factors, other), before)


@pytest.mark.parametrize("rows", [0, 777])
def test_packing_never_mixes_samples(samples: list[Sample], decoder: Decoder, factors: Factors, rows: int) -> None:
    """The loss of a pack is the weighted mean of what its samples lose alone, whatever fills it up."""
    alone = [loss_of(decoder, factors, sample) for sample in samples]
    weights = [(len(sample.ids) - sample.start) ** 0.5 for sample in samples]
    expected = sum(loss * weight for loss, weight in zip(alone, weights, strict=True)) / sum(weights)
    assert shared_prefix(samples) > 0
    torch.testing.assert_close(loss_of(decoder, factors, *samples, rows=rows), expected, atol=1e-5, rtol=0)


def test_a_neighbour_changes_nothing(samples: list[Sample], decoder: Decoder, factors: Factors) -> None:
    """A sample whose neighbour weighs nothing loses what it loses alone."""
    first, *others = samples
    packed = pack([first, *others])
    mine = len(first.ids) - first.start
    weights = packed.weights.clone()
    weights[mine:] = 0
    loss = pack_loss(decoder, factors, 2.0, replace(packed, weights=weights))
    torch.testing.assert_close(loss, loss_of(decoder, factors, first), atol=1e-5, rtol=0)


def test_the_shared_beginning_leaves_each_prompt_a_token(make_sample: Make) -> None:
    """Even samples of one prompt share less than the whole of it, since its last token says what comes next."""
    one, two = make_sample("Who?", "Me."), make_sample("Who?", "You.")
    assert shared_prefix([one, two]) == one.start - 1
    assert shared_prefix([one]) == 0


def test_a_pass_has_every_sample_once(samples: list[Sample], make_sample: Make) -> None:
    """A pass is a partition of the samples within the row budget; the same seed gives the same one."""
    many = [*samples, *(make_sample(f"Question number {number}?", "Yes. " * (number % 9 + 1)) for number in range(90))]
    groups = epoch(many, 400, 5)
    assert Counter(sample for group in groups for sample in group) == Counter(many)
    shared = shared_prefix(many)
    assert all(len(group) == 1 or shared + sum(len(s.ids) - shared for s in group) <= 400 for group in groups)
    assert epoch(many, 400, 5) == groups
    assert epoch(many, 400, 6) != groups


def test_what_is_too_long_is_left_out(prompter: Prompter) -> None:
    """An exchange beyond the limit is none; one of exactly that length is kept."""
    said = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]
    whole = encode(prompter, said, 512)
    assert whole is not None
    assert encode(prompter, said, len(whole.ids)) == whole
    assert encode(prompter, said, len(whole.ids) - 1) is None
