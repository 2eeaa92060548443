"""From what a model wrote to rows that are grounded, or the reason why not.

This module knows kinds of rows and how each is checked. It does not know which model wrote them, permissions or the
store.

A row is checked twice: by its words and figures, which must be in the sentences that it cites; and, where a model for
checking is given, by a question to that model. Either refusal is enough.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from feilun.curation.synthetic import asking
from feilun.curation.synthetic.asking import Kind
from feilun.curation.synthetic.grounding import (
    figures,
    foreign,
    is_chinese,
    missing,
    near,
    negated,
    pairs,
    stems,
    turned,
    unsupported,
)
from feilun.records import JSON, Record, derived_id, normalise_text

REASONS: dict[str, tuple[str, str]] = {
    "must_not_leave": ("its source must not leave this machine", "来源不允许离开本机"),
    "not_permitted": ("its source does not permit this use", "来源不允许此用途"),
    "too_short": ("the passage has no sentence to build on", "段落中没有可用的句子"),
    "no_answer": ("the model did not answer", "模型没有回答"),
    "not_json": ("the answer held nothing in the form that was asked for", "回答不符合要求的格式"),
    "incomplete": ("something is missing in it, or far too long", "内容不完整或过长"),
    "no_citation": ("it cites no sentence of the passage", "没有引用段落中的句子"),
    "cites_too_much": ("it cites more than four sentences", "引用超过四个句子"),
    "refers_to_text": ("it cannot be understood without the text", "脱离原文无法理解"),
    "question_not_from_text": ("the question names what the passage does not", "问题提到了段落中没有的内容"),
    "says_nothing": ("the answer says nothing that could be checked", "答案没有可核对的内容"),
    "wrong_figure": ("a figure is not in the cited sentences", "数字不在所引句子中"),
    "not_in_text": ("words of it are not in the cited sentences", "词语不在所引句子中"),
    "negation": ("it denies what the text affirms, or the other way round", "肯定与否定和原文相反"),
    "elsewhere": ("its figure belongs to another statement", "数字属于另一处陈述"),
    "copied": ("it is the sentence itself, not another wording", "只是照抄，没有换说法"),
    "distractor_true": ("a wrong answer is right, or the same as another", "错误选项其实正确或重复"),
    "too_far": ("the question is about something else", "问题与段落无关"),
    "answered": ("the passage does answer the question", "段落其实回答了该问题"),
    "not_confirmed": ("the model that checks did not confirm it", "核对的模型没有确认"),
    "unverifiable": ("only a model could check it, and none is given", "需要模型核对，但没有提供"),
    "duplicate": ("the same is there already", "已有相同内容"),
    "over_share": ("there would be more made-up rows than permitted", "合成数据超过允许的比例"),
}
_MOST_CITED = 4
_LONGEST_QUESTION, _LONGEST_ANSWER, _MOST_TURNS, _DISTRACTORS = 400, 2_000, 8, 6
_KEPT = 0.34  # of the words of a sentence must be in its other wording
_TEXT = re.compile(
    r"\b(?:the|this|that|above|given|following) (?:text|passage|article|document|paragraph|excerpt|sentence)s?\b"
    r"|本文|上文|下文|文中|原文|该段|这段|本段|这篇|该文|上述内容",
    re.IGNORECASE,
)
_NOTHING = ("I do not have that information.", "我没有这方面的信息。")
Check = Callable[[list[JSON]], Awaitable[str]]


class Refused(Exception):
    """A row that cannot be kept: a key of ``REASONS``, and what was found."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Keep both."""
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Ground:
    """A passage with its sentences, and who writes about it; ``check`` asks a model for yes or no."""

    passage: Record
    sentences: tuple[str, ...]
    writer: str
    check: Check | None = None


async def checked(ground: Ground, kind: Kind, given: JSON) -> Record:
    """Return the row that an object of a model's answer is; raise Refused."""
    return await _CHECKS[kind](ground, given)


async def _qa(ground: Ground, given: JSON) -> Record:
    question, answer, cited = await _answered(ground, given)
    return _row(ground, "qa", _turn(question, answer), cited, {})


async def _answered(ground: Ground, given: JSON) -> tuple[str, str, list[int]]:
    """Return question, answer and the numbers of the cited sentences, once both checks have passed."""
    question, answer = _text(given, "question", _LONGEST_QUESTION), _text(given, "answer", _LONGEST_ANSWER)
    cited = _cited(ground, given)
    _asked(ground, question)
    span = _span(ground, cited)
    if reason := unsupported(answer, span, question):
        raise Refused(reason, answer)
    await _confirm(ground, asking.confirmation(span, question, answer), answer)
    return question, answer, cited


async def _paraphrase(ground: Ground, given: JSON) -> Record:
    text, cited = _text(given, "text", _LONGEST_ANSWER), _cited(ground, given)
    span = _span(ground, cited)
    if normalise_text(text) in normalise_text(span):
        raise Refused("copied", text)
    if figures(text) != figures(span):
        raise Refused("wrong_figure", text)
    if negated(text) != negated(span) or turned(text, span):
        raise Refused("negation", text)
    if names := foreign(text, span):
        raise Refused("not_in_text", ", ".join(names))
    words, said = stems(span) | pairs(span), stems(text) | pairs(text)
    if len(words & said) < _KEPT * len(words):
        raise Refused("not_in_text", text)
    if ground.check is None and missing(text, span):
        raise Refused("unverifiable", text)
    await _confirm(ground, asking.sameness(span, text), text)
    return _row(ground, "paraphrase", (), cited, {}, text)


