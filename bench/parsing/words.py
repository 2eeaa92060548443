"""How much of an expected text was found: the share of its words, by count.

Knows Markdown's marks, which are no words. Does not know any format, nor who read it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter

# A word: letters and figures of any script; each Chinese character or syllable sign is one by itself.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TARGET = re.compile(r"!?\[([^\]\n]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?: \"[^\"\n]*\")?\)")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>")


def _count(text: str) -> Counter[str]:
    plain = html.unescape(text).replace("\\_", "_").replace("\u00ad", "")
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", plain).casefold()))


def words(markdown: str) -> Counter[str]:
    """Return the words of a Markdown text with their counts: no marks, no addresses behind links, folded in case."""
    return _count(_TAG.sub(" ", _TARGET.sub(r"\1", _COMMENT.sub(" ", markdown))))


def recall(expected: str, found: str) -> float:
    """Return the share of the expected words that were found, from 0 to 1; 1 if none is expected."""
    wanted = words(expected)
    total = wanted.total()
    return (wanted & _count(found)).total() / total if total else 1.0


def missing(expected: str, found: str, most: int = 12) -> list[str]:
    """Return the words that are missed most."""
    return [f"{word}×{n}" if n > 1 else word for word, n in (words(expected) - _count(found)).most_common(most)]
