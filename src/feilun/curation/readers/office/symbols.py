"""Characters of symbol fonts -> Unicode: those of Symbol, and the ticks, boxes and arrows of Wingdings.

This module knows which sign a font draws for a code, as Adobe's table of the Symbol font has it. It does not know
documents.
"""

from __future__ import annotations

_SYMBOL = {
    0x20: " !∀#∃%&∋()∗+,−./0123456789:;<=>?",
    0x40: "≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_",
    0x61: "αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼",
    0xA0: "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…",
    0xC0: "ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑",
    0xF1: "〉∫",
}
_FONTS = {
    "symbol": {start + place: sign for start, signs in _SYMBOL.items() for place, sign in enumerate(signs)},
    "wingdings": {
        0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "□", 0xA7: "▪", 0xA8: "□", 0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓",
        0xE8: "→", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑",
    },
    "wingdings 2": {0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0xA3: "□"},
}  # fmt: skip


def symbol(font: str, code: int) -> str:
    """Return the sign that a font shows for a code, or nothing if it is not known; other fonts show Unicode."""
    if 0xF000 <= code <= 0xF0FF or font.casefold() in _FONTS:
        return _FONTS.get(font.casefold(), {}).get(code & 0xFF, "")
    return chr(code) if 0x20 <= code < 0x110000 and not 0xD800 <= code < 0xE000 else ""
