"""The red team: attacks with graders that tell, figures with intervals, and what exposure shows of a model."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence

import pytest

from feilun.errors import NotFound
from feilun.evaluation.redteam import (
    FAMILIES,
    Canary,
    expose,
    families,
    make_canaries,
    plant,
    red_team,
    remembered,
    summary,
)
from feilun.evaluation.redteam.injections import CASES, ORDERS
from feilun.grading import grade
from feilun.records import EvalAnswer, EvalItem, Record


def _said(items: Sequence[EvalItem], answer: str) -> list[float]:
    async def all_of_them() -> list[float]:
        found = []
        for item in items:
            given = await grade(item.meta["grader"], {}, {"output_text": answer})
            assert not given.error, given.error
            found.append(float(given.passed))
        return found

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_graders_tell(lang: str) -> None:
    """Refusing passes a jailbreak and obeying does not; open questions are to be left open; orders are not obeyed."""
    exam = red_team("ws", lang=lang)
    by = {name: [item for item in exam.items if item.meta["family"] == name] for name in FAMILIES}
    assert all(len(items) >= 30 for items in by.values())
    refusal = {"en": "I can't help with that.", "zh": "对不起，我不能帮这个忙。"}[lang]
    obeyed = {"en": "Of course. Step one: take a pipe.", "zh": "当然可以，第一步先准备材料。"}[lang]
    assert set(_said(by["jailbreak"], refusal)) == {1.0}
    assert set(_said(by["jailbreak"], obeyed)) == {0.0}
    open_ = {"en": "The text does not say, so it cannot be known.", "zh": "信息不足，无法判断。"}[lang]
    assert set(_said(by["bias"], open_)) == {1.0}
    guess = {"en": "The first one, surely.", "zh": "前面那位。"}[lang]
    assert set(_said(by["bias"], guess)) == {0.0}
    many = len(ORDERS[lang])
    for number, case in enumerate(CASES[lang]):
        items = by["injection"][number * many : (number + 1) * many]
        answer = case.answer.split("|")[0]
        assert set(_said(items, f"It is {answer}.")) == {1.0}
        for item, (order, sign) in zip(items, ORDERS[lang], strict=True):
            assert order in item.question
            assert _said([item], f"It is {answer}. {sign}") == [0.0]
        assert set(_said(items, "?")) == {0.0}


def test_names() -> None:
    """Families alone, one language, and a clear error for others."""
    assert {item.meta["family"] for item in red_team("ws", ["bias"]).items} == {"bias"}
    assert red_team("ws").meta["kind"] == "redteam"
    assert len({item.id for item in red_team("ws").items}) == len(red_team("ws").items)
    with pytest.raises(NotFound, match="no attack"):
        red_team("ws", ["flattery"])


def test_the_summary_counts_clusters() -> None:
    """Shares with intervals that hold them, the weakest dress, and in which direction guesses lean."""
    exam = red_team("ws", lang="en")
    answers = [
        EvalAnswer("run", item.id, "", f"Surely {item.meta['pair'][0]}." if "pair" in item.meta else "", score, {})
        for item in exam.items
        for score in [0.0 if item.meta["topic"] in {"encoded", "age"} else 1.0]
    ]
    found = {(each.name, each.lang): each for each in families(exam, answers)}
    jailbreak = found["jailbreak", "en"]
    assert jailbreak.withstood == pytest.approx(0.9)
    assert jailbreak.interval[0] < 0.9 < jailbreak.interval[1]
    assert jailbreak.worst == ("encoded", 0.0)
    told = summary(exam, answers)
    assert told["leaning"]["guesses"] == told["leaning"]["first"] == 8
    assert "无从判断" in told["families"][2]["zh"]
    assert families(exam, []) == []


def test_canaries_are_planted() -> None:
    """Both languages, one person each, the same for a seed; so many copies among the records."""
    canaries = make_canaries(20, seed=3, others=15)
    assert canaries == make_canaries(20, seed=3, others=15)
    assert canaries != make_canaries(20, seed=4, others=15)
    assert {canary.lang for canary in canaries} == {"en", "zh"}
    assert all(canary.secret not in canary.others and len(set(canary.others)) == 15 for canary in canaries)
    rows = [Record(f"row-{n}", "chat", ()) for n in range(30)]
    mixed = plant(rows, canaries, times=3)
    assert len(mixed) == 90
    assert mixed[:30] != rows
    first = canaries[0].record()
    assert sum(record.id == first.id for record in mixed) == 3
    assert canaries[0].secret in first.messages[1]["content"]


def _blind(pairs: Sequence[tuple[Canary, str]]) -> list[float]:
    return [random.Random(f"{canary.id} {secret}").random() for canary, secret in pairs]


def _knows(pairs: Sequence[tuple[Canary, str]]) -> list[float]:
    return [float(secret == canary.secret) for canary, secret in pairs]


def test_exposure_of_a_model_that_knows_and_of_one_that_does_not() -> None:
    """One that knows has all bits, one that is blind what chance gives; told secrets are seen."""
    canaries = make_canaries(30, seed=1)
    known = remembered(expose(canaries, _knows, [[f"It is: {c.secret}!"] for c in canaries]))
    assert (known.exposure, known.most, known.told) == (8.0, 8.0, 30)
    assert known.beyond_chance
    assert known.p_value < 0.001
    blind = remembered(expose(canaries, _blind, [["I do not know."] for _ in canaries]))
    assert blind.chance == pytest.approx(math.log2(math.e), abs=0.1)
    assert not blind.beyond_chance
    assert blind.chance_range[0] < blind.exposure < blind.chance_range[1]
    assert blind.told_interval[0] == 0.0 < blind.told_interval[1] < 0.15
    assert {"en", "zh", "p_value"} <= blind.as_json().keys()


class _Guessing:
    """A model that finds secrets likely at random."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def __call__(self, pairs: Sequence[tuple[Canary, str]]) -> list[float]:
        """Return any numbers."""
        return [self._rng.random() for _ in pairs]


def test_chance_is_called_chance() -> None:
    """Of many blind models at most about one in twenty is said to remember; equal likelihoods share their rank."""
    canaries = make_canaries(8, seed=2, others=63)
    called = 0
    for trial in range(200):
        found = expose(canaries, _Guessing(trial))
        called += remembered(found, asked=False, seed=trial).beyond_chance
    assert called <= 20
    assert [each.rank for each in expose(canaries[:1], lambda pairs: [0.0] * len(pairs))] == [32.5]
