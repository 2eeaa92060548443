"""Equations of Office documents (OMML, ECMA-376 part 1, 22.1) -> LaTeX.

This module knows the elements of OMML. It does not know where equations stand; what it does not know it spells out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree.ElementTree import Element

from feilun.curation.readers.office.ooxml import child, on, value

_SYMBOLS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "υ": "upsilon", "φ": "varphi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma",
    "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi",
    "Ω": "Omega", "∞": "infty", "±": "pm", "∓": "mp", "×": "times", "÷": "div", "⋅": "cdot", "·": "cdot", "∙": "cdot",
    "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "≡": "equiv", "∝": "propto", "→": "to", "←": "leftarrow",
    "↔": "leftrightarrow", "⇒": "Rightarrow", "⇔": "Leftrightarrow", "∈": "in", "∉": "notin", "⊂": "subset",
    "⊆": "subseteq", "∪": "cup", "∩": "cap", "∅": "emptyset", "∀": "forall", "∃": "exists", "¬": "neg", "∧": "wedge",
    "∨": "vee", "∂": "partial", "∇": "nabla", "√": "sqrt", "…": "ldots", "⋯": "cdots", "∘": "circ", "°": "degree",
    "∑": "sum", "∏": "prod", "∫": "int", "∬": "iint", "∮": "oint", "⟨": "langle", "⟩": "rangle", "‖": "|",
}  # fmt: skip
_FUNCTION = re.compile(
    r"arccos|arcsin|arctan|arg|cosh?|coth?|csc|deg|det|dim|exp|gcd|hom|inf|ker|lg|liminf|limsup|lim|ln|log|max|min|Pr"
    r"|sec|sinh?|sup|tanh?"
)
_ACCENTS = {
    "\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "overline", "\u0307": "dot", "\u0308": "ddot",
    "\u030c": "check", "\u20d7": "vec", "\u20d6": "overleftarrow", "¯": "bar", "~": "tilde", "^": "hat",
}  # fmt: skip


def latex(element: Element) -> str:
    """Return the LaTeX of an equation, without dollar signs."""
    return re.sub(r" {2,}", " ", _all(element)).strip()


def _all(element: Element | None) -> str:
    return "" if element is None else "".join(_one(item) for item in element)


def _part(element: Element, tag: str) -> str:
    return _all(element.find(tag)).strip()


def _one(item: Element) -> str:
    if item.tag == "t":
        return _symbols(item.text or "")
    if item.tag in _RULES:
        return _RULES[item.tag](item)
    return "" if item.tag.endswith("Pr") else _all(item)


def _symbols(text: str) -> str:
    spelt = (f" \\{_SYMBOLS[char]} " if char in _SYMBOLS else char for char in text.replace("−", "-"))
    return "".join(spelt).replace("\u2061", "").replace("–", "-")


def _fraction(item: Element) -> str:
    over, under = _part(item, "num"), _part(item, "den")
    match value(item, "fPr", "type"):
        case "noBar":
            return f"\\genfrac{{}}{{}}{{0pt}}{{}}{{{over}}}{{{under}}}"
        case "lin":
            return f"{over}/{under}"
    return f"\\frac{{{over}}}{{{under}}}"


def _scripts(item: Element) -> str:
    base = _part(item, "e")
    if child(item, "e", "f") is not None:
        base = f"{{{base}}}"
    marks = "".join(f"{mark}{{{_part(item, tag)}}}" for mark, tag in (("_", "sub"), ("^", "sup")) if _part(item, tag))
    return f"{{}}{marks}{base}" if item.tag == "sPre" else base + marks


def _nary(item: Element) -> str:
    sign = _symbols(value(item, "naryPr", "chr", default="∫")).strip()
    below, above = _part(item, "sub"), _part(item, "sup")
    limits = (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")
    return f"{sign}{limits}{_part(item, 'e')}"


def _delimited(item: Element) -> str:
    properties = item.find("dPr")
    left = value(properties, "begChr", default="(") if child(properties, "begChr") is not None else "("
    right = value(properties, "endChr", default=")") if child(properties, "endChr") is not None else ")"
    between = value(properties, "sepChr", default="|")
    inner = between.join(_all(part).strip() for part in item.findall("e"))
    marks = [_symbols(mark).strip() or "." for mark in (left, right)]
    marks = [f"\\{mark}" if mark in {"{", "}"} else mark for mark in marks]
    return f"\\left{marks[0]}{inner}\\right{marks[1]}"


def _rows(item: Element) -> str:
    kind = "matrix" if item.tag == "m" else "aligned"
    rows = ([_all(cell).strip() for cell in row.findall("e")] for row in item.findall("mr"))
    lines = [" & ".join(row) for row in rows] if item.tag == "m" else [_all(e).strip() for e in item.findall("e")]
    if len(lines) == 1 and item.tag == "eqArr":
        return lines[0]
    return f"\\begin{{{kind}}}" + " \\\\ ".join(lines) + f"\\end{{{kind}}}"


def _function(item: Element) -> str:
    name = _part(item, "fName")
    head = re.match(r"[A-Za-z]+", name)
    if head and _FUNCTION.fullmatch(head[0]):
        name = f"\\{name}"
    argument = _part(item, "e")
    return f"{name}({argument})" if head else f"{name} {argument}"


def _root(item: Element) -> str:
    degree = "" if on(item, "radPr", "degHide") else _part(item, "deg")
    return "\\sqrt" + (f"[{degree}]" if degree else "") + f"{{{_part(item, 'e')}}}"


def _limit(item: Element) -> str:
    return f"{_part(item, 'e')}{'_' if item.tag == 'limLow' else '^'}{{{_part(item, 'lim')}}}"


def _accent(item: Element) -> str:
    accent = _ACCENTS.get(value(item, "accPr", "chr", default="\u0302"), "hat")
    return f"\\{accent}{{{_part(item, 'e')}}}"


def _bar(item: Element) -> str:
    return f"\\{'over' if value(item, 'barPr', 'pos') == 'top' else 'under'}line{{{_part(item, 'e')}}}"


_RULES: dict[str, Callable[[Element], str]] = {
    "f": _fraction,
    **dict.fromkeys(("sSup", "sSub", "sSubSup", "sPre"), _scripts),
    "rad": _root,
    "nary": _nary,
    "d": _delimited,
    **dict.fromkeys(("m", "eqArr"), _rows),
    "func": _function,
    **dict.fromkeys(("limLow", "limUpp"), _limit),
    "acc": _accent,
    "bar": _bar,
}
