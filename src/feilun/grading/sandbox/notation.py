"""LaTeX and plain notation of mathematics as what a parser of expressions reads, and its words apart.

This module knows how people and models write formulas, units and words among them. It does not know algebra.
"""

from __future__ import annotations

import re
import unicodedata

_GROUP = r"\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)"
_ONE = rf"(?:\{{([^{{}}]*)\}}|({_GROUP})|((?:\d+(?:\.\d+)?|[a-zA-Z])(?:\^(?:\{{[^{{}}]*\}}|\w))?))"
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))")
_MIXED = re.compile(r"(?<![\w.^}\\)])(\d+)\s*\\[dtc]?frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))")
_MIXED_PLAIN = re.compile(r"(?<![\w.^/])(\d+)(?:\s+|\s*又\s*)\(?(\d+)\s*/\s*(\d+)\)?(?![\d.])")
_ROOT = re.compile(r"\\sqrt\s*(?:\[([^\]]*)\])?\s*(?:\{([^{}]*)\}|(\w))")
_LOG = re.compile(rf"(?<![a-zA-Z])\\?(?:log\s*_\s*(?:\{{([^{{}}]*)\}}|\(([^()]*)\)|(\w))|lg(?![a-zA-Z]))\s*{_ONE}")
_CHOOSE = re.compile(r"\\[dt]?binom\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))|\{([^{}]*)\\choose([^{}]*)\}")
_POWER = re.compile(r"(\^|_)\s*\{([^{}]*)\}")
_UNWRAPPED = re.compile(r"\\(?:boxed|fbox|math(?:bb|bf|it|cal|sf|rm)|boldsymbol|operatorname\*?)\s*\{([^{}]*)\}")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|mbox|textnormal)\s*\{([^{}]*)\}")
_UNIT = re.compile(
    r"(?<=[\d)}\]°])(?:\s|\\[,;:! ]|~)*\\(?:text(?:rm|bf|it)?|mbox|mathrm)\s*\{((?:[^{}\d=<>+]|(?<=[a-zA-Z])\d)*)\}"
    r"(?:\s*\^\s*(?:\{\s*(-?\d)\s*\}|(\d)))?"
)
_JOINING = re.compile(r"\s*(?:and|or|和|或|与|、|,|&)\s*")
_MATRIX = re.compile(r"\\begin\{([pbB]?matrix)\}(.*?)\\end\{\1\}", re.DOTALL)
_DROPPED = re.compile(
    r"\\(?:left|right|displaystyle|quad|qquad|bigl|bigr|Bigl|Bigr|big|Big)(?![a-zA-Z])|\\[,;:!\s()\[\]$]|[$~]"
)
_WORDS = {
    r"\cdot": "*", r"\times": "*", r"\div": "/", r"\pi": "pi", r"\infty": "oo", r"\pm": "±", r"\mp": "∓",
    r"\leq": "<=", r"\geq": ">=", r"\leqslant": "<=", r"\geqslant": ">=", r"\lt": "<", r"\gt": ">", r"\le": "<=",
    r"\ge": ">=", r"\neq": "!=", r"\ne": "!=", r"\in": "∈", r"\cup": "∪", r"\{": "{", r"\}": "}", r"\%": "/100",
    r"\circ": "°", r"\lbrace": "{", r"\rbrace": "}", r"\lvert": "|", r"\rvert": "|",
}  # fmt: skip
_SIGNS = str.maketrans({"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "⁄": "/", "π": "pi", "∞": "oo",
                        "≤": "<=", "≥": ">=", "≠": "!=", "⩽": "<=", "⩾": ">=", "【": "[", "】": "]"})  # fmt: skip
_RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
_VULGAR = re.compile("(?<=[0-9０-９])\\s*(?=[¼-¾⅐-⅞])")
_GROUPED = re.compile(
    r"(?<![\d.(\[{,])\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?!\d)|(?<![\d.,(\[{])\d{1,2}(?:,\d{2})+,\d{3}(?!\d)"
)


