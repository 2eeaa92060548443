"""Which calls went wrong, and by what signs: their end, their answer, people's judgement, what was asked next.

This module knows one call and its neighbours. It does not know which calls ask the same.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from feilun.records import Feedback, Trace, normalise_text

BAD_SCORE, GOOD_SCORE = 0.5, 0.8
SOON = 300.0  # s: who asks again within this time was not answered
SIGNS = ("error", "refused", "unknown", "unanswered", "cut", "rated", "corrected", "repeated")
_WITHOUT_QUESTION = frozenset({"embedding", "rerank", "moderation", "eval", "tokenize"})
_ENDED_WELL = frozenset({"", "stop", "tool_calls", "function_call", "length", "cancelled", "end_turn"})
_HEAD = 240  # characters: who does not know says so at once
_UNKNOWN = re.compile(
    r"\b(?:i|we) (?:really |honestly |am afraid |do |just )*"
    r"(?:don['’]?t|do not|can['’]?t|cannot|could not|couldn['’]?t)"
    r" (?:really |seem to |currently )*(?:know|find|answer|tell|say|locate)\b"
    r"|\b(?:i|we)(?:['’]m| am|['’]re| are) "
    r"(?:not (?:sure|certain|aware)|unsure|unable to (?:answer|find|say|confirm))\b"
    r"|\b(?:don['’]?t|do not) have (?:\w+ )*?(?:information|details|data|answer|knowledge)\b"
    r"|\b(?:have|there is|found) no (?:\w+ )?(?:information|details|data|record|answer|idea)\b|\bno idea\b"
    r"|(?:(?<!如果您)(?<!如果你)(?<!如果)(?<!若)(?<!要是)不太?(?:知道|清楚|了解|确定|確定)|無法(?:回答|確定|找到|查詢)|无法(?:回答|确定|找到|查询|查到|确认|提供)"
    r"|(?:没有|沒有|暂无|未找到|查不到)[^。！？]{0,8}(?:信息|资料|内容|資訊|資料|记录|答案|数据)|答不上来|回答不了)",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"\b(?:can['’]?t|cannot|can not|unable to|not able to|won['’]?t) (?:help|assist|discuss|comply|provide|do that)\b"
    r"|\bnot (?:allowed|permitted) to (?:answer|help|discuss)\b|\bagainst (?:my|our) (?:policy|guidelines)\b"
    r"|(?:不能|不便|无法|無法)(?:帮助|帮您|帮你|协助|協助|幫助|讨论|討論|满足)|拒绝回答|拒絕回答",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that asks something: its trace, what was asked last, by what signs it went wrong, how it was judged."""

    trace: Trace
    question: str
    signs: frozenset[str] = frozenset()
    thumb: int = 0
    corrections: tuple[str, ...] = ()

    @property
    def bad(self) -> bool:
        """Say whether it went wrong."""
        return bool(self.signs)


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that was asked, oldest first, and who asked what right after what (places in ``calls``)."""

    calls: list[Call] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)


def words(content: object) -> str:
    """Return the words of a message, whose content may come in parts."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("text"))
    return str(content or "")


def questions(trace: Trace) -> list[str]:
    """Return what the users of a call's conversation said, in order."""
    said = [words(message.get("content")).strip() for message in trace.messages if message.get("role") == "user"]
    return [text for text in said if text]


def read(traces: Sequence[Trace], judged: Mapping[str, Sequence[Feedback]]) -> Asked:
    """Return the calls with the signs that each bears by itself; ``judged`` holds judgements by trace."""
    found = Asked()
    for trace in sorted(traces, key=lambda trace: (trace.created, trace.id)):
        asked = questions(trace)
        if trace.kind not in _WITHOUT_QUESTION and asked:
            found.calls.append(_call(trace, asked[-1], judged.get(trace.id, ())))
    found.pairs.extend(_neighbours(found.calls))
    return found


def repeated(asked: Asked, same: Callable[[int, int], bool]) -> Asked:
    """Return the calls, those marked that were asked again in other words right after; ``same`` compares two places.

    Of several answers to one question the first is the one that did not help. One that was liked did help.
    """
    again = {
        first
        for first, second in asked.pairs
        if asked.calls[first].thumb <= 0
        and normalise_text(asked.calls[first].question) != normalise_text(asked.calls[second].question)
        and same(first, second)
    }
    calls = [
        Call(call.trace, call.question, call.signs | {"repeated"}, call.thumb, call.corrections)
        if place in again
        else call
        for place, call in enumerate(asked.calls)
    ]
    return Asked(calls, asked.pairs)


def _call(trace: Trace, question: str, judged: Sequence[Feedback]) -> Call:
    corrections = tuple(one.correction.strip() for one in judged if one.correction.strip())
    low = any(one.thumb == -1 or (one.score is not None and one.score < BAD_SCORE and one.thumb != 1) for one in judged)
    liked = any(one.thumb == 1 or (one.score is not None and one.score >= GOOD_SCORE) for one in judged)
    signs = set()
    if corrections:
        signs.add("corrected")
    if low:
        signs.add("rated")
    if not (liked and not signs):  # somebody was content with it, whatever it looks like
        signs |= _own_signs(trace)
    return Call(trace, question, frozenset(signs), -1 if low or corrections else int(liked), corrections)


def _own_signs(trace: Trace) -> set[str]:
    answer, head = trace.answer.strip(), trace.answer.strip()[:_HEAD]
    if trace.finish == "cancelled":
        return set()
    if trace.finish in {"content_filter", "refusal"}:
        return {"refused"}
    if trace.finish not in _ENDED_WELL:
        return {"error"}
    if not answer:
        return set() if trace.meta.get("tool_calls") else {"unanswered"}
    if _REFUSED.search(head):
        return {"refused"}
    if _UNKNOWN.search(head):
        return {"unknown"}
    return {"cut"} if trace.finish == "length" else set()


def _neighbours(calls: Sequence[Call]) -> list[tuple[int, int]]:
    """Return calls that one caller made one right after the other: in one conversation, else by key and member."""
    last: dict[tuple[str, str], int] = {}
    by_question: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    found = []
    for place, call in enumerate(calls):
        who, asked = (call.trace.key, call.trace.member), questions(call.trace)
        before = by_question[who].get(normalise_text(asked[-2])) if len(asked) > 1 else last.get(who)
        if before is not None and call.trace.created - calls[before].trace.created <= SOON:
            found.append((before, place))
        last[who] = place
        by_question[who][normalise_text(call.question)] = place
    return found
