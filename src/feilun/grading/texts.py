"""Texts in comparable form, and templates that fill in what is graded.

This module knows words, numbers and the two namespaces of templates. It does not know graders, models, exams or runs.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from feilun.errors import BadRequest

_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d)")
_PERCENT_WORD = re.compile(r"(?<=\d)\s*(?:per\s?cent\b|pct\b)")
_PERCENT_CHINESE = re.compile(r"百分之\s*(\d+(?:\.\d+)?)")
# Scripts that are written without spaces (Thai to Khmer, kana, Han) or with endings glued on (Hangul): one token each.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_NUMBER = r"(?:(?<![\w.])-)?\d+(?:[.:]\d+)*"
_TOKEN = re.compile(rf"{_NUMBER}|%|[{_UNSPACED}]|[^\W\d_{_UNSPACED}][^\W_{_UNSPACED}]*")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_CLOCK = re.compile(r"\d{1,2}(?::\d{2}){1,2}")
_VARIABLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_KNOWN = re.compile(r"\{\{\s*(?:item|sample)\.[\w.\-]+\s*\}\}")


def tokens(text: str) -> list[str]:
    """Return the words, numbers and percent signs of ``text`` in comparable form.

    Case and width are folded; thousands lose their comma (``1,250`` = ``1250``), decimals their closing zeros
    (``4.50`` = ``4.5``), clock times their opening zero (``09:30`` = ``9:30``); ``percent``, ``per cent`` and
    ``百分之`` become ``%``. A number is one token, so is a word of a spaced script, so is each character of an unspaced
    one.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-")
    folded = _THOUSANDS.sub(lambda match: match.group().replace(",", ""), folded)
    folded = _PERCENT_WORD.sub("%", _PERCENT_CHINESE.sub(r"\1%", folded))
    return [_canonical(token) for token in _TOKEN.findall(folded)]


def _canonical(token: str) -> str:
    if _DECIMAL.fullmatch(token):
        return token.rstrip("0").rstrip(".")
    if _CLOCK.fullmatch(token):
        return token.removeprefix("0")
    return token


def _occurs(needle: list[str], hay: list[str]) -> bool:
    width = len(needle)
    return width > 0 and any(hay[at : at + width] == needle for at in range(len(hay) - width + 1))


def contains(answer: str, accept: Iterable[str], reject: Iterable[str] = ()) -> float:
    """Return 1.0 if ``answer`` contains any of ``accept`` and none of ``reject``, else 0.0.

    Matches are bounded by tokens (see :func:`tokens`): ``4.35`` is in ``4.35 %`` but neither in ``14.35`` nor in
    ``4.355``; ``cat`` is not in ``category``; Chinese matches as a substring. A text without any token matches nothing.
    """
    hay = tokens(answer)
    right = any(_occurs(tokens(text), hay) for text in accept)
    return float(right and not any(_occurs(tokens(text), hay) for text in reject))


def string_check(operation: str, value: str, reference: str) -> float:
    """Return the score (1.0 or 0.0) of OpenAI's ``string_check`` grader.

    ``eq`` and ``ne`` compare the whole texts, ``like`` asks whether ``value`` contains ``reference``, ``ilike`` the
    same without regard to case. Raises BadRequest for another operation.
    """
    match operation:
        case "eq":
            return float(value == reference)
        case "ne":
            return float(value != reference)
        case "like":
            return float(reference in value)
        case "ilike":
            return float(reference.casefold() in value.casefold())
    raise BadRequest(
        f"string_check knows no operation {operation!r}.", "Choices: eq, ne, like, ilike.", "testing_criteria"
    )


def render_template(text: str, item: Mapping[str, Any], sample: Mapping[str, Any] | None = None) -> str:
    """Return ``text`` with ``{{ item.x }}`` and ``{{ sample.output_text }}`` replaced, in the shape of OpenAI's evals.

    Paths go into mappings by key and into lists by number (``item.choices.0``); values that are not text are written as
    JSON; what was put in is not read as a template again. Raises BadRequest that names an unknown variable.
    """
    spaces = {"item": item} if sample is None else {"item": item, "sample": sample}
    return _VARIABLE.sub(lambda match: _lookup(match.group(1).strip(), spaces), text)


def fill(text: str, item: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    """Return ``text`` with what is a variable put in, and all other braces left: LaTeX is full of them."""
    return _KNOWN.sub(lambda match: render_template(match.group(), item, sample), text)


def _lookup(name: str, spaces: Mapping[str, Any]) -> str:
    value: Any = spaces
    for part in name.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            known = sorted(f"{space}.{key}" for space, fields in spaces.items() for key in fields)
            raise BadRequest(f"The template names {name!r}, which is not known.", f"Known: {', '.join(known)}.")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
