"""The figures of one cell, model on exam, and which model is the smallest that passes.

A model passes a bar if the lower end of its 95 % interval reaches it: a share alone may be luck. This module knows
arithmetic. It does not know where answers are kept or what they cost by the token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from feilun.evaluation.answered import IDENTITY
from feilun.evaluation.statistics import share_interval
from feilun.records import JSON, EvalAnswer

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a token costs, in nano-units of money: of the prompt, and of the answer."""

    prompt: int
    answer: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one exam. What nobody measured is None: ``seconds``, ``joules``, ``money`` (in whole units).

    ``share`` is the mean score with its 95 % ``interval``; ``right`` counts whole right answers.
    """

    model: str
    exam: str
    run: str
    answered: int
    questions: int
    right: int
    share: float
    interval: tuple[float, float]
    prompt_tokens: int
    completion_tokens: int
    seconds: float | None
    joules: float | None
    money: float | None
    identity: str
    created: float

    @property
    def complete(self) -> bool:
        """Whether every question was answered: only then may the model be ranked."""
        return self.answered == self.questions

    def per_right(self) -> dict[str, float | None]:
        """Return what one right answer cost (``seconds``, ``joules``, ``money``); None if unknown or none was right."""
        spent = {"seconds": self.seconds, "joules": self.joules, "money": self.money}
        return {name: value / self.right if value is not None and self.right else None for name, value in spent.items()}


@dataclass(frozen=True, slots=True)
class Model:
    """A model that sat something: its ``size`` is the bytes of its weights; None where nobody knows."""

    id: str
    name: str
    kind: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Board:
    """Models and exams (id to name), the cells between them, the ``bar``, and the smallest that passes each exam.

    ``smallest`` maps an exam's id, and ``""`` for all exams together, to a model's id.
    """

    models: tuple[Model, ...]
    exams: dict[str, str]
    cells: tuple[Cell, ...]
    bar: float
    smallest: dict[str, str] = field(default_factory=dict)

    def ranked(self, exam: str) -> list[Cell]:
        """Return the cells of an exam: complete ones by their share, then those that are not."""
        mine = [cell for cell in self.cells if cell.exam == exam]
        return sorted(mine, key=lambda cell: (not cell.complete, -cell.share, cell.model))


def cell(
    model: str, exam: str, run: JSON, answers: Sequence[EvalAnswer], clusters: Sequence[str | None], price: Price | None
) -> Cell:
    """Return the figures of a run's ``answers``, of which each belongs to one of ``clusters`` (None: to none).

    ``run`` holds ``id``, ``created`` and how many ``questions`` there are.
    """
    scores = [answer.score for answer in answers]
    costs = [{**answer.meta.get("sample", {}), **answer.meta} for answer in answers]
    prompt, completion = (
        sum(int(cost.get(f"{kind}_tokens") or 0) for cost in costs) for kind in ("prompt", "completion")
    )
    hashes = {str(cost.get(IDENTITY, "")) for cost in costs}
    return Cell(
        model=model,
        exam=exam,
        run=str(run["id"]),
        answered=len(answers),
        questions=int(run["questions"]),
        right=sum(answer.score >= 1 or bool(answer.meta.get("passed")) for answer in answers),
        share=sum(scores) / len(scores),
        interval=share_interval(scores, clusters),
        prompt_tokens=prompt,
        completion_tokens=completion,
        seconds=_sum(costs, "seconds"),
        joules=_sum(costs, "joules"),
        money=None if price is None else (prompt * price.prompt + completion * price.answer) / NANO,
        identity=hashes.pop() if len(hashes) == 1 else "",
        created=float(run["created"]),
    )


def _sum(costs: Sequence[JSON], name: str) -> float | None:
    found = [cost.get(name) for cost in costs]
    return None if any(value is None for value in found) else float(sum(value for value in found if value is not None))


def smallest(models: Sequence[Model], cells: Sequence[Cell], bar: float) -> dict[str, str]:
    """Return the smallest model that passes the ``bar`` of each exam, and (key ``""``) of every exam that there is.

    Of equal sizes the one with the higher lower end. A model of unknown size is never named: nobody can say that
    it is small.
    """
    exams = sorted({each.exam for each in cells})
    sizes = {model.id: model.size for model in models if model.size is not None}
    passed = {
        (each.model, each.exam): each.interval[0]
        for each in cells
        if each.complete and each.interval[0] >= bar and each.model in sizes
    }
    found: dict[str, str] = {}
    for key, wanted in [*((exam, [exam]) for exam in exams), ("", exams)]:
        fit = [model for model in sizes if wanted and all((model, exam) in passed for exam in wanted)]
        if fit:
            found[key] = min(fit, key=lambda each: (sizes[each], -min(passed[each, exam] for exam in wanted), each))
    return found
