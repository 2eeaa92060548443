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
from feilun.signs import signed

_VARIABLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_KNOWN = re.compile(r"\{\{\s*(?:item|sample)\.[\w.\-]+\s*\}\}")
_DOTTED = re.compile(r"\{\{\s*([A-Za-z_]\w*(?:\.[\w\-]+)+)\s*\}\}")


def tokens(text: str) -> list[str]:
    """Return the words, numbers and meaningful signs of ``text`` in comparable form (see ``signed``)."""
    return signed(text).split()


def _occurs(needle: list[str], hay: list[str]) -> bool:
    width = len(needle)
    return width > 0 and any(hay[at : at + width] == needle for at in range(len(hay) - width + 1))


def same_words(said: list[str], wanted: list[str]) -> bool:
    """Say whether two texts are the same by their tokens; a currency that only one of them names does not part them."""
    return said == wanted or (_in_money(said) != _in_money(wanted) and _bare(said) == _bare(wanted) != [])


def _in_money(words: list[str]) -> bool:
    return any(unicodedata.category(word[0]) == "Sc" for word in words)


def _bare(words: list[str]) -> list[str]:
    return [word for word in words if unicodedata.category(word[0]) != "Sc"]


def _held(needle: list[str], hay: list[str]) -> bool:
    return _occurs(needle, hay) or (_in_money(needle) and not _in_money(hay) and _occurs(_bare(needle), hay))


def contains(answer: str, accept: Iterable[str], reject: Iterable[str] = ()) -> float:
    """Return 1.0 if ``answer`` contains any of ``accept`` and none of ``reject``, else 0.0.

    Matches are bounded by tokens (see :func:`tokens`): ``4.35`` is in ``4.35 %`` but neither in ``14.35`` nor in
    ``4.355``; ``cat`` is not in ``category``, nor ``C`` in ``C++``; Chinese matches as a substring, its numerals as
    wholes. A currency counts where both name one. A text without any token matches nothing.
    """
    hay = tokens(answer)
    right = any(_held(tokens(text), hay) for text in accept)
    return float(right and not any(_held(tokens(text), hay) for text in reject))


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


def variables(text: str, *, every: bool) -> list[str]:
    """Return the names that a template names: ``every`` pair of braces, or those that :func:`fill` would put in.

    Of the latter also such as are of no namespace: LaTeX has braces, but hardly a dotted name in two of them.
    """
    return [name.strip() for name in (_VARIABLE if every else _DOTTED).findall(text)]


def is_known(name: str, spaces: Mapping[str, Any]) -> bool:
    """Say whether there is something of this name, and that is not null."""
    try:
        return _found(name, spaces) is not None
    except BadRequest:
        return False


def _lookup(name: str, spaces: Mapping[str, Any]) -> str:
    value = _found(name, spaces)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _found(name: str, spaces: Mapping[str, Any]) -> Any:
    value: Any = spaces
    for part in name.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            known = sorted(f"{space}.{key}" for space, fields in spaces.items() for key in fields)
            raise BadRequest(f"The template names {name!r}, which is not known.", f"Known: {', '.join(known)}.")
    return value