def read(text: str) -> tuple[str, str]:
    """Return what a parser of expressions reads, words in “ ”, and the unit that stood behind a number apart."""
    raised = _RAISED.sub(lambda m: "^{" + unicodedata.normalize("NFKC", m[0]) + "}", _VULGAR.sub(" ", text))
    found = unicodedata.normalize("NFKC", raised).translate(_SIGNS).replace("{,}", ",").replace(",\\!", ",")
    found = re.sub(r"\\(?:boxed|fbox)\s*\{(.*)\}", r"\1", found.strip().strip("$").strip())
    units: list[str] = []
    found = _UNIT.sub(lambda m: _unit(m, units), found)
    found = _TEXT.sub(_word, found)
    found = _MATRIX.sub(_rows, found)
    found = _DROPPED.sub(" ", found).strip().strip(".。").strip()
    return _plain(found), " ".join(units)


def _word(match: re.Match[str]) -> str:
    word = match[1].strip()
    return " , " if _JOINING.fullmatch(match[1]) else f" “{word}” " if word else " "


def _unit(match: re.Match[str], units: list[str]) -> str:
    name = match[1].strip(" ~\\.")
    if _JOINING.fullmatch(match[1]) or (name in {"e", "i", "d"} and "mathrm" in match[0]):
        return match[0]
    if name:
        units.append(f"{name.casefold()}{match[2] or match[3] or ''}")
    return " "


def _rows(match: re.Match[str]) -> str:
    rows = (row.strip() for row in match[2].strip().removesuffix("\\\\").split("\\\\"))
    return "[" + ", ".join("[" + ", ".join(row.split("&")) + "]" for row in rows) + "]"


def _plain(found: str) -> str:
    found = re.sub(r"√\s*\(([^()]*)\)", r"sqrt(\1)", found)
    found = re.sub(r"√\s*(\d+(?:\.\d+)?|\w)", r"sqrt(\1)", found)
    found = _MIXED_PLAIN.sub(lambda m: _mixed(m[1], m[2], m[3]) or m[0], found)
    for _ in range(12):  # from the inside out
        before = found
        found = _MIXED.sub(lambda m: _mixed(m[1], m[2] or m[3], m[4] or m[5]) or m[0], found)
        found = _FRACTION.sub(lambda m: f"(({m[1] or m[2]})/({m[3] or m[4]}))", found)
        found = _ROOT.sub(lambda m: f"(({m[2] or m[3]})**(1/({m[1] or 2})))", found)
        found = _CHOOSE.sub(lambda m: f"binomial({m[1] or m[2] or m[5]}, {m[3] or m[4] or m[6]})", found)
        found = _LOG.sub(lambda m: f"(log({m[4] or m[5] or m[6]})/log({m[1] or m[2] or m[3] or 10}))", found)
        found = _UNWRAPPED.sub(r" \1 ", found)
        found = re.sub(r"_\{\s*(\w+)\s*\}", r"_\1", found)
        found = _POWER.sub(r"\1(\2)", found)
        if found == before:
            break
    for word in sorted(_WORDS, key=len, reverse=True):
        found = re.sub(rf"{re.escape(word)}(?![a-zA-Z])", f" {_WORDS[word]} ", found)
    found = re.sub(r"\\([a-zA-Z]+)", r" \1 ", found).replace("%", "/100")
    found = re.sub(r"\^\s*\(?\s*°\s*\)?|°", "*pi/180", found)
    found = _GROUPED.sub(lambda m: re.sub("[, ]", "", m[0]), found)
    return re.sub(r"\|([^|]+)\|", r"Abs(\1)", found).strip()


def _mixed(whole: str, over: str, under: str) -> str:
    """Return a mixed number such as 2 1/2; nothing for what is a product, since its fraction is no proper one."""
    return f"({whole}+{over}/{under})" if int(over) < int(under) else ""
