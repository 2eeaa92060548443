"""Two models on one exam: what the paired answers prove, and whether the candidate may be promoted.

Every question is answered by both, so only questions that changed (*discordant pairs*) say anything: ``gained`` are
wrong before and right after, ``lost`` the reverse. This module knows that arithmetic and the rule of promotion. It does
not know how answers came about or what a promotion does.

Sources: Q. McNemar, Psychometrika 12 (1947); T. Tango, Statistics in Medicine 17 (1998) 891-908; sample size from
R. J. Connor, Biometrics 43 (1987) 207-211. The choice is argued in ``docs/decisions/0005-proof.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from feilun.errors import BadRequest, Conflict
from feilun.records import JSON, Comparison, Eval, EvalAnswer, EvalItem

Flip = tuple[EvalItem, str, str]
Z95 = 1.959963984540054
_Z80 = 0.8416212335729143
_ALPHA = 0.05
# Six flips in one direction are the fewest whose exact two-sided p is below 0.05.
_FEWEST_FLIPS = 6


def mcnemar(gained: int, lost: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: a fair coin for every discordant pair."""
    pairs = gained + lost
    term = tail = 1
    for k in range(min(gained, lost)):
        term = term * (pairs - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << pairs))


def _score(delta: float, questions: int, gained: int, lost: int) -> float:
    """Return Tango's score statistic for the hypothesis that the true difference is ``delta``."""
    a = 2 * questions
    b = (2 * questions - gained + lost) * delta - gained - lost
    c = -lost * delta * (1 - delta)
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    # The two forms are equal; each is free of cancellation for its sign of b.
    lost_share = (root - b) / (2 * a) if b <= 0 else -2 * c / (root + b)
    variance = questions * (2 * lost_share + delta * (1 - delta))
    excess = gained - lost - questions * delta
    if variance <= 0:
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)


def _bound(inside: float, outside: float, questions: int, gained: int, lost: int) -> float:
    if abs(_score(outside, questions, gained, lost)) <= Z95:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        if abs(_score(middle, questions, gained, lost)) <= Z95:
            inside = middle
        else:
            outside = middle
    return inside


def paired_interval(questions: int, gained: int, lost: int) -> tuple[float, float]:
    """Return Tango's 95 % score interval (shares, −1 to 1) of the difference of two paired proportions.

    It inverts the score test, so it holds for few or no discordant pairs, where the Wald interval shrinks to a point.
    Raises BadRequest for counts that cannot be.
    """
    if questions < 1 or min(gained, lost) < 0 or gained + lost > questions:
        raise BadRequest(f"{gained} gained and {lost} lost of {questions} questions cannot be.")
    estimate = (gained - lost) / questions
    return _bound(estimate, -1.0, questions, gained, lost), _bound(estimate, 1.0, questions, gained, lost)


def compare(exam: Eval, incumbent: Sequence[EvalAnswer], candidate: Sequence[EvalAnswer]) -> Comparison:
    """Return the paired comparison of two complete runs of ``exam``.

    Raises Conflict that names the items where the runs cannot be compared: answered by one side only or by none,
    answered twice, not in the exam, asked with unequal prompts, or scored other than 0 or 1.
    """
    before, after = _by_item("current", incumbent), _by_item("new", candidate)
    known = {item.id for item in exam.items}
    faults: list[str] = []
    for side, rows in (("current", before), ("new", after)):
        faults += _name(f"not answered by the {side} model", known - rows.keys())
        faults += _name(f"answered by the {side} model but not in the exam", rows.keys() - known)
        faults += _name(f"scored neither 0 nor 1 ({side} model)", {k for k, r in rows.items() if r.score not in {0, 1}})
    both = before.keys() & after.keys()
    faults += _name("asked with unequal prompts", {key for key in both if before[key].prompt != after[key].prompt})
    if faults or not known:
        reason = "; ".join(faults) or "it has no question"
        raise Conflict(f"The runs of exam {exam.name} cannot be compared: {reason}.", "Run both models again.")
    pairs = [(before[item.id].score, after[item.id].score) for item in exam.items]
    questions, gained, lost = len(pairs), pairs.count((0, 1)), pairs.count((1, 0))
    return Comparison(
        questions=questions,
        incumbent=sum(a for a, _ in pairs) / questions,
        candidate=sum(b for _, b in pairs) / questions,
        difference=(gained - lost) / questions,
        interval=paired_interval(questions, gained, lost),
        gained=gained,
        lost=lost,
        p_value=mcnemar(gained, lost),
    )


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


