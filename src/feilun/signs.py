"""Texts in comparable form whose signs still count: what ``normalise_text`` of the records leaves out on purpose.

This module knows words, numbers and the signs beside them, in English and in Chinese: ``-5`` is not ``5``, ``C++`` is
not ``C#``. Marks that only structure a sentence (full stops, commas, quotes, brackets, hyphens in words, Markdown) are
nothing. It does not know graders, exams or records.
"""

from __future__ import annotations

import re
import unicodedata

_SPELT = str.maketrans("−‐‑‒–—⁄∕÷≦≧⩽⩾∗", "------///≤≥≤≥*")
_DIGITS, _PLACES = "〇零一二三四五六七八九两", "十百千万亿萬億兆"
_HAN = rf"负?[{_DIGITS}{_PLACES}]+(?:[点點][{_DIGITS}]+(?![{_PLACES}]))?"
# Scripts that are written without spaces (Thai to Khmer, kana, Han) or with endings glued on (Hangul): one word each.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_LETTER, _MONEY = rf"[^\W\d_{_UNSPACED}]", r"$¢£¥฿\u20a0-\u20cf"
_CLOSED = r"(?<![^\W_)\]}%])(?<![^\W_)\]}%]\s)"  # nothing stands before that a sign could join to what follows
_SAME = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"(?<!\$)\${1,2}(?=[^\s$])([^$\n|]*[^\s$|])\${1,2}(?![\d$])", r" \1 "),  # LaTeX between dollars, no money
        (rf"百分之\s*(\d+(?:\.\d+)?|{_HAN})", r"\1%"),
        (rf"千分之\s*(\d+(?:\.\d+)?|{_HAN})", r"\1‰"),
        (rf"(?<=[\d{_DIGITS}{_PLACES}])\s*(?:per\s?cent\b|pct\b)", "%"),
        (r"\\([%$#])", r"\1"),
        (rf"(?<![^\s(])(-?\d+(?:\.\d+)?)([{_MONEY}])(?![\w{_MONEY}])", r"\2\1"),
        (r"(?<![\w.])\.(?=\d)", "0."),
        (r"(?<![a-z])([munkcd]?m)\^?([23])(?![\w.])", r"\1^\2"),
        (r"(?<=[a-z0-9)])\*\*(?=[a-z0-9(])|(?<=[a-z0-9] )\*\*(?= [a-z0-9])", "^"),
        (r"(?<=[a-z0-9)])\*(?=[a-z0-9(])|(?<=[a-z0-9] )\*(?= [a-z0-9])", "×"),
        (r"&{2,}", "&"),
        (r"<=|=<", "≤"),
        (r">=", "≥"),
        (r"!=", "≠"),
        (r"\+/?-", "±"),
        (r"-+>", "→"),
        (r"(?<=\d)\s?~\s?(?=\d)", "-"),
        (r"~(?=\s?\d)", "≈"),
        (r"([=<>≤≥≠≈±×/+(])\s*-\s+(?=\d)", r"\1 -"),
        (r"^\s*-\s+(?=\d[\d.]*\s*%?\s*$)", "-"),
        (rf"{_CLOSED}(?<!\+)\+(?=[{_MONEY}]?\.?\d)", " "),
    )
)
_GROUPED = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3})(?!\d)")
_RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
_MIXED = re.compile("(?<=[0-9０-９])(?=[¼-¾⅐-⅞])")
_OPERAND = r"(?:(?<=[\d%])|(?<=[\d%]\s)|(?<=[a-z\d%]\))|(?<=[a-z\d%]\)\s)|(?<=(?<![a-z])[a-z])|(?<=(?<![a-z])[a-z]\s))"
_PIECE = re.compile(
    rf"""
    (?:(?<![^\W{_UNSPACED}])(?<!\d[{_UNSPACED}])(?<![_)\]}}%.])-)?\d+(?:[.:]\d+)*   # a number, its sign with it
    |{_HAN}(?:分之{_HAN})?
    |[{_UNSPACED}]
    |(?<![^\W_])[a-z]{{1,2}}-(?=[\s.,;:!?)]|$)                           # A-, Cl-
    |{_LETTER}[^\W_{_UNSPACED}]*(?:(?:\+\+|[+\#])(?![^\W_(]))?          # a word; C++, C#, A+
    |-(?=\s?[{_MONEY}]\s?\d)|(?<![\w)\]}}%.-])[-!~&](?:[∞√]|[a-z](?![a-z])\d*)
    |{_OPERAND}-(?=\s?\(?(?:\d|[a-z](?![a-z])))                         # 3-5, a - b; no hyphen between words
    |(?:(?<=[^\W_)])[/&](?=[^\W_(])|(?<=[^\W_)]\s)[/&](?=\s[^\W_(]))
    |[%‰‱^+<=>¬±×\u2190-\u22ff\u27c0-\u27ef\u2980-\u2aff♭-♯{_MONEY}]
    """,
    re.VERBOSE,
)
_DECIMAL, _CLOCK = re.compile(r"-?\d+\.\d+"), re.compile(r"\d{1,2}(?::\d{2}){1,2}")


def signed(text: str) -> str:
    """Return ``text`` for comparing, its meaningful signs kept; words, numbers and signs stand apart by spaces.

    Case and width are folded; thousands lose their comma (``1,250`` = ``1250``), decimals their closing zeros
    (``4.50`` = ``4.5``), clock times their opening zero (``09:30`` = ``9:30``); ``percent``, ``per cent`` and
    ``百分之`` become ``%``, ``10³`` is ``10^3``. A number is one word, with its minus; so is a Chinese numeral, and
    each other character of a script without spaces. Signs of values, comparisons, operations and money count.
    """
    raised = _RAISED.sub(r"^\g<0> ", _MIXED.sub(" ", text))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", raised).casefold()).translate(_SPELT)
    folded = _GROUPED.sub(lambda match: match[0].replace(",", ""), folded)
    for pattern, by in _SAME:
        folded = pattern.sub(by, folded)
    return " ".join(_canonical(piece) for piece in _PIECE.findall(folded))


def compared(text: str) -> str:
    """Return what two texts have in common that say the same: what ``signed`` returns, or of marks only these."""
    return signed(text) or text.strip()


def values(text: str) -> frozenset[str]:
    """Return the figures of ``text`` and the words that bear signs: ``-5``, ``4.5``, ``%``, ``o+``, ``c++``."""
    return frozenset(word for word in signed(text).split() if not word.isalpha())


def _canonical(piece: str) -> str:
    if _DECIMAL.fullmatch(piece):
        return piece.rstrip("0").rstrip(".")
    return piece.removeprefix("0") if _CLOCK.fullmatch(piece) else piece
