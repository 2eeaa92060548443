"""Questions made of sentences by rule: a figure or a name is left out, and is the answer.

This module knows sentences of English and Chinese prose. It does not know where they come from or who reviews.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from feilun.curation.synthetic.grounding import is_chinese, sentences
from feilun.records import Record, normalise_text
from feilun.signs import signed

GAP = "____"
_FIGURE = re.compile(r"(?<![\w.,/:-])\d+(?:[.,:]\d+)*(?![\w/-]|[.,:]\d)")
_HAN_FIGURE = re.compile(r"(?<![\d.,:/-])\d+(?:[.,:]\d+)*(?![\d/-])")
_NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z][\w'’-]+)(?: (?:of |the )?[A-Z][\w'’-]+)+")
_QUOTED = re.compile(r"(?<=[《“「])[^《》“”「」]{2,20}(?=[》”」])")
_NOT = re.compile(r"\b(?:not|no|never|none|except|unless|without)\b|n['’]t\b|不|没|无|除外|未")
_ASIDE = re.compile(r"^\s*(?:page|see|table|figure|version|published|date|第.{1,4}页|见|表|图)\b", re.IGNORECASE)
_WORDS, _HAN, _LONGEST = 5, 8, 260
_MANY = 28  # words or, halved, Han characters of a sentence that is hard to read


@dataclass(frozen=True, slots=True)
class Gap:
    """A sentence with a gap: what belongs there, where the sentence stands, how hard it is (1 to 3)."""

    question: str
    answer: str
    sentence: str
    difficulty: int
    record: Record


def gap_drafts(passages: Sequence[Record]) -> list[Gap]:
    """Return one question for each sentence that has a figure or a name, each question once, in the order given.

    Sentences that with another answer say the same are left out: nobody could know which is meant.
    """
    found = [gap for record in passages if record.text for gap in _of(record)]
    answers: dict[str, set[str]] = {}
    for gap in found:
        answers.setdefault(signed(gap.question), set()).add(signed(gap.answer))
    once: dict[str, Gap] = {}
    for gap in found:
        key = signed(gap.question)
        if len(answers[key]) == 1:
            once.setdefault(key, gap)
    return list(once.values())


def _of(record: Record) -> Iterator[Gap]:
    title = str(record.meta.get("topic") or record.meta.get("file") or "").split(" › ")[-1].strip()
    for start, end in sentences(record.text):
        sentence = " ".join(record.text[start:end].split())
        chinese = is_chinese(sentence)
        size = len(re.findall(r"[\u3400-\u9fff]", sentence)) if chinese else len(sentence.split())
        if size < (_HAN if chinese else _WORDS) or len(sentence) > _LONGEST or _ASIDE.match(sentence):
            continue
        if "[" in sentence:  # what was masked is nothing to ask for
            continue
        match = _answer(sentence, chinese)
        if match is None or normalise_text(match[0]) in normalise_text(title):
            continue
        gapped = sentence[: match.start()] + GAP + sentence[match.end() :]
        asked = f"请按“{title}”填空：{gapped}" if chinese else f'Fill the gap as "{title}" says: {gapped}'
        hard = bool(_NOT.search(sentence)) or size > (_MANY * 2 if chinese else _MANY)
        several = len(_HAN_FIGURE.findall(sentence)) > 1
        yield Gap(asked, match[0], sentence, 3 if hard else 2 if several or len(match[0].split()) > 1 else 1, record)


def _answer(sentence: str, chinese: bool) -> re.Match[str] | None:
    """Return what is left out: the only figure, else the first name or quoted term, said once in the sentence."""
    for pattern in (_HAN_FIGURE, _QUOTED) if chinese else (_FIGURE, _NAME, _QUOTED):
        found = [match for match in pattern.finditer(sentence) if sentence.count(match[0]) == 1]
        often = Counter(match[0] for match in found)
        if found and often[found[0][0]] == 1:
            return found[0]
    return None
