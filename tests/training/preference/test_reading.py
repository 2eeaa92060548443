"""What can be learnt from, and what is left out with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.training.preference.conftest import pairs, rated

from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest, TooFewSamples
from feilun.training.plan import Plan
from feilun.training.preference.reading import batches, hold_out, read_pairs, read_rated
from feilun.training.run import train

MakePlan = Callable[..., Plan]


def notes(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was told."""
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return " ".join(message["note"] for message in said)


def test_pairs_that_teach_nothing_are_left_out(
    make_plan: MakePlan, prompter: Prompter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal sides, an empty side, twice the same, the opposite said, too long: each is counted under its reason."""
    good = pairs(12)
    equal = {**good[0], "rejected": f" {good[0]['chosen']}\n"}
    empty = {**good[1], "rejected": " "}
    opposite = {**good[2], "chosen": good[2]["rejected"], "rejected": good[2]["chosen"]}
    long = {**good[3], "rejected": "fee " * 600}
    plan = make_plan("dpo", [*good, equal, empty, good[4], opposite, long])
    found = read_pairs(plan, prompter, plan.samples)
    assert len(found) == 11, "and the one that was contradicted"
    told = notes(capsys)
    for words in ("6 of 17 pairs", "1 because both sides are equal", "1 because a side is empty", "there already"):
        assert words in told
    assert "2 because another one says the opposite" in told
    assert "1 because it is longer than 512 tokens" in told
    assert prompter.decode(list(found[0].answers[0])) == good[0]["chosen"]


def test_too_few_pairs(make_plan: MakePlan) -> None:
    """Nine are refused, and so are a hundred of which all sides are equal: with the count and what to look at."""
    for lines, words in (
        (pairs(9), "9 of 9"),
        ([{**pair, "rejected": pair["chosen"]} for pair in pairs(99)], "0 of 99"),
    ):
        with pytest.raises(TooFewSamples, match=f"{words} preferences can be learnt from; at least 10") as caught:
            train(make_plan("dpo", lines))
        assert "sides of a pair must differ" in caught.value.hint


def test_all_liked_is_nothing_to_prefer(make_plan: MakePlan) -> None:
    """KTO needs both kinds of answers."""
    with pytest.raises(TooFewSamples, match="All 12 answers were liked"):
        train(make_plan("kto", [{**row, "liked": True} for row in rated(12)]))


def test_pairs_and_thumbs_lie_in_one_file(make_plan: MakePlan, prompter: Prompter) -> None:
    """Each reader takes what is its own."""
    plan = make_plan("dpo", [*pairs(4), *rated(7)])
    assert len(read_pairs(plan, prompter, plan.samples)) == 4
    assert len(read_rated(plan, prompter, plan.samples)) == 7


def test_rated_answers(make_plan: MakePlan, prompter: Prompter, capsys: pytest.CaptureFixture[str]) -> None:
    """Both liked and disliked is left out; a missing verdict is named."""
    good = rated(12)
    both = {**good[0], "liked": not good[0]["liked"]}
    plan = make_plan("kto", [*good, both])
    found = read_rated(plan, prompter, plan.samples)
    assert len(found) == 11
    assert "2 because another one says the opposite" in notes(capsys)
    assert [one.liked for one in found] == [row["liked"] for row in good[1:]]
    plan = make_plan("kto", [{**good[0], "liked": "yes"}])
    with pytest.raises(BadRequest, match="whether it was liked"):
        read_rated(plan, prompter, plan.samples)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"prompt": "Hello"}, "Line 1 .* no prompt"), ({"prompt": []}, "no prompt"), ({"chosen": None}, "no chosen")],
)
def test_lines_of_another_shape(make_plan: MakePlan, prompter: Prompter, change: dict[str, Any], words: str) -> None:
    """The line and what it lacks are named."""
    plan = make_plan("dpo", [{**pairs(1)[0], **change}])
    with pytest.raises(BadRequest, match=words):
        read_pairs(plan, prompter, plan.samples)


def test_what_is_held_out_shares_no_prompt() -> None:
    """A tenth of the prompts, every answer to them; none of a few; the same for the same seed."""
    items = [(number // 2, number) for number in range(160)]
    kept, held = hold_out(items, lambda item: item[0], 1)
    assert sorted([*kept, *held]) == items
    assert len({prompt for prompt, _ in held}) == 8
    assert not {prompt for prompt, _ in kept} & {prompt for prompt, _ in held}
    assert hold_out(items, lambda item: item[0], 1) == (kept, held)
    assert hold_out(items[:100], lambda item: item[0], 1) == (items[:100], [])


def test_steps_are_alike_in_size(make_plan: MakePlan) -> None:
    """Every pass has every item once; few items get more passes."""
    plan = make_plan("dpo", [], epochs=2)
    steps = batches(plan, 21, 8)
    assert len(steps) == 6
    assert {len(step) for step in steps} == {7}
    assert sorted(place for step in steps[:3] for place in step) == list(range(21))
    chosen = make_plan("dpo", [], epochs=0)
    assert len(batches(chosen, 21, 8)) == 10 * 3
    assert len(batches(chosen, 80, 8)) == 60
    assert len(batches(chosen, 800, 8)) == 300
