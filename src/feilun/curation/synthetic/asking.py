"""What a model is asked for, in English and Chinese, and how its answers are read.

This module knows prompts and JSON. It does not know whether what a model answers is true, nor which model it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from feilun.curation.synthetic.grounding import is_chinese
from feilun.records import JSON

Kind = Literal["qa", "paraphrase", "distractors", "dialogue", "negative"]
KINDS: tuple[Kind, ...] = ("qa", "paraphrase", "distractors", "dialogue", "negative")
Ask = Callable[[Sequence[JSON], int], Awaitable[str]]
"""Messages and the most tokens of the answer -> the answer. Whatever it raises counts as no answer."""

_LONGEST = 60_000  # characters of an answer that are looked at
_MOST_MISTAKES = 200
_QA = '{"question": "…", "answer": "…", "cites": [1]}'
_SHAPES: dict[Kind, str] = {
    "qa": _QA,
    "paraphrase": '{"text": "…", "cites": [1]}',
    "distractors": '{"question": "…", "answer": "…", "distractors": ["…", "…", "…"], "cites": [1]}',
    "dialogue": f'{{"turns": [{_QA}, {_QA}]}}',
    "negative": '{"question": "…", "cites": [1]}',
}
_TASKS: dict[Kind, tuple[str, str]] = {
    "qa": (
        "Write {n} different questions that the text answers, each with its answer in the words of the text.",
        "请写出 {n} 个本文能够回答的不同问题，并用原文的词语作答。",
    ),
    "paraphrase": (
        "Say {n} of the sentences in another way each, with the same names, figures and meaning.",
        "请把其中 {n} 个句子各换一种说法，名称、数字和意思保持不变。",
    ),
    "distractors": (
        (
            "Write {n} different questions that the text answers, each with its answer in the words of the text and "
            "three wrong answers that look alike."
        ),
        "请写出 {n} 个本文能够回答的不同问题，用原文的词语作答，并各给出三个看似合理的错误答案。",
    ),
    "dialogue": (
        (
            "Write {n} conversations of two to four turns, in which somebody asks about the text and is answered in "
            "its words."
        ),
        "请写出 {n} 段两到四轮的对话：用户就本文提问，回答使用原文的词语。",
    ),
    "negative": (
        "Write {n} different questions about the same subject that the text does not answer.",
        "请写出 {n} 个主题相同、但本文没有回答的不同问题。",
    ),
}
_RULES = (
    (
        "Questions must be understood without the text: never say 'the text' or 'the passage'. In cites give the "
        "numbers of the sentences that say it. Answer with one JSON object a line and nothing else, like this:"
    ),
    (
        "问题脱离原文也要能看懂，不要出现“本文”“上文”等字样。cites 写出依据的句子编号。"
        "每行一个 JSON 对象，不要写别的，格式如下："
    ),
)
_CONFIRM = (
    "Is the answer to the question wholly said by the text? Reply with YES or NO only.",
    "本文是否完整地说明了该问题的这个答案？只回答“是”或“否”。",
)
_ANSWERED = (
    "Does the text answer the question? Reply with YES or NO only.",
    "本文是否回答了这个问题？只回答“是”或“否”。",
)
_SAME = (
    "Does the second text say the same as the first, no more and nothing else? Reply with YES or NO only.",
    "第二段文字的意思是否与第一段完全相同，没有增减？只回答“是”或“否”。",
)
_LABELS = (("Text", "Question", "Answer", "Second text"), ("本文", "问题", "答案", "第二段"))
_YES = re.compile(r"\W*(?:yes|true|是|对|能|有)", re.IGNORECASE)
_NO = re.compile(r"\W*(?:no|false|否|不|没|未|无)", re.IGNORECASE)


def generation(kind: Kind, numbered: Sequence[str], count: int) -> list[JSON]:
    """Return the messages that ask for ``count`` things of a kind about sentences, in their language."""
    zh = is_chinese(" ".join(numbered))
    task = f"{_TASKS[kind][zh].format(n=count)}\n{_RULES[zh]}\n{_SHAPES[kind]}"
    text = "\n".join(f"[{number}] {sentence}" for number, sentence in enumerate(numbered, 1))
    return [{"role": "system", "content": task}, {"role": "user", "content": text}]


def confirmation(text: str, question: str, answer: str) -> list[JSON]:
    """Return the messages that ask whether a text says the answer to a question."""
    return _checking(_CONFIRM, text, question, answer)


def answerable(text: str, question: str) -> list[JSON]:
    """Return the messages that ask whether a text answers a question."""
    return _checking(_ANSWERED, text, question)


def sameness(text: str, other: str) -> list[JSON]:
    """Return the messages that ask whether two texts say the same."""
    return _checking(_SAME, text, "", "", other)


def _checking(task: tuple[str, str], *parts: str) -> list[JSON]:
    zh = is_chinese(parts[0])
    said = [f"{label}: {part}" for label, part in zip(_LABELS[zh], parts, strict=False) if part]
    return [{"role": "system", "content": task[zh]}, {"role": "user", "content": "\n\n".join(said)}]


def yes(answer: str) -> bool | None:
    """Return what a model that was asked for yes or no has said; None if that is neither."""
    if _NO.match(answer):
        return False
    return True if _YES.match(answer) else None


def objects(answer: str) -> list[JSON]:
    """Return the JSON objects in an answer, whatever stands around them: fences, lists, words before and after."""
    decoder = json.JSONDecoder()
    answer = answer[:_LONGEST]
    found: list[JSON] = []
    place = answer.find("{")
    mistakes = 0
    while place >= 0 and mistakes < _MOST_MISTAKES:
        try:
            value, end = decoder.raw_decode(answer, place)
            found.append(value)
        except (ValueError, RecursionError):
            end = place + 1
            mistakes += 1
        place = answer.find("{", end)
    return found


def kind_of(messages: Sequence[JSON]) -> str:
    """Return what messages ask for: a kind, ``confirm``, ``answered`` or ``same``; a fake model needs to know."""
    task = str(messages[0]["content"])
    for name, texts in (("confirm", _CONFIRM), ("answered", _ANSWERED), ("same", _SAME)):
        if task in texts:
            return name
    return next((kind for kind in KINDS if task.endswith(_SHAPES[kind])), "")
