"""Which language a row is in: by scripts, by the characters of Chinese variants, by the small words of others.

This module knows scripts and small words. It does not know models, and says nothing about rows without words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from feilun.curation.repair.characters import (
    ARABIC,
    CANTONESE,
    CYRILLIC,
    GREEK,
    HANGUL,
    HEBREW,
    INDIC,
    KANA,
    LATIN,
    OLD,
    SHARED,
    SIMPLE,
    THAI,
    census,
)
from feilun.curation.repair.script import spelling
from feilun.curation.seam import Note, Row, Ruling
from feilun.records import JSON

_SMALL_WORDS = {
    "en": "the of and to in is that it for was with as on are this be have not you from at by or an what how can which"
    " a do i no does did if my your we they our when where who why will would there any",
    "de": "der die das und ist nicht ein eine zu den von mit auf für im sich auch dem es wird sind werden wie oder",
    "fr": "le la les des est une et du dans pour que qui pas sur avec au ce il sont vous nous plus par aux être",
    "es": "el la los las de que y en un una es por con para se del no su al lo como más pero está son",
    "it": "il di che la un una per non è con del della sono i gli le si nel anche come più dei questo alla",
    "pt": "o a os as de que e em um uma para com não do da no na se por mais dos como ao foi são você",
    "nl": "de het een en van is dat niet in op te voor met zijn die aan er maar ook als bij wordt naar",
    "sv": "och att det som en på är av för med den till inte har jag om ett var de men så",
    "pl": "i w na z do nie się jest to że o jak po ale od za przez dla czy są tym",
    "tr": "ve bir bu da de için ile çok ne gibi var daha olarak olan ama kadar mi",
    "vi": "và của là có không được cho một những trong các với để này người khi đã từ",
    "id": "yang dan di dari untuk dengan ini itu tidak pada adalah dalam akan ke atau oleh",
    "cs": "a se na je že to v s z do o jsou pro jako ale by který",
}
_OWNERS: dict[str, tuple[str, ...]] = {}
for _lang, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _OWNERS[_word] = (*_OWNERS.get(_word, ()), _lang)
_WHOLE = math.lcm(*map(len, _OWNERS.values()))  # what a word of one language weighs; divides by the number of owners
_BLANKED = bytes(code if chr(code).isalpha() else 32 for code in range(256))
_WORDS = re.compile(r"[^\W\d_]+")
_SAMPLE = 600
_BY_SCRIPT = {KANA: "ja", HANGUL: "ko", GREEK: "el", HEBREW: "he", THAI: "th"}
_MARKED = {
    CYRILLIC: (("uk", "їєіґ"), ("ru", "ыэё"), ("bg", "ъ")),
    ARABIC: (("ur", "ٹڈںے"), ("fa", "پچژگ")),
    INDIC: (("bn", "কর"), ("ta", "கர"), ("te", "కర")),
}
_ELSE = {CYRILLIC: "ru", ARABIC: "ar", INDIC: "hi"}
LANGUAGES = (
    *("zh", "zh-Hans", "zh-Hant", "zh-mixed", "yue", *_SMALL_WORDS, *_BY_SCRIPT.values(), *_ELSE.values()),
    *(lang for marked in _MARKED.values() for lang, _ in marked if lang not in _ELSE.values()),
)


def _latin(text: str) -> tuple[str, float]:
    sample = text[:_SAMPLE].casefold()
    plain = sample.isascii()
    words = Counter(sample.encode().translate(_BLANKED).decode().split() if plain else _WORDS.findall(sample))
    scores: dict[str, int] = {}
    for word in words.keys() & _OWNERS.keys():
        owners = _OWNERS[word]
        weight = words[word] * (_WHOLE // len(owners))
        for lang in owners:
            scores[lang] = scores.get(lang, 0) + weight
    if not scores:
        return ("en", 0.2) if words.total() >= 3 and text[:_SAMPLE].isascii() else ("", 0.0)
    # Where the small words leave it open, few English words end in these vowels.
    open_ended = sum(words[word] for word in words if len(word) > 2 and word[-1] in "aoiu")
    english = plain and 4 * open_ended <= words.total()
    best = max(sorted(scores), key=lambda lang: (scores[lang], lang == "en" and english))
    return best, scores[best] / sum(scores.values())


def language_of(text: str, counts: Sequence[int]) -> tuple[str, str, float]:
    """Return (language, variant, sureness) of a text from its row of a census; an empty language for no words.

    Variants are of Chinese: ``zh-Hans``, ``zh-Hant``, ``yue``, ``zh-mixed``. A Han character weighs as much as three
    Latin letters, about what a word of each takes.
    """
    han, kana = counts[SHARED] + counts[SIMPLE] + counts[OLD] + counts[CANTONESE], counts[KANA]
    letters = {kind: counts[kind] for kind in (KANA, HANGUL, LATIN, CYRILLIC, GREEK, ARABIC, HEBREW, THAI, INDIC)}
    total = 3 * han + sum(letters.values())
    if not total:
        return "", "", 0.0
    if kana >= 2 and kana * 12 >= han + kana and 2 * (kana + han) >= letters[LATIN] // 3:
        return "ja", "", (3 * han + kana) / total
    best = max(letters, key=lambda kind: letters[kind])
    if 3 * han >= letters[best]:
        if counts[CANTONESE] >= 2 and 40 * counts[CANTONESE] >= han:
            return "zh", "yue", 3 * han / total
        spelled = spelling(counts[OLD], counts[SIMPLE])
        return "zh", f"zh-{spelled}" if spelled else "", 3 * han / total
    if best == LATIN:
        lang, sure = _latin(text)
        return lang, "", sure * letters[LATIN] / total
    sure = letters[best] / total
    for lang, marks in _MARKED.get(best, ()):
        if any(mark in text for mark in marks):
            return lang, "", sure
    return _BY_SCRIPT.get(best, _ELSE.get(best, "")), "", sure


@dataclass(frozen=True, slots=True)
class Language:
    """Tells the language of each row; ``only`` flags rows in other languages than these (none given: no flags)."""

    only: tuple[str, ...] = ()

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return one note a row with ``lang`` and, for Chinese, ``variant``; and a flag where it is not wanted."""
        texts = [row.text for row in rows]
        return [self._one(text, counts) for text, counts in zip(texts, census(texts).tolist(), strict=True)]

    def _one(self, text: str, counts: Sequence[int]) -> Sequence[Ruling]:
        lang, variant, sure = language_of(text, counts)
        if not lang:
            return ()
        meta: JSON = {"lang": lang, "variant": variant} if variant else {"lang": lang}
        told = Ruling("note", Note("language", variant or lang), round(sure, 3), meta)
        if self.only and lang not in self.only and variant not in self.only:
            return told, Ruling("flag", Note("unwanted", variant or lang), round(sure, 3))
        return (told,)
