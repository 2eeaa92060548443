"""What the measured means prove, what each costs, and what to do, in plain words.

All means are held against the same questions as they are, so that one difference may look good by luck: intervals hold
together for all that were tried (Bonferroni), and what is called better is so by Holm's method. This module knows that
and the words. It does not know how answers came about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from feilun.evaluation.compare import questions_to_prove, signed_points
from feilun.evaluation.statistics import difference, holm, share_interval, shared_level
from feilun.records import JSON, Comparison

_ALPHA = 0.05
_NEAR = 0.03  # of two means that differ by less, the cheaper one


@dataclass(frozen=True, slots=True)
class Measured:
    """One means on so many ``questions``: its share, the gain over as it is, and what a question costs.

    ``interval`` of the gain holds together with those of all other means. ``p_value`` is corrected for their number.
    ``tokens`` are those of prompt and answer, ``seconds`` the time, of one question; ``setup`` is spent once;
    ``money`` is for a thousand questions (None: no price). ``stopped`` says that it was given up before the end.
    """

    name: str
    about: tuple[str, str]
    questions: int
    share: float
    shares: tuple[float, float]
    gain: float
    interval: tuple[float, float]
    p_value: float
    tokens: float
    seconds: float
    setup: float
    money: float | None
    stopped: bool
    identity: str

    @property
    def better(self) -> bool:
        """Whether the gain is proven."""
        return not self.stopped and self.p_value < _ALPHA and self.interval[0] > 0

    def worth(self, usual: Measured) -> float | None:
        """Return the points gained for each hundred tokens more a question; None where it takes no more."""
        more = self.tokens - usual.tokens
        return 100 * self.gain / (more / 100) if more > 0.5 else None


def measured(
    answers: Mapping[str, Sequence[JSON]],
    about: Mapping[str, tuple[tuple[str, str], float]],
    clusters: Mapping[str, str | None],
    whole: int,
    prices: tuple[float, float] | None,
) -> list[Measured]:
    """Return the figures of every means, the first of ``answers`` being that of no means at all.

    ``answers`` are replies by means; ``about`` says what each is and the seconds that it takes once; ``clusters`` which
    items hang together; ``whole`` how many questions a finished means has answered; ``prices`` are money for a million
    tokens in and out.
    """
    names = list(answers)
    usual = {row["item"]: row for row in answers[names[0]]}
    tried = len(names) - 1
    found, raw = [], []
    for name in names:
        rows = answers[name]
        gains = [float(row["score"]) - float(usual[row["item"]]["score"]) for row in rows]
        groups = [clusters.get(row["item"]) for row in rows]
        told = difference(gains, groups, shared_level(tried))
        raw.append(told.p_value)
        count = max(1, len(rows))
        prompt, completion = (sum(row[f"{kind}_tokens"] for row in rows) / count for kind in ("prompt", "completion"))
        scores = [float(row["score"]) for row in rows]
        found.append(
            Measured(
                name=name,
                about=about[name][0],
                questions=len(rows),
                share=sum(scores) / count,
                shares=share_interval(scores, groups),
                gain=told.mean,
                interval=told.interval,
                p_value=1.0,
                tokens=prompt + completion,
                seconds=sum(row["seconds"] for row in rows) / count,
                setup=about[name][1],
                money=None if prices is None else (prompt * prices[0] + completion * prices[1]) / 1000,
                stopped=len(rows) < whole,
                identity="+".join(sorted({str(row["identity"]) for row in rows})),
            )
        )
    corrected = [1.0, *holm(raw[1:])]
    return [_with(each, p) for each, p in zip(found, corrected, strict=True)]


def _with(each: Measured, p: float) -> Measured:
    return Measured(**{**{name: getattr(each, name) for name in each.__slots__}, "p_value": p})


def best(found: Sequence[Measured]) -> Measured | None:
    """Return the cheapest of those proven better that comes near the best of them; None if none is proven."""
    better = [each for each in found[1:] if each.better]
    if not better:
        return None
    top = max(each.share for each in better)
    near = [each for each in better if each.share >= top - _NEAR]
    return min(near, key=lambda each: (each.setup, each.tokens, -each.share))


def recommendation(found: Sequence[Measured], left: Sequence[str], least: float) -> JSON:
    """Return what to do (``en``, ``zh``), the ``means`` that is recommended (empty: none), and whether that ``tells``.

    ``left`` are means that were not there to be tried, ``least`` is the gain (share) that would be worth having.
    """
    usual, chosen = found[0], best(found)
    head_en = f"As it is, the model answers {usual.share:.0%} of {usual.questions} questions right"
    head_zh = f"现状：{usual.questions} 题答对 {usual.share:.0%}"
    if usual.share > 1 - least:
        return _said("", True, f"{head_en}: there is nothing to gain here.", f"{head_zh}，没有什么可改进的。")
    if chosen is not None:
        low, high = (signed_points(end) for end in chosen.interval)
        cost_en, cost_zh = _more(chosen, usual)
        en = (
            f"{head_en}. Do this: {chosen.about[0]} ({chosen.name}). That gives {chosen.share:.0%}, "
            f"{signed_points(chosen.gain)} points ({low} to {high}, all means considered), and costs {cost_en}."
        )
        zh = (
            f"{head_zh}。建议：{chosen.about[1]}（{chosen.name}）。答对 {chosen.share:.0%}，"
            f"{signed_points(chosen.gain)} 个百分点（考虑全部方法后的区间 {low} 至 {high}），成本：{cost_zh}。"
        )
        return _said(chosen.name, True, en, zh)
    tried = [each for each in found[1:] if each.questions]
    top = max(tried, key=lambda each: each.gain, default=None)
    if top is None or max(each.interval[1] for each in tried) <= least:
        en = f"{head_en}. None of the means that were tried gains {100 * least:.0f} points or more. {_next(left)[0]}"
        zh = f"{head_zh}。试过的方法都不能带来 {100 * least:.0f} 个百分点以上的进步。{_next(left)[1]}"
        return _said("", True, en, zh)
    low, high = (signed_points(end) for end in top.interval)
    en = (
        f"{head_en}. Cannot tell which means helps: the best, {top.name}, changed it by "
        f"{signed_points(top.gain)} points ({low} to {high}, all means considered), which may be chance."
    )
    zh = (
        f"{head_zh}。无法判断哪种方法有用：最好的 {top.name} 变化 {signed_points(top.gain)} 个百分点"
        f"（考虑全部方法后的区间 {low} 至 {high}），可能出于偶然。"
    )
    flips = round(max(0.0, top.gain) * top.questions)
    seen = Comparison(top.questions, usual.share, top.share, top.gain, top.interval, max(flips, 1), 0, top.p_value)
    needed = questions_to_prove(seen)
    if needed and needed > top.questions:
        en += f" About {2 * needed} questions would tell: give --sample or a longer exam."
        zh += f"约需 {2 * needed} 题才能判断：请加大 --sample 或使用更长的考试。"
    return _said("", False, f"{en} {_next(left)[0]}".strip(), f"{zh}{_next(left)[1]}")


def _said(means: str, tells: bool, en: str, zh: str) -> JSON:
    return {"means": means, "tells": tells, "en": en, "zh": zh}


def _more(chosen: Measured, usual: Measured) -> tuple[str, str]:
    more, slower = chosen.tokens - usual.tokens, chosen.seconds - usual.seconds
    en = f"{more:+.0f} tokens and {slower:+.2f} s a question"
    zh = f"每题 {more:+.0f} 个词元、{slower:+.2f} 秒"
    if chosen.setup:
        en, zh = f"{en}, and {chosen.setup:.0f} s once", f"{zh}，另有一次性的 {chosen.setup:.0f} 秒"
    return en, zh


def _next(left: Sequence[str]) -> tuple[str, str]:
    if not left:
        return "", ""
    return (
        f"Not tried, because there was nothing for it: {', '.join(left)}.",
        f"因没有材料而未试：{'、'.join(left)}。",
    )


def plain(each: Measured, usual: Measured) -> JSON:
    """Return the figures of one means as JSON."""
    return {**asdict(each), "better": each.better, "points_per_100_tokens": each.worth(usual)}
