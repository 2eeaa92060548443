"""Multiple choice: rows with options and a right one, whatever their fields are called, as items of an exam.

An item holds what a chat model is asked (``question``), and what a model that completes texts is asked (``context``),
with the options as continuations. This module knows both forms. It does not know who answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from feilun.evaluation.formats import fields as naming
from feilun.evaluation.formats.rows import Row
from feilun.records import JSON

_HAN = re.compile(r"[\u3400-\u9fff]")
_COLUMN = re.compile(r"(\d)\.?\s*$")
_INDEX = re.compile(r"^(?:gold_|correct_)?label$|(?:^|_)(?:idx|index)$|^cop$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A question with options: bare wording, options, the letters of the right ones."""

    row: Row
    question: str
    choices: tuple[str, ...]
    gold: str

    @property
    def chinese(self) -> bool:
        """Whether it is asked in Chinese."""
        return bool(_HAN.search(self.question))

    def context(self) -> str:
        """Return what stands before the letter, for a model that completes texts."""
        lines = [self.question, *self.lines(), "答案：" if self.chinese else "Answer:"]
        return "\n".join(lines)

    def lines(self) -> list[str]:
        """Return the options with their letters."""
        return [f"{letter}. {text}" for letter, text in zip(naming.LETTERS, self.choices, strict=False)]

    def asked(self) -> str:
        """Return what a chat model is asked."""
        several = len(self.gold) > 1
        if self.chinese:
            end = "回答所有正确选项的字母。" if several else "只回答正确选项的字母。"
        else:
            end = (
                "Answer with the letters of all right options."
                if several
                else "Answer with the letter of the right option only."
            )
        return "\n".join([self.question, *self.lines(), "", end])

    def solved(self) -> str:
        """Return the context with its answer, as an example for others."""
        return f"{self.context()}{self.delimiter}{self.gold}"

    @property
    def delimiter(self) -> str:
        """What stands between the context and the letter."""
        return "" if self.chinese else " "


def looks_so(rows: Sequence[Row]) -> bool:
    """Say whether rows are multiple choice: most have options, and an answer that names one of them."""
    seen = rows[:200]
    found = [any(isinstance(chosen(row, base), Chosen) for base in (0, 1)) for row in seen]
    return sum(found) * 2 > len(seen)


class Base(NamedTuple):
    """From which number (0 or 1) right options are counted; ``open`` says what leaves that unsure.

    ``usual``: the field is one that programs write, and they count from 0.
    """

    first: int
    open: str = ""
    usual: bool = False


def base_of(rows: Sequence[Row]) -> Base:
    """Return from which number right options are counted, where they are numbers.

    A 0 tells it, a number as great as there are options, or the numbers of the columns that hold the options.
    """
    numbers: list[int] = []
    firsts: set[int] = set()
    names: set[str] = set()
    for row in rows:
        name, _, choices, used = _parts(row)
        field = _gold(row.fields, [*used, name])
        number = naming.number_of(row.fields.get(field))
        if len(choices) < 2 or number is None or naming.said(row.fields[field]) in choices:
            continue
        if number in {0, len(choices)}:
            return Base(int(number > 0))
        numbers.append(number)
        names.add(field)
        column = _COLUMN.search(used[0]) if len(used) > 1 else None
        firsts.add(int(column[1]) if column else -1)
    if not numbers or firsts in ({0}, {1}):
        return Base(max(firsts, default=0))
    told = f"the right options are the numbers {min(numbers)} to {max(numbers)}, counted from 0 or from 1"
    return Base(0, told, all(_INDEX.search(name.strip()) for name in names))


def _parts(row: Row) -> tuple[str, str, list[str], list[str]]:
    """Return the field of a row's question, the bare question, its options, and the fields that hold those."""
    choices, used = naming.options(row.fields)
    left = {name: value for name, value in row.fields.items() if name not in used}
    name = naming.find(left, naming.QUESTION)
    question = naming.said(left.get(name))
    if question and not choices:
        question, choices = naming.inline(question)
    return name, question, choices, used


def _gold(fields: JSON, used: list[str]) -> str:
    left = {name: value for name, value in fields.items() if name not in used}
    return naming.find(left, naming.GOLD) or naming.find(left, naming.REFERENCE)


def chosen(row: Row, base: int) -> Chosen | str:
    """Return a row as a question with options, or what is wrong with it."""
    name, question, choices, used = _parts(row)
    left = {name: value for name, value in row.fields.items() if name not in used}
    if not question:
        return "it has no question"
    if len(choices) < 2:
        return "it offers no options"
    if len(choices) > len(naming.LETTERS):
        return f"it offers more than {len(naming.LETTERS)} options"
    passage = naming.find({key: value for key, value in left.items() if key != name}, naming.PASSAGE)
    if passage and (text := naming.said(left[passage])) and text not in question:
        question = f"{text}\n{question}"
    gold = _letters(left.get(_gold(left, [*used, name])), choices, base)
    if not gold:
        return "its answer names none of its options"
    right = {choices[naming.LETTERS.index(letter)] for letter in gold}
    if sum(text in right for text in choices) > len(gold):
        return "a wrong option is the same as a right one"
    return Chosen(row, question, tuple(choices), gold)


def _letters(value: Any, choices: list[str], base: int) -> str:
    value = naming.literal(value)
    if isinstance(value, dict):
        flags = value.get("labels", value.get("label"))
        if isinstance(flags, list) and 1 in flags[: len(choices)]:
            return naming.LETTERS[flags.index(1)]
        value = naming.said(value)
    # An option that reads like one letter or number is meant by its text only where no letter can be.
    letters = naming.letters_of(value, len(choices))
    if letters and not (len(letters) > 1 and naming.said(value) in choices):
        return letters
    texts = [value] if not isinstance(value, list) else value
    places = [choices.index(text) for each in texts if (text := naming.said(each)) in choices]
    if len(places) == len(texts):
        return "".join(naming.LETTERS[place] for place in sorted(set(places)))
    number = naming.number_of(value)
    if number is not None and 0 <= number - base < len(choices):
        return naming.LETTERS[number - base]
    plain = [naming.said(each).casefold().rstrip(".。 ") for each in texts]
    near = [place for place, text in enumerate(choices) if text.casefold().rstrip(".。 ") in plain]
    return "".join(naming.LETTERS[place] for place in near) if len(near) == len(texts) else ""


def meta_of(found: Chosen, topic: str) -> JSON:
    """Return what an item keeps: options, the right one, both ways of asking, and its grader."""
    gold = [naming.LETTERS.index(letter) for letter in found.gold]
    meta: JSON = {
        "choices": list(found.choices),
        "gold": gold,
        "grader": {"type": "choice", "reference": found.gold, "choices": list(found.choices)},
        "topic": topic,
        "lang": "zh" if found.chinese else "en",
        "line": found.row.place,
    }
    if len(gold) == 1:
        letters = [f"{found.delimiter}{letter}" for letter in naming.LETTERS[: len(found.choices)]]
        meta["likely"] = {"context": found.context(), "continuations": letters, "gold": gold}
    return meta
