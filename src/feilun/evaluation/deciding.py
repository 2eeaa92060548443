"""Whether a candidate may be promoted, and why, in plain words.

Better on its own exam, fit for use, and no worse on any other: each of the guard exams must show by itself that no
more than the margin was lost (intersection-union: any number of them passes what is worse 2.5 times in 100 at most).
What an exam is too small to show is called so: *cannot tell* is never *better*, and never *kept*. This module knows
that rule and its words. It does not know how the figures came about or what a promotion does.

Source of the sample sizes: R. J. Connor, Biometrics 43 (1987) 207-211.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from feilun.errors import BadRequest
from feilun.evaluation.statistics.paired import FEWEST_FLIPS, Z95
from feilun.evaluation.statistics.several import all_kept, holm
from feilun.records import JSON, Comparison

Finding = Literal["better", "worse", "cannot tell"]
_Z80 = 0.8416212335729143
_ALPHA = 0.05
_NO_GUARDS: Mapping[str, Comparison] = {}


def findings(comparisons: Mapping[str, Comparison]) -> dict[str, Finding]:
    """Return of each exam whether the candidate is better or worse on it, held against how many exams were looked at.

    By Holm's method: where nothing changed, any of all exams is called better or worse 5 times in 100 at most.
    """
    corrected = holm([each.p_value for each in comparisons.values()])
    found: dict[str, Finding] = {}
    for (name, each), p in zip(comparisons.items(), corrected, strict=True):
        told = p < _ALPHA
        found[name] = (
            "better" if told and each.interval[0] > 0 else "worse" if told and each.interval[1] < 0 else "cannot tell"
        )
    return found


def questions_to_prove(comparison: Comparison) -> int | None:
    """Return how many questions show the observed gain at p < 0.05 with 80 % power (Connor 1987); None if no gain."""
    gap, moved, effect = comparison.difference, _moved(comparison), float(comparison.meta.get("effect", 1.0))
    if gap <= 0:
        return None
    spread = Z95 * math.sqrt(moved) + _Z80 * math.sqrt(max(0.0, moved - gap * gap))
    return max(math.ceil(effect * (spread / gap) ** 2), math.ceil(FEWEST_FLIPS / gap))


def questions_to_clear(comparison: Comparison, margin: float) -> int | None:
    """Return how many questions keep the interval above ``-margin`` with 80 % power; None if the loss exceeds it."""
    gap, moved, effect = comparison.difference, _moved(comparison), float(comparison.meta.get("effect", 1.0))
    room = gap + margin
    if room <= 0:
        return None
    fewest = math.ceil(Z95**2 * (1 - margin) / margin) + 1 if margin > 0 else 0
    return math.ceil(effect * max(math.ceil((Z95 + _Z80) ** 2 * max(0.0, moved - gap * gap) / room**2), fewest))


def _moved(comparison: Comparison) -> float:
    """Return the share of questions that changed."""
    return (comparison.gained + comparison.lost) / comparison.questions


def decide(
    own: Comparison,
    general: Comparison,
    margin: float,
    pass_mark: float,
    guards: Mapping[str, Comparison] = _NO_GUARDS,
) -> tuple[bool, JSON]:
    """Return whether the candidate is promoted, and why in plain words (``en`` and ``zh``).

    It is promoted if it is better on its own exam (95 % interval of the difference above zero and McNemar's p below
    0.05), answers at least the share ``pass_mark`` of it right, and is not worse in general nor on any of the
    ``guards`` (by name; lower bound above ``-margin``, a share between 0 and 1). Raises BadRequest for another margin
    or pass mark.
    """
    if not 0 < margin < 1:
        raise BadRequest(f"The margin {margin} is not between 0 and 1.", "For example 0.10 for ten points.", "margin")
    if not 0 <= pass_mark <= 1:
        raise BadRequest(f"The pass mark {pass_mark} is not between 0 and 1.", "For example 0.3.", "pass_mark")
    better = own.interval[0] > 0 and own.p_value < _ALPHA
    kept = general.interval[0] > -margin
    guarded = all_kept((each.interval[0] for each in guards.values()), margin)
    promoted = better and own.candidate >= pass_mark and kept and guarded
    own_en, own_zh = _own_reason(own, better, pass_mark)
    general_en, general_zh = _general_reason(general, margin, kept)
    head_en = "The new model is promoted." if promoted else "The current model stays."
    head_zh = "采用新模型。" if promoted else "继续使用当前模型。"
    guards_en, guards_zh = _guards_reason(guards, margin)
    return promoted, {
        "en": f"{head_en} {own_en} {general_en}{guards_en}",
        "zh": f"{head_zh}{own_zh}{general_zh}{guards_zh}",
    }


def beyond(interval: Sequence[float], p_value: float, margin: float) -> bool:
    """Say whether an exam shows that more than ``margin`` was lost: a few questions never show it."""
    return interval[1] <= -margin and p_value < _ALPHA


def signed_points(share: float) -> str:
    """Return a difference of shares as percentage points with its sign (U+2212 for minus): ``+65.8``."""
    return f"{100 * share + 0.0:+.1f}".replace("-", "\u2212").replace("+0.0", "0.0").replace("\u22120.0", "0.0")


def _figures(c: Comparison) -> tuple[str, str]:
    if c.meta.get("method") == "graded":
        return _graded_figures(c)
    before, after = round(c.incumbent * c.questions), round(c.candidate * c.questions)
    gap, low, high = (signed_points(x) for x in (c.difference, *c.interval))
    p = "p < 0.001" if c.p_value < 0.001 else f"p = {c.p_value:.3f}"
    en = (
        f"the new model answers {after} of {c.questions} questions right, the current one {before} "
        f"(difference {gap} points, 95 % interval {low} to {high}, {p})"
    )
    zh = (
        f"共 {c.questions} 题，新模型答对 {after} 题，当前模型答对 {before} 题"
        f"（相差 {gap} 个百分点，95% 区间 {low} 至 {high}，{p}）"
    )
    clusters = c.meta.get("clusters", c.questions)
    if clusters < c.questions:
        en = f"{en}; the questions are of {clusters} separate passages or conversations"
        zh = f"{zh}，这些题来自 {clusters} 份相互独立的材料或对话"
    return en, zh


def _graded_figures(c: Comparison) -> tuple[str, str]:
    before, after = f"{100 * c.incumbent:.1f}", f"{100 * c.candidate:.1f}"
    gap, low, high = (signed_points(x) for x in (c.difference, *c.interval))
    p = "p < 0.001" if c.p_value < 0.001 else f"p = {c.p_value:.3f}"
    en = (
        f"the new model scores {after} of 100 over {c.questions} questions, the current one {before} "
        f"(difference {gap} points, 95 % interval {low} to {high}, {p}; {c.gained} went up, {c.lost} down)"
    )
    zh = (
        f"共 {c.questions} 题，满分 100，新模型平均 {after} 分，当前模型 {before} 分"
        f"（相差 {gap} 分，95% 区间 {low} 至 {high}，{p}；{c.gained} 题上升，{c.lost} 题下降）"
    )
    return en, zh


def _guards_reason(guards: Mapping[str, Comparison], margin: float) -> tuple[str, str]:
    """Return what the guard exams say: those that stand in the way, each with its figures, or that all are kept."""
    if not guards:
        return "", ""
    broken = {name: each for name, each in guards.items() if each.interval[0] <= -margin}
    limit = signed_points(-margin)
    if not broken:
        return (
            f" On all {len(guards)} guard exams the limit of {limit} points is kept.",
            f"{len(guards)} 场护栏考试都没有低于 {limit} 个百分点的界限。",
        )
    said_en, said_zh = [], []
    for name, each in broken.items():
        en, zh = _limit_reason(each, margin)
        said_en.append(f"{name}: {en}")
        said_zh.append(f"{name}：{zh}")
    return (
        f" Guard exams ({len(guards) - len(broken)} of {len(guards)} kept): " + " ".join(said_en),
        f"护栏考试（{len(guards)} 场中 {len(guards) - len(broken)} 场通过）：" + "".join(said_zh),
    )


def _own_reason(own: Comparison, better: bool, pass_mark: float) -> tuple[str, str]:
    en, zh = _figures(own)
    en, zh = f"On the organisation's own exam {en}", f"专属考试{zh}"
    if better and own.candidate < pass_mark:
        en = f"{en}: better, beyond chance, but below the pass mark of {pass_mark:.0%}."
        return (
            f"{en} A model that is wrong this often does not answer in your name.",
            f"{zh}：确有进步，但未达到 {pass_mark:.0%} 的及格线。错得这么多的模型不能代表贵机构回答。",
        )
    if better:
        return f"{en}: better, beyond chance.", f"{zh}：确有进步，并非偶然。"
    if own.interval[1] < 0 and own.p_value < _ALPHA:
        return f"{en}: it is worse.", f"{zh}：新模型更差。"
    if own.gained + own.lost == 0:
        return f"{en}: cannot tell, no question changed.", f"{zh}：无法判断，没有一道题的对错发生变化。"
    needed = questions_to_prove(own)
    if own.difference == 0:
        return f"{en}: cannot tell, as much was gained as lost.", f"{zh}：无法判断，得失相当。"
    en, zh = f"{en}: cannot tell, this may be chance.", f"{zh}：无法判断，这一差别可能出于偶然。"
    if needed is not None and needed > own.questions:
        en += f" To prove a gain of this size, the exam would need about {needed} questions."
        zh += f"若要证明这样大小的进步，考试约需 {needed} 题。"
    return en, zh


def _general_reason(general: Comparison, margin: float, kept: bool) -> tuple[str, str]:
    if kept:
        en, zh = _figures(general)
        limit = signed_points(-margin)
        return (
            f"On the general exam {en}: the limit of {limit} points is kept.",
            f"通用考试{zh}：没有低于 {limit} 个百分点的界限。",
        )
    en, zh = _limit_reason(general, margin)
    return f"On the general exam {en}", f"通用考试{zh}"


def _limit_reason(c: Comparison, margin: float) -> tuple[str, str]:
    """Return why an exam does not show that the limit is kept."""
    en, zh = _figures(c)
    limit = signed_points(-margin)
    if beyond(c.interval, c.p_value, margin):
        return f"{en}: the loss reaches the limit of {limit} points.", f"{zh}：退步已达到 {limit} 个百分点的界限。"
    en = f"{en}: cannot tell; a loss beyond the limit of {limit} points cannot be ruled out."
    zh = f"{zh}：无法判断，不能排除退步超过 {limit} 个百分点的界限。"
    needed = questions_to_clear(c, margin)
    if needed is not None and needed > c.questions:
        en += f" To rule it out, the exam would need about {needed} questions."
        zh += f"若要排除，考试约需 {needed} 题。"
    return en, zh