def questions_to_prove(comparison: Comparison) -> int | None:
    """Return how many questions show the observed gain at p < 0.05 with 80 % power (Connor 1987); None if no gain."""
    gap, moved = comparison.difference, (comparison.gained + comparison.lost) / comparison.questions
    if gap <= 0:
        return None
    spread = Z95 * math.sqrt(moved) + _Z80 * math.sqrt(max(0.0, moved - gap * gap))
    return max(math.ceil((spread / gap) ** 2), math.ceil(_FEWEST_FLIPS / gap))


def questions_to_clear(comparison: Comparison, margin: float) -> int | None:
    """Return how many questions keep the interval above ``-margin`` with 80 % power; None if the loss exceeds it."""
    gap, moved = comparison.difference, (comparison.gained + comparison.lost) / comparison.questions
    room = gap + margin
    if room <= 0:
        return None
    fewest = math.ceil(Z95**2 * (1 - margin) / margin) + 1 if margin > 0 else 0
    return max(math.ceil((Z95 + _Z80) ** 2 * max(0.0, moved - gap * gap) / room**2), fewest)


def decide(own: Comparison, general: Comparison, margin: float, pass_mark: float) -> tuple[bool, JSON]:
    """Return whether the candidate is promoted, and why in plain words (``en`` and ``zh``).

    It is promoted if it is better on its own exam (95 % interval of the difference above zero and McNemar's p below
    0.05), answers at least the share ``pass_mark`` of it right, and is not worse in general (lower bound above
    ``-margin``, a share between 0 and 1). Raises BadRequest for another margin or pass mark.
    """
    if not 0 < margin < 1:
        raise BadRequest(f"The margin {margin} is not between 0 and 1.", "For example 0.10 for ten points.", "margin")
    if not 0 <= pass_mark <= 1:
        raise BadRequest(f"The pass mark {pass_mark} is not between 0 and 1.", "For example 0.3.", "pass_mark")
    better = own.interval[0] > 0 and own.p_value < _ALPHA
    kept = general.interval[0] > -margin
    promoted = better and own.candidate >= pass_mark and kept
    own_en, own_zh = _own_reason(own, better, pass_mark)
    general_en, general_zh = _general_reason(general, margin, kept)
    head_en = "The new model is promoted." if promoted else "The current model stays."
    head_zh = "采用新模型。" if promoted else "继续使用当前模型。"
    return promoted, {"en": f"{head_en} {own_en} {general_en}", "zh": f"{head_zh}{own_zh}{general_zh}"}


def signed_points(share: float) -> str:
    """Return a difference of shares as percentage points with its sign (U+2212 for minus): ``+65.8``."""
    return f"{100 * share + 0.0:+.1f}".replace("-", "\u2212").replace("+0.0", "0.0").replace("\u22120.0", "0.0")


def _figures(c: Comparison) -> tuple[str, str]:
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
    return en, zh


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
        return (
            f"{en}: no question changed, so nothing shows that it is better.",
            f"{zh}：没有一道题的对错发生变化，看不出进步。",
        )
    needed = questions_to_prove(own)
    if needed is None:
        return f"{en}: it is not better.", f"{zh}：没有进步。"
    en, zh = f"{en}: this may be chance.", f"{zh}：这一差别可能出于偶然。"
    if needed > own.questions:
        en += f" To prove a gain of this size, the exam would need about {needed} questions."
        zh += f"若要证明这样大小的进步，考试约需 {needed} 题。"
    return en, zh


def _general_reason(general: Comparison, margin: float, kept: bool) -> tuple[str, str]:
    en, zh = _figures(general)
    en, zh = f"On the general exam {en}", f"通用考试{zh}"
    limit = signed_points(-margin)
    if kept:
        return f"{en}: the limit of {limit} points is kept.", f"{zh}：没有低于 {limit} 个百分点的界限。"
    needed = questions_to_clear(general, margin)
    if needed is None:
        return f"{en}: the loss reaches the limit of {limit} points.", f"{zh}：退步已达到 {limit} 个百分点的界限。"
    en = f"{en}: a loss beyond the limit of {limit} points cannot be ruled out."
    zh = f"{zh}：不能排除退步超过 {limit} 个百分点的界限。"
    if needed > general.questions:
        en += f" To rule it out, the exam would need about {needed} questions."
        zh += f"若要排除，考试约需 {needed} 题。"
    return en, zh
