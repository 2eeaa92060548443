"""What has changed since the last time: volume, freshness, form, languages, lengths, what is wrong.

This module knows two reports and when a change is worth an alert. It does not know where reports are kept.

Source: the population stability index (Siddiqi 2006, Credit Risk Scorecards), 0.25 and above counting as a shift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from feilun.records import JSON

SHIFT = 0.25
_LESS, _MORE = 0.7, 3.0
_RATE = 0.1
_FEW = 20  # rows; of fewer no shares are compared
_STALE_DAYS = 365


def stability(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the population stability index of two lists of counts over the same bins; 0 where either is empty."""
    total_before, total_after = sum(before), sum(after)
    if not total_before or not total_after:
        return 0.0
    index = 0.0
    for one, other in zip(before, after, strict=True):
        # Half a row in an empty bin, so that it counts without being endless.
        p, q = max(one, 0.5) / total_before, max(other, 0.5) / total_after
        index += (q - p) * math.log(q / p)
    return index


def compare(before: JSON | None, after: JSON) -> JSON:
    """Return how a report differs from the one before: figures, and ``alerts`` in both languages."""
    if before is None:
        return {"first": True, "alerts": []}
    old, new = before["shape"], after["shape"]
    alerts: list[JSON] = []
    _volume(old["rows"], new["rows"], alerts)
    shifts = {"lengths": 0.0, "languages": 0.0}
    if min(old["rows"], new["rows"]) >= _FEW:
        shifts["lengths"] = stability(old["lengths"], new["lengths"])
        shifts["languages"] = _stability_of(old["languages"], new["languages"])
    for name, (en, zh) in {"lengths": ("lengths of texts", "文本长度"), "languages": ("languages", "语言")}.items():
        if shifts[name] >= SHIFT:
            alerts.append(
                _alert("distribution", f"The {en} have shifted since the last time.", f"{zh}的分布与上次明显不同。")
            )
    new_forms = sorted(set(new["forms"]) - set(old["forms"]))
    gone = sorted(set(old["forms"]) - set(new["forms"]))
    if new_forms or gone:
        told = ", ".join([*(f"+{form}" for form in new_forms), *(f"-{form}" for form in gone)])
        alerts.append(_alert("schema", f"The form of rows has changed: {told}.", f"数据结构有变化：{told}。"))
    missing = sorted(set(old["files"]) - set(new["files"]))
    if missing:
        names = ", ".join(missing[:5])
        alerts.append(_alert("sources", f"Nothing comes from {names} any more.", f"不再有来自 {names} 的内容。"))
    _rates(before, after, alerts)
    _freshness(after, alerts)
    return {"first": False, "rows": [old["rows"], new["rows"]], "stability": shifts, "alerts": alerts}


def _volume(before: int, after: int, alerts: list[JSON]) -> None:
    if before and (after < _LESS * before or after > _MORE * before):
        alerts.append(
            _alert("volume", f"There are {after} rows where there were {before}.", f"行数由 {before} 变为 {after}。")
        )


def _rates(before: JSON, after: JSON, alerts: list[JSON]) -> None:
    def rates(report: JSON) -> dict[tuple[str, str, str], float]:
        total = max(1, report["rows"]["in"])
        wrong = [f for f in report["findings"] if f["action"] in {"dropped", "flagged", "set_aside"}]
        return {(f["operator"], f["en"], f["zh"]): f["rows"] / total for f in wrong}

    if min(before["rows"]["in"], after["rows"]["in"]) < _FEW:
        return
    old = rates(before)
    for key, rate in rates(after).items():
        if rate - old.get(key, 0.0) > _RATE:
            share, was = f"{100 * rate:.0f} %", f"{100 * old.get(key, 0.0):.0f} %"
            alerts.append(
                _alert(
                    "rate", f"{key[1]} ({share} of rows, {was} the last time)", f"{key[2]}（占 {share}，上次 {was}）"
                )
            )


def _freshness(after: JSON, alerts: list[JSON]) -> None:
    days = after.get("newest_days")
    if days is not None and days > _STALE_DAYS:
        alerts.append(_alert("freshness", f"The newest file is {days} days old.", f"最新的文件已有 {days} 天。"))


def _stability_of(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    names = sorted({*before, *after})
    return stability([before.get(name, 0) for name in names], [after.get(name, 0) for name in names])


def _alert(kind: str, en: str, zh: str) -> JSON:
    return {"kind": kind, "en": en, "zh": zh}