async def _distractors(ground: Ground, given: JSON) -> Record:
    question, answer, cited = await _answered(ground, given)
    wrong = given.get("distractors")
    if not isinstance(wrong, list) or not 1 <= len(wrong) <= _DISTRACTORS:
        raise Refused("incomplete", "distractors")
    texts = [_text({"wrong": one}, "wrong", _LONGEST_ANSWER) for one in wrong]
    known = {normalise_text(answer)}
    span = _span(ground, cited)
    for text in texts:
        plain = normalise_text(text)
        # What the cited sentences say could be right as well; what they do not say is not the answer.
        same = any(plain in each or each in plain for each in known if each and plain)
        if not plain or same or not unsupported(text, span, question):
            raise Refused("distractor_true", text)
        known.add(plain)
        if ground.check is not None:
            said = asking.yes(await ground.check(asking.confirmation(ground.passage.text, question, text)))
            if said is not False:
                raise Refused("distractor_true", text)
    return _row(ground, "distractors", _turn(question, answer), cited, {"distractors": texts})


async def _dialogue(ground: Ground, given: JSON) -> Record:
    turns = given.get("turns")
    if not isinstance(turns, list) or not 2 <= len(turns) <= _MOST_TURNS:
        raise Refused("incomplete", "turns")
    messages: list[JSON] = []
    cited: list[int] = []
    asked: set[str] = set()
    for turn in turns:
        if not isinstance(turn, dict):
            raise Refused("incomplete", "turns")
        question, answer, numbers = await _answered(ground, turn)
        if normalise_text(question) in asked:
            raise Refused("duplicate", question)
        asked.add(normalise_text(question))
        messages += _turn(question, answer)
        cited += numbers
    return _row(ground, "dialogue", messages, sorted(set(cited)), {})


async def _negative(ground: Ground, given: JSON) -> Record:
    question, cited = _text(given, "question", _LONGEST_QUESTION), _cited(ground, given)
    if _TEXT.search(question):
        raise Refused("refers_to_text", question)
    if not near(question, ground.passage.text):
        raise Refused("too_far", question)
    if ground.check is None:
        raise Refused("unverifiable", question)
    said = asking.yes(await ground.check(asking.answerable(ground.passage.text, question)))
    if said is not False:
        raise Refused("answered" if said else "not_confirmed", question)
    nothing = _NOTHING[is_chinese(question)]
    return _row(ground, "negative", _turn(question, nothing), cited, {"answerable": False})


_CHECKS: dict[Kind, Callable[[Ground, JSON], Awaitable[Record]]] = {
    "qa": _qa,
    "paraphrase": _paraphrase,
    "distractors": _distractors,
    "dialogue": _dialogue,
    "negative": _negative,
}


def _text(given: JSON, name: str, longest: int) -> str:
    value = given.get(name)
    text = " ".join(unicodedata.normalize("NFC", value).split()) if isinstance(value, str) else ""
    if not 0 < len(text) <= longest:
        raise Refused("incomplete", name)
    return text


def _cited(ground: Ground, given: JSON) -> list[int]:
    """Return the numbers of the cited sentences, counted from 1, each once."""
    value: Any = given.get("cites")
    numbers = value if isinstance(value, list) else [value]
    whole = [int(each) for each in numbers if isinstance(each, int | str) and str(each).strip("[] ").isdecimal()]
    if len(whole) != len(numbers) or not whole or not all(1 <= each <= len(ground.sentences) for each in whole):
        raise Refused("no_citation", str(value)[:100])
    if len(set(whole)) > _MOST_CITED:
        raise Refused("cites_too_much", str(value)[:100])
    return sorted(set(whole))


def _span(ground: Ground, cited: Sequence[int]) -> str:
    return "\n".join(ground.sentences[number - 1] for number in cited)


def _asked(ground: Ground, question: str) -> None:
    if _TEXT.search(question):
        raise Refused("refers_to_text", question)
    if names := foreign(question, ground.passage.text):
        raise Refused("question_not_from_text", ", ".join(names))


async def _confirm(ground: Ground, messages: list[JSON], detail: str) -> None:
    if ground.check is not None and asking.yes(await ground.check(messages)) is not True:
        raise Refused("not_confirmed", detail)


def _turn(question: str, answer: str) -> list[JSON]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _row(
    ground: Ground, kind: Kind, messages: Sequence[JSON], cited: Sequence[int], more: JSON, text: str = ""
) -> Record:
    """Return a row with the sources of its passage, marked as made up, with what it rests on."""
    parent = ground.passage
    meta: JSON = {name: parent.meta[name] for name in ("topic", "place") if name in parent.meta}
    said = text or " ".join(str(message["content"]) for message in messages)
    meta |= {
        "lang": "zh" if is_chinese(said) else "en",
        "origin": "synthetic",
        "synthetic": True,
        "made": kind,
        "made_by": ground.writer,
        "parent": parent.id,
        "cited": [ground.sentences[number - 1] for number in cited],
        "verified": ["words", "model"] if ground.check is not None else ["words"],
        **more,
    }
    record_id = derived_id("record", "synthetic", parent.id, kind, list(messages), text)
    return Record(record_id, "passage" if text else "chat", parent.sources, tuple(messages), text, meta)
