"""Two models on one exam: what the paired answers prove.

Every question is answered by both, so only questions that changed (*discordant pairs*) say anything: ``gained`` are
wrong before and right after, ``lost`` the reverse. Questions that share a passage,
a conversation or a fact (``cluster_of``) count as one observation.
This module knows what makes two runs comparable. It does not know how answers came about, how the figures are worked
out (``statistics``), or what follows from them (``deciding``).

The choice is argued in ``docs/decisions/0005-proof.md`` and ``0011-proof.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from feilun.errors import Conflict
from feilun.evaluation.answered import assert_apart, who
from feilun.evaluation.deciding import decide, questions_to_clear, questions_to_prove, signed_points
from feilun.evaluation.statistics import Z95, detectable, difference, mcnemar, paired_interval, power, share_interval
from feilun.records import Comparison, Eval, EvalAnswer, EvalItem

__all__ = [
    "Z95",
    "Flip",
    "cluster_of",
    "compare",
    "decide",
    "flips",
    "mcnemar",
    "paired_interval",
    "questions_to_clear",
    "questions_to_prove",
    "signed_points",
]
Flip = tuple[EvalItem, str, str]


def compare(
    exam: Eval,
    incumbent: Sequence[EvalAnswer],
    candidate: Sequence[EvalAnswer],
    models: tuple[str, str] | None = None,
) -> Comparison:
    """Return the paired comparison of two complete runs of ``exam``: right or wrong, or scored from 0 to 1.

    ``models`` are the ids of incumbent and candidate; what the engine loaded for them must differ as they do. Raises
    Conflict that names the items where the runs cannot be compared: answered by one side only or by none, answered
    twice, not in the exam, asked with unequal prompts, or scored outside 0 to 1; and where one and the same model gave
    the answers of both sides, several gave those of one, or nobody knows which did.
    """
    before, after = _by_item("current", incumbent), _by_item("new", candidate)
    _check(exam, before, after)
    hashes = (who("current", incumbent), who("new", candidate))
    assert_apart(models, hashes)
    olds = [before[item.id].score for item in exam.items]
    news = [after[item.id].score for item in exam.items]
    clusters = [cluster_of(item) for item in exam.items]
    found = difference([new - old for old, new in zip(olds, news, strict=True)], clusters)
    gained = [item.id for item, old, new in zip(exam.items, olds, news, strict=True) if new > old]
    lost = [item.id for item, old, new in zip(exam.items, olds, news, strict=True) if new < old]
    questions = len(olds)
    return Comparison(
        questions=questions,
        incumbent=sum(olds) / questions,
        candidate=sum(news) / questions,
        difference=found.mean if found.method == "graded" else (len(gained) - len(lost)) / questions,
        interval=found.interval,
        gained=len(gained),
        lost=len(lost),
        p_value=found.p_value,
        meta={
            "method": found.method,
            "clusters": found.units,
            "effect": found.effect,
            "sees": detectable(questions, min(0.4, len(lost) / questions), found.effect),
            "power": _power(found.method, questions, len(gained), len(lost), found.effect),
            "intervals": [list(share_interval(scores, clusters)) for scores in (olds, news)],
            "gained": gained,
            "lost": lost,
            "answered": {"incumbent": hashes[0], "candidate": hashes[1]},
        },
    )


def cluster_of(item: EvalItem) -> str | None:
    """Return what a question hangs together with others by: a passage or conversation, or one fact in other words.

    The wordings of a correction are none: they are what is to be learnt, not a sample of it, and count singly.
    """
    named = (item.meta.get(name) for name in ("cluster", "fact"))
    return next((str(found) for found in named if found not in {None, ""}), None)


def _power(method: str, questions: int, gained: int, lost: int, effect: float) -> float | None:
    """Return the chance that an exam like this shows a gain if the flips that were seen are the true shares."""
    if method == "graded":
        return None
    return power(questions, gained / questions, lost / questions, effect)


def _check(exam: Eval, before: Mapping[str, EvalAnswer], after: Mapping[str, EvalAnswer]) -> None:
    known = {item.id for item in exam.items}
    faults: list[str] = []
    for side, rows in (("current", before), ("new", after)):
        faults += _name(f"not answered by the {side} model", known - rows.keys())
        faults += _name(f"answered by the {side} model but not in the exam", rows.keys() - known)
        wrong = {key for key, row in rows.items() if not 0 <= row.score <= 1}
        faults += _name(f"scored outside 0 to 1 ({side} model)", wrong)
        errored = {key for key, row in rows.items() if row.meta.get("errored")}
        faults += _name(f"without a grade ({side} model)", errored)
    both = before.keys() & after.keys()
    faults += _name("asked with unequal prompts", {key for key in both if before[key].prompt != after[key].prompt})
    if faults or not known:
        reason = "; ".join(faults) or "it has no question"
        raise Conflict(f"The runs of exam {exam.name} cannot be compared: {reason}.", "Run both models again.")


def _by_item(side: str, answers: Sequence[EvalAnswer]) -> dict[str, EvalAnswer]:
    rows = {answer.item: answer for answer in answers}
    if len(rows) < len(answers):
        keys = [answer.item for answer in answers]
        twice = _name(f"answered twice by the {side} model", {key for key in keys if keys.count(key) > 1})
        raise Conflict(f"The runs cannot be compared: {twice[0]}.", "Run the exam again.")
    return rows


def _name(fault: str, items: Iterable[str]) -> list[str]:
    named = sorted(items)
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return [f"{len(named)} {fault} ({', '.join(named[:5])}{more})"] if named else []


def flips(
    exam: Eval, incumbent: Sequence[EvalAnswer], candidate: Sequence[EvalAnswer]
) -> tuple[list[Flip], list[Flip]]:
    """Return the questions gained and those lost, each as (item, answer before, answer after), in exam order."""
    before, after = {a.item: a for a in incumbent}, {a.item: a for a in candidate}
    gained: list[Flip] = []
    lost: list[Flip] = []
    for item in exam.items:
        if item.id in before and item.id in after:
            old, new = before[item.id], after[item.id]
            if old.score != new.score:
                (gained if new.score > old.score else lost).append((item, old.answer, new.answer))
    return gained, lost
