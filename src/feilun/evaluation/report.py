"""The report of a turn: one HTML file in English and Chinese for people who are no experts.

It is whole in itself: no script, no request to anywhere, every foreign text escaped. This module knows how to show what
was found. It does not know where the findings come from or where the page is kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from feilun.errors import BadRequest
from feilun.evaluation import charts
from feilun.evaluation.compare import Flip, signed_points
from feilun.evaluation.deciding import beyond
from feilun.evaluation.words import LANGUAGES, WORDS
from feilun.records import JSON, Comparison, Eval, EvalAnswer, Verdict

_SHOWN = 4
_MOST = 200
_WEAK = 0.75


@dataclass(frozen=True, slots=True)
class Topic:
    """A group of exam questions, with the share (0–1) that each model answered right."""

    name: str
    questions: int
    incumbent: float
    candidate: float


@dataclass(frozen=True, slots=True)
class Example:
    """A question whose answer changed from wrong to right or back."""

    question: str
    expected: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be used; ``reason`` in ``en`` and ``zh``."""

    name: str
    reason: JSON


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many question/answer pairs were dropped for one ``reason`` (``en`` and ``zh``)."""

    reason: JSON
    count: int


@dataclass(frozen=True, slots=True)
class DataHealth:
    """What the files gave: ``files`` came in (``skipped`` among them), pairs ``found`` and ``kept``."""

    files: int
    found: int
    kept: int
    skipped: tuple[Skipped, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    masked: int = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """Whether the engine reproduces the trainer: largest log-probability ``difference`` (nats), parts that differ."""

    prompts: int
    difference: float
    tolerance: float
    differs: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs beyond the tolerance."""
        return not self.differs and self.difference <= self.tolerance


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that the report shows.

    ``verdict`` brings the decision, both comparisons and the model ids; ``margin`` and ``pass_mark`` are shares;
    ``loss`` is (step, loss); ``steps`` is (name, seconds), known names are translated; ``hashes`` maps parts of the
    model version to SHA-256 sums; ``base`` names the model that the version builds on; ``dataset`` is its dataset
    version's id; ``peak_mib`` is the most memory in use.
    """

    workspace: str
    verdict: Verdict
    margin: float
    pass_mark: float
    data: DataHealth
    topics: tuple[Topic, ...] = ()
    gained: tuple[Example, ...] = ()
    lost: tuple[Example, ...] = ()
    loss: tuple[tuple[int, float], ...] = ()
    tokens_per_second: float = 0.0
    steps: tuple[tuple[str, float], ...] = ()
    identity: Identity | None = None
    base: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    dataset: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    corrections: int = 0
    peak_mib: float = 0.0


def examples(flips: Iterable[Flip]) -> tuple[Example, ...]:
    """Return the report's examples from one side of :func:`feilun.evaluation.compare.flips`."""
    return tuple(Example(item.question, item.accept[0], before, after) for item, before, after in flips)


def topics(
    exam: Eval, incumbent: Sequence[EvalAnswer], candidate: Sequence[EvalAnswer], by: str = "topic"
) -> tuple[Topic, ...]:
    """Return both models' shares by the items' ``meta[by]``, in exam order; items without it are left out."""
    before, after = {a.item: a.score for a in incumbent}, {a.item: a.score for a in candidate}
    groups: dict[str, list[tuple[float, float]]] = {}
    for item in exam.items:
        if by in item.meta and item.id in before and item.id in after:
            groups.setdefault(str(item.meta[by]), []).append((before[item.id], after[item.id]))
    return tuple(
        Topic(name, len(rows), sum(b for b, _ in rows) / len(rows), sum(a for _, a in rows) / len(rows))
        for name, rows in groups.items()
    )


