"""The means that are tried: what is put before a question, and which model it is put to.

This module knows how messages are made. It does not know who answers them, nor what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feilun.flywheel.advise.finding import Index
from feilun.records import JSON, EvalItem, Record

PASSAGES, EXAMPLES = 3, 3
_LONGEST = 700  # characters of one passage
Messages = Callable[[EvalItem], tuple[JSON, ...]]
AS_IS = "as is"
PROMPTS: dict[str, tuple[str, str]] = {
    "prompt: brief": (
        "Answer in one short sentence. Give the exact name, figure or date that is asked for.",
        "请用一句简短的话回答，给出所问的准确名称、数字或日期。",
    ),
    "prompt: careful": (
        "Read the question carefully. Think about what it asks, then give the answer, and say so if you do not know.",
        "请仔细读题，先想清楚问的是什么，再给出答案；不知道就直说。",
    ),
}
_FOUND = (
    "Answer from these passages, briefly:\n\n{passages}\n\nQuestion: {question}",
    "请根据以下资料简短回答：\n\n{passages}\n\n问题：{question}",
)


@dataclass(frozen=True, slots=True)
class Means:
    """One way to do better. ``setup``: seconds that it takes once; ``model``: the version asked (empty: the usual one).

    ``about`` says what it is, in English and Chinese.
    """

    name: str
    about: tuple[str, str]
    messages: Messages
    model: str = ""
    setup: float = 0.0


def chinese(text: str) -> bool:
    """Return whether a text is rather Chinese than anything else."""
    return sum("\u3400" <= each <= "\u9fff" for each in text) * 3 > len(text)


def as_is(item: EvalItem) -> tuple[JSON, ...]:
    """Return what an exam asks, with nothing before it."""
    return tuple(item.meta.get("messages") or ({"role": "user", "content": item.question},))


def prompted(name: str) -> Means:
    """Return the means that says beforehand how to answer."""
    words = PROMPTS[name]

    def messages(item: EvalItem) -> tuple[JSON, ...]:
        asked = as_is(item)
        told = words[chinese(item.question)]
        if asked[0].get("role") == "system":
            return ({"role": "system", "content": f"{asked[0]['content']}\n{told}"}, *asked[1:])
        return ({"role": "system", "content": told}, *asked)

    about = ("ask for brief answers", "要求简短回答") if name.endswith("brief") else ("ask for care", "要求仔细")
    return Means(name, about, messages)


def with_passages(records: Sequence[Record]) -> Means:
    """Return the means that puts the nearest passages before the question."""
    texts = [record.text for record in records]
    index = Index(texts)

    def messages(item: EvalItem) -> tuple[JSON, ...]:
        asked = as_is(item)
        places = index.find(item.question, PASSAGES)
        if not places:
            return asked
        passages = "\n\n".join(texts[place][:_LONGEST] for place in places)
        whole = _FOUND[chinese(item.question)].format(passages=passages, question=asked[-1]["content"])
        return (*asked[:-1], {"role": "user", "content": whole})

    return Means("passages", ("show the nearest passages of your files", "附上贵机构文件中最相关的段落"), messages)


def with_examples(records: Sequence[Record]) -> Means:
    """Return the means that shows the nearest questions with their answers first."""
    pairs = [(str(r.messages[0]["content"]), str(r.messages[-1]["content"])) for r in records if len(r.messages) > 1]
    index = Index([question for question, _ in pairs])

    def messages(item: EvalItem) -> tuple[JSON, ...]:
        asked = as_is(item)
        shown: list[JSON] = []
        for place in reversed(index.find(item.question, EXAMPLES)):
            shown += [
                {"role": role, "content": text} for role, text in zip(("user", "assistant"), pairs[place], strict=True)
            ]
        head = [asked[0]] if asked[0].get("role") == "system" else []
        return (*head, *shown, *asked[len(head) :])

    return Means("examples", ("show a few answered questions first", "先给出几个问答示例"), messages)


def tuned(name: str, model: str, setup: float, about: tuple[str, str], below: Means | None = None) -> Means:
    """Return the means that asks another model version, alone or with what ``below`` puts before the question."""
    return Means(name, about, below.messages if below else as_is, model, setup)
