"""Look through the calls of a workspace, and keep what goes wrong there as named insights.

This module knows the order of the steps: read, mark, compare, group, name, propose, keep. It does not know how any of
them is done, nor what a person decides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from feilun.errors import EngineDown
from feilun.feedback.insights import naming, progress
from feilun.feedback.insights.near import Encode, Space, space
from feilun.feedback.insights.signs import Asked, Call, read, repeated
from feilun.feedback.insights.themes import Theme, middle_of, themes, within
from feilun.records import JSON, Feedback, derived_id, normalise_text
from feilun.store import Database, traces
from feilun.store import feedback as judgements
from feilun.store.insights import Insight, kept
from feilun.store.insights.nouns import Proposal

MOST_CALLS, MOST_TEXTS = 20_000, 3_000
_EVIDENCE = 200  # of a theme, the newest
_SPANS = 8
_FALLING, _GROWING = 0.67, 1.5  # the failed share of the later half to that of the earlier
_SAME = 0.3  # of the smaller one's evidence that two findings of one theme have in common
Mask = Callable[[Sequence[str]], list[str]]  # texts -> the same texts without personal data


@dataclass(frozen=True, slots=True)
class _View:
    """What is looked at: the calls, the row of each in the space, the texts of the rows without personal data."""

    asked: Asked
    rows_of: list[int]
    space: Space
    shown: list[str]


def look(db: Database, ws: str, mask: Mask, encode: Encode | None = None, since: float = 0) -> list[Insight]:
    """Find what goes wrong in the calls made after ``since`` (s since 1970), keep it, and return all insights.

    Those with the most evidence come first. At most the newest 20,000 calls and 3,000 different questions count, failed
    ones before others. The same calls give the same insights; one that was found before keeps its id and its decision.
    ``encode`` gives vectors of texts as questions; without it nearness is one of characters. Looking is inspection: it
    needs no permission; what is made of an insight does (:func:`feilun.feedback.insights.deciding.accept`).
    """
    asked = read(traces.newest(db, ws, since, MOST_CALLS), _judged(db, ws))
    if not asked.calls:
        return kept.keep(db, ws, [])
    known = kept.find(db, ws)
    view = _view(asked, mask, encode)
    found = [_insight(ws, view, theme) for theme in themes(view.asked, view.rows_of, view.space)]
    return kept.keep(db, ws, _known_again(db, ws, view, found, known))


def _judged(db: Database, ws: str) -> dict[str, list[Feedback]]:
    found: defaultdict[str, list[Feedback]] = defaultdict(list)
    for one in judgements.find(db, ws):
        if not one.id.startswith("feedback-insight"):  # what was written for an insight is no complaint of a user
            found[one.trace].append(one)
    return found


def _view(asked: Asked, mask: Mask, encode: Encode | None) -> _View:
    newest = sorted(range(len(asked.calls)), key=lambda place: (not asked.calls[place].bad, -place))
    chosen: dict[str, str] = {}
    for place in newest:
        chosen.setdefault(normalise_text(asked.calls[place].question), asked.calls[place].question)
        if len(chosen) == MOST_TEXTS:
            break
    row = {key: n for n, key in enumerate(sorted(chosen))}
    texts = [chosen[key] for key in row]
    places = [place for place, call in enumerate(asked.calls) if normalise_text(call.question) in row]
    at = {place: n for n, place in enumerate(places)}
    pairs = [(at[first], at[second]) for first, second in asked.pairs if first in at and second in at]
    calls = Asked([asked.calls[place] for place in places], pairs)
    rows_of = [row[normalise_text(call.question)] for call in calls.calls]
    made = _space(texts, encode)

    def same(first: int, second: int) -> bool:
        return float(made.rows[rows_of[first]] @ made.rows[rows_of[second]]) >= made.again

    return _View(repeated(calls, same), rows_of, made, mask(texts))


def _space(texts: Sequence[str], encode: Encode | None) -> Space:
    try:
        return space(texts, encode)
    except EngineDown:  # what is found by characters is less, and better than nothing
        return space(texts, None)


def _insight(ws: str, view: _View, theme: Theme) -> Insight:
    calls = [view.asked.calls[place] for place in theme.failed]
    inside = sorted({view.rows_of[place] for place in theme.failed})
    near = {view.rows_of[place] for place in theme.near}
    told = naming.terms([view.shown[row] for row in inside], [t for n, t in enumerate(view.shown) if n not in near])
    question = naming.typical([view.shown[row] for row in inside], view.space.rows[inside], theme.middle)
    reasons = Counter(sign for call in calls for sign in call.signs)
    down = sum(call.thumb < 0 for call in calls)
    all_down = sum(call.thumb < 0 for call in view.asked.calls)
    return Insight(
        id=derived_id("insight", ws, calls[0].trace.id),
        workspace=ws,
        name=f"{', '.join(told)}: {question}" if told else question,
        question=question,
        terms=told,
        proposal=_proposal(reasons, len(calls)),
        evidence=tuple({"trace": call.trace.id, "why": sorted(call.signs)} for call in calls[-_EVIDENCE:]),
        calls=len(theme.near),
        share=round(theme.share, 4),
        reasons={sign: reasons[sign] for sign in sorted(reasons)},
        rated={
            "down": down,
            "up": sum(view.asked.calls[place].thumb > 0 for place in theme.near),
            "of_all_down": round(down / all_down, 4) if all_down else 0.0,
        },
        trend=_trend([call.trace.created for call in calls], view.asked.calls),
    )


def _proposal(reasons: Counter[str], count: int) -> Proposal:
    """Return what would help: corrections teach; who refuses, fails or breaks off needs other instructions."""
    if reasons["corrected"] * 5 >= count:
        return "samples"
    if (reasons["refused"] + reasons["error"] + reasons["cut"]) * 2 > count:
        return "template"
    return "knowledge"


def _trend(times: Sequence[float], calls: Sequence[Call]) -> JSON:
    """Return how many failed calls there were in each of eight equal spans, and in a word whether they grow."""
    first, last = calls[0].trace.created, calls[-1].trace.created
    width = max((last - first) / _SPANS, 1e-9)

    def spread(stamps: Sequence[float]) -> list[int]:
        counts = [0] * _SPANS
        for stamp in stamps:
            counts[min(_SPANS - 1, int((stamp - first) / width))] += 1
        return counts

    counts, every = spread(times), spread([call.trace.created for call in calls])
    half = _SPANS // 2
    before, after = (sum(counts[part]) / max(1, sum(every[part])) for part in (slice(half), slice(half, None)))
    ratio = (after + 1e-9) / (before + 1e-9)
    steady = sum(counts) < _SPANS or last == first or _FALLING < ratio < _GROWING
    word = "steady" if steady else "growing" if ratio > 1 else "falling"
    return {"counts": counts, "word": word}


def _known_again(db: Database, ws: str, view: _View, found: list[Insight], known: Sequence[Insight]) -> list[Insight]:
    """Return what was found, under the ids of what is known already, with those decided on whose calls are counted."""
    result: dict[str, Insight] = {}
    for insight in found:
        mine = {part["trace"] for part in insight.evidence}
        same = [
            (len(mine & theirs) / min(len(mine), len(theirs)), each.id)
            for each in known
            if each.id not in result and (theirs := {part["trace"] for part in each.evidence})
        ]
        score, again = max(same, default=(0.0, ""))
        place = again if score >= _SAME else insight.id
        result.setdefault(place, replace(insight, id=place))
    for each in known:
        if each.status == "accepted":
            result[each.id] = replace(result.get(each.id, each), live=_live(db, ws, view, each))
    return list(result.values())


def _live(db: Database, ws: str, view: _View, insight: Insight) -> JSON:
    """Return how many calls asked what an insight is about, before and after what it taught was served."""
    mine = {str(part["trace"]) for part in insight.evidence}
    rows = [view.rows_of[place] for place, call in enumerate(view.asked.calls) if call.trace.id in mine]
    if not rows:
        return insight.live
    middle, bound = middle_of(view.space.rows[rows])
    near = set(within(view.space.rows, view.rows_of, middle, bound))
    served = progress.served_since(db, ws, insight)
    return progress.before_and_after(view.asked.calls, near, served)
