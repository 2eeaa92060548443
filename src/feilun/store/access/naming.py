"""What may name a thing that people see in lists. It does not know what is named, nor what names are taken."""

from __future__ import annotations

import unicodedata

from feilun.errors import BadRequest

LONGEST = 200
_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # controls and escapes, halves of characters, ends of lines and paragraphs
_TURNING = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)  # show it in another order


def check_name(name: str, what: str, param: str = "name", longest: int = LONGEST) -> str:
    """Return a name without blanks around it; raise BadRequest, which says of ``what``, for one that is none.

    A name is shown in terminals, pages and logs, so it must not be able to steer them, or to look like another.
    """
    found = name.strip(" \t")
    if not 0 < len(found) <= longest:
        raise BadRequest(f"{what} has 1 to {longest} characters; this one has {len(found)}.", param=param)
    wrong = next((mark for mark in found if unicodedata.category(mark) in _HIDDEN or mark in _TURNING), None)
    if wrong is not None:
        raise BadRequest(
            f"{what} holds no line ends or control characters; this one holds U+{ord(wrong):04X}.",
            "Use letters, digits, spaces and marks that can be seen.",
            param,
        )
    return found