def render(data: ReportData, language: str = "en") -> str:
    """Return the page, complete in both languages, opening in ``language``; raise BadRequest for another language."""
    if language not in LANGUAGES:
        raise BadRequest(f"The report is not written in {language!r}.", f"Choices: {', '.join(LANGUAGES)}.", "language")
    environment = Environment(
        loader=PackageLoader("feilun.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(data.verdict.created))
    views = [_view(data, one) for one in LANGUAGES]
    template = environment.get_template("report.html.j2")
    return template.render(data=data, views=views, language=language, day=day, shown=_SHOWN, most=_MOST)


def _view(data: ReportData, language: str) -> dict[str, Any]:
    """Return what one language's half of the page needs beside ``data``."""
    words = WORDS[language]
    own, general = data.verdict.own, data.verdict.general
    return {
        "lang": language,
        "w": words,
        "reason": data.verdict.reason[language],
        "own": own and _exam(own, words, None),
        "general": general and _exam(general, words, data.margin),
        "margin": f"{100 * data.margin:g}",
        "own_caption": words[_own_caption(own)] if own else "",
        "general_caption": words[_general_caption(general, data.margin)] if general else "",
        "guards": [
            _guard(name, rows, data.margin, words) for name, rows in data.verdict.meta.get("guards", {}).items()
        ],
        "topics": [_topic(topic, words) for topic in data.topics],
        "curve": charts.curve(data.loss, words["loss"], (words["step"], words["loss"])),
        "loss_note": _loss_note(data.loss, words),
        "steps": [(words.get(f"step_{name}", name), _duration(seconds, words)) for name, seconds in data.steps],
        "total": _duration(sum(seconds for _, seconds in data.steps), words),
        "hashes": {words.get(f"part_{part}", part): value for part, value in data.hashes.items()},
        "differs": words["separator"].join(
            words.get(f"part_{part}", part) for part in (data.identity and data.identity.differs) or ("answers",)
        ),
        "next": _next(data, words),
    }


def _exam(comparison: Comparison, words: Mapping[str, str], margin: float | None) -> dict[str, Any]:
    shares = (("before", comparison.incumbent), ("after", comparison.candidate))
    counts = {
        name: words["of_questions"].format(right=round(share * comparison.questions), questions=comparison.questions)
        for name, share in shares
    }
    limit = words["limit"].format(margin=signed_points(-(margin or 0)))
    return {
        "questions": comparison.questions,
        "before": f"{100 * comparison.incumbent:.0f}",
        "after": f"{100 * comparison.candidate:.0f}",
        "count_before": counts["before"],
        "count_after": counts["after"],
        "note": words["figure_note"].format(
            difference=signed_points(comparison.difference),
            low=signed_points(comparison.interval[0]),
            high=signed_points(comparison.interval[1]),
        ),
        "power": _power(comparison, words),
        "bars": charts.bars(
            [(f"{words[name]} · {counts[name]}", share, name) for name, share in shares], words["share_right"]
        ),
        "interval": charts.interval(
            comparison.difference, comparison.interval, words["difference"], (words["no_difference"], limit), margin
        ),
    }


def _power(comparison: Comparison, words: Mapping[str, str]) -> str:
    """Return what an exam like this can show, and how many separate things its questions are about."""
    found, said = comparison.meta, []
    if clusters := found.get("clusters"):
        if clusters < comparison.questions:
            said.append(words["hang_together"].format(questions=comparison.questions, clusters=clusters))
        sees = found.get("sees")
        said.append(words["sees"].format(sees=math.ceil(100 * sees - 0.05)) if sees else words["sees_nothing"])
    return " ".join(said)


def _guard(name: str, found: JSON, margin: float, words: Mapping[str, str]) -> dict[str, str]:
    """Return the figures of one guard exam, from a comparison as it is kept."""
    low, high = found["interval"]
    lost = beyond(found["interval"], found["p_value"], margin)
    state = "guard_kept" if low > -margin else "guard_lost" if lost else "guard_open"
    difference, ends = signed_points(found["difference"]), (signed_points(low), signed_points(high))
    note = words["figure_note"].format(difference=difference, low=ends[0], high=ends[1])
    return {"name": name, "state": words[state], "note": note}


def _own_caption(own: Comparison) -> str:
    if own.p_value >= 0.05:
        return "own_unclear"
    return "own_better" if own.interval[0] > 0 else "own_worse" if own.interval[1] < 0 else "own_unclear"


def _general_caption(general: Comparison, margin: float) -> str:
    return "general_kept" if general.interval[0] > -margin else "general_broken"


def _topic(topic: Topic, words: Mapping[str, str]) -> dict[str, Any]:
    said = words["topic_change"].format(
        before=f"{100 * topic.incumbent:.0f}", after=f"{100 * topic.candidate:.0f}", questions=topic.questions
    )
    return {"name": topic.name, "said": said, "chart": charts.change(topic.incumbent, topic.candidate, said)}


def _loss_note(loss: Sequence[tuple[int, float]], words: Mapping[str, str]) -> str:
    if not loss:
        return words["no_loss"]
    first, last = f"{loss[0][1]:.2f}", f"{loss[-1][1]:.2f}"
    return words["loss_from_to"].format(first=first, last=last, steps=loss[-1][0])


def _duration(seconds: float, words: Mapping[str, str]) -> str:
    if seconds < 59.95:
        return words["seconds"].format(seconds=f"{seconds:.1f}")
    minutes, rest = divmod(round(seconds), 60)
    return words["minutes"].format(minutes=minutes, seconds=rest)


def _next(data: ReportData, words: Mapping[str, str]) -> list[str]:
    """Return what to do next: one plain sentence each, the most useful first."""
    verdict = data.verdict
    keys = ["next_ask"] if verdict.promoted else ["next_safe"]
    if not verdict.promoted:
        if data.identity and not data.identity.same:
            keys.append("next_identity")
        if verdict.own and (_own_caption(verdict.own) != "own_better" or verdict.own.candidate < data.pass_mark):
            keys.append("next_more")
        if verdict.general and _general_caption(verdict.general, data.margin) == "general_broken":
            keys.append("next_gentler")
    keys.append("next_correct")
    weak = sorted((topic for topic in data.topics if topic.candidate < _WEAK), key=lambda topic: topic.candidate)[:3]
    keys += ["next_weak"] if weak else []
    keys += ["next_lost"] if data.lost else []
    keys += ["next_skipped"] if data.data.skipped else []
    names = words["separator"].join(topic.name for topic in weak)
    return [words[key].format(topics=names) if key == "next_weak" else words[key] for key in keys]
