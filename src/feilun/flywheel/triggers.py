"""When a wheel is due: what is new since it last turned, and whether that is reason enough.

A turn over the same inputs makes the same model, so a wheel is quiet until something is new, whatever its schedule
says. This module knows inputs and rules. It does not know how a turn is made.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from feilun.curation.health.drift import SHIFT, stability
from feilun.records import JSON, Trace, content_hash
from feilun.settings import Settings
from feilun.store import feedback, sources, traces
from feilun.store.database import Database
from feilun.store.wheel import Rules, Wheel, spins

HOUR = 3600.0
LEAST_SECONDS = 60.0  # a turn with less than this left of a budget is not begun
_EDGES = (10, 20, 40, 80, 160, 320)  # characters of questions, doubling
_FEW = 20  # questions; of fewer no shares are compared
_LATEST = 2000


@dataclass(frozen=True, slots=True)
class Due:
    """Whether to turn: the trigger (empty: not now), and why, in both languages."""

    trigger: str
    en: str
    zh: str

    def why(self) -> JSON:
        """Return it as plain data."""
        return {"trigger": self.trigger, "en": self.en, "zh": self.zh}


def inputs(db: Database, settings: Settings, ws: str, rules: Rules) -> JSON:
    """Return what a turn would learn from now: counts, and what changes when anything in it does."""
    judged = feedback.find(db, ws)
    # Files come in by turns themselves; whether they are new is told by the folders.
    kept = [one for one in sources.find(db, ws) if one.origin not in {"feedback", "file"}]
    base = Path(settings.model).expanduser()
    return {
        "corrections": sum(bool(one.correction.strip()) for one in judged),
        "judgements": len(judged),
        "sources": content_hash([[one.id, one.permissions.train, one.permissions.retrieve] for one in kept]),
        "files": _signature([Path(path).expanduser() for path in rules.paths]),
        "base": f"{settings.model} {_signature([base])}" if base.exists() else settings.model,
    }


def due(db: Database, settings: Settings, wheel: Wheel, now: float | None = None) -> Due:
    """Return whether a wheel is to turn now (s since 1970), and why or why not."""
    now = time.time() if now is None else now
    rules, before = wheel.rules, wheel.state.get("inputs")
    seen = inputs(db, settings, wheel.workspace, rules)
    if before is not None and before == seen:
        return Due("", "Nothing is new since the last turn.", "自上一轮以来没有新内容。")
    left = seconds_left(db, wheel, now)
    if left is not None and left < LEAST_SECONDS:
        return Due("", "The budget of the day is spent.", "今日预算已用完。")
    if now < float(wheel.state.get("not_before", 0.0)):
        return Due("", "The last try failed a moment ago.", "上次尝试刚刚失败。")
    if wheel.state.get("asked"):
        return Due("asked", "Somebody asked for it.", "有人要求运行。")
    if before is None:
        empty = not (seen["judgements"] or rules.paths or _any_source(db, wheel.workspace))
        if empty:
            return Due("", "There is nothing to learn from yet.", "还没有可学习的内容。")
        return Due("first", "It has not turned yet.", "尚未运行过。")
    return _changed(db, wheel, before, seen, now)


def _changed(db: Database, wheel: Wheel, before: JSON, seen: JSON, now: float) -> Due:
    rules = wheel.rules
    more = seen["corrections"] - before["corrections"]
    if rules.base and seen["base"] != before["base"]:
        return Due("base", "There is another base model.", "基础模型已更换。")
    if rules.corrections and more >= rules.corrections:
        return Due("corrections", f"{more} new corrections.", f"新增 {more} 条更正。")
    if rules.source and (seen["sources"], seen["files"]) != (before["sources"], before["files"]):
        return Due("source", "Sources are new or changed.", "来源有新增或变化。")
    since = float(wheel.state.get("at", 0.0))
    if rules.every_hours and now - since >= rules.every_hours * HOUR:
        return Due("schedule", f"{rules.every_hours:g} hours have passed.", f"已过 {rules.every_hours:g} 小时。")
    if rules.drift and drifted(db, wheel.workspace, since):
        return Due("drift", "What is asked has shifted since the last turn.", "提问内容自上一轮以来明显变化。")
    return Due("", "What is new is not enough yet.", "新内容还不够多。")


def drifted(db: Database, ws: str, since: float) -> bool:
    """Say whether questions after a time (s) differ from those before it in length or script by as much as counts.

    Source: the population stability index, as in ``curation.health.drift``.
    """
    later = _questions(traces.newest(db, ws, since, _LATEST))
    month = traces.find(db, ws, max(0.0, since - 30 * 24 * HOUR), _LATEST)
    earlier = _questions([call for call in month if call.created <= since])
    if min(len(later), len(earlier)) < _FEW:
        return False
    lengths = [[sum(_bin(text) == at for text in texts) for at in range(len(_EDGES) + 1)] for texts in (earlier, later)]
    scripts = [Counter(any("\u3400" <= c <= "\u9fff" for c in text) for text in texts) for texts in (earlier, later)]
    by_script = [[counts[True], counts[False]] for counts in scripts]
    return max(stability(*lengths), stability(*by_script)) >= SHIFT


def seconds_left(db: Database, wheel: Wheel, now: float) -> float | None:
    """Return how long the next turn may take (s), by its own budget and what the day's has left; None: no limit.

    A turn that was killed counts from when it goes on.
    """
    rules = wheel.rules
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    over = spins(db, wheel.workspace, midnight)
    spent = sum(min(float(one.outcome.get("spent", 0.0)), one.ended - midnight) for one in over if one.ended)
    limits = [rules.turn_minutes * 60] if rules.turn_minutes else []
    limits += [rules.day_minutes * 60 - spent] if rules.day_minutes else []
    if rules.hour_price:
        limits += [rules.turn_money / rules.hour_price * HOUR] if rules.turn_money else []
        limits += [rules.day_money / rules.hour_price * HOUR - spent] if rules.day_money else []
    return max(0.0, min(limits)) if limits else None


def _signature(paths: Sequence[Path]) -> str:
    """Return what changes when a file below ``paths`` does: names, sizes and times."""
    found = []
    for path in sorted(paths):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                said = file.stat()
                found.append([str(file.absolute()), said.st_size, said.st_mtime_ns])
    return content_hash(found)


def _any_source(db: Database, ws: str) -> bool:
    return any(one.origin != "feedback" for one in sources.find(db, ws))


def _questions(calls: Sequence[Trace]) -> list[str]:
    asked = ([str(m.get("content") or "") for m in call.messages if m.get("role") == "user"] for call in calls)
    return [texts[-1] for texts in asked if texts]


def _bin(text: str) -> int:
    return sum(len(text) > edge for edge in _EDGES)
