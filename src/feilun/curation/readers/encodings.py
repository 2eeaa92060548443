"""Bytes -> text: which encoding it is, also where a file holds lines in several.

This module knows the encodings that offices use, and which characters are frequent in the languages written in them.
It does not know what the texts are.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

from feilun.curation.documents import MAX_CHARACTERS, Unreadable

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = ("cp1252", "cp1251")
_EVERYDAY = frozenset("的一是不在有我人这個个了上大中为為年用出国國于於，。、；：？！")
_FREQUENT_HAN = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事"
    "成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日月号名姓电话编码问题答案金额价格"
    "数量产品利率银客户服务公司科室药房车贷存款费元办址间类别单位备注型标准内外张王李刘陈杨赵黄周吴"
    "這個們來為國說時會對過後發經種學現當沒動還進樣開從實號電話編碼問題額價數產銀戶務藥車貸費辦間類單備註標準張劉陳楊趙黃吳"
)
_FREQUENT_HANGUL = frozenset(
    "이다에의는로하을가고지서한은기으년대사시를리도인스일전자정보아나있수어해그부제상라원주만성화과면여장구선국관신공동금업용명세"
    "당경위방연들것습니까요입안품번호문무계비체행결개중름소할및"
)
_KOREAN, _JAPANESE, _CHINESE = ("cp949",), ("cp932", "euc_jp"), ("gb18030", "cp950", "big5hkscs")
_LEAST_SOUND = 0.7  # the share of foreign characters that must be common in a language to take a text for it
_LEAST_KANA = 0.2
_WORD = re.compile("[A-Za-zÀ-ÖØ-öø-\u04ff]+")
_CYRILLIC_WORD = re.compile("[А-ЯЁ]?[а-яё]+|[А-ЯЁ]+")
_WESTERN_MARKS = frozenset("“”‘’„‚–—…€£§°«»®©™¿¡·²³½¼¾\xa0")
_FOREIGN = re.compile("[^\x00-\x7f]+")
_BINARY = re.compile(rb"[\x01-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_ALIASES = {
    **dict.fromkeys(("gb2312", "gbk", "x-gbk", "gb_2312-80", "cp936"), "gb18030"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii", "windows-1252"), "cp1252"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987"), "cp949"),
}
_REAL = re.compile(
    r"ascii|utf-(?:7|8|16|32).*|(?:cp|gb|big5|euc_|iso8859|iso2022|koi8|mac|shift_jis).*|hz|johab|tis-620|kz1048"
)  # as Python names them; its other codecs are no encodings of texts
_RARE_NAMES = frozenset("喆堃䶮𠮷犇淼垚燊玥珺翀赟彧頔祎煊熠昇瑀濛甯旻焱镕鑫")
_SURE = 4  # characters of three bytes that prove UTF-8
_FIELD = re.compile(rb"([,;:\t\" ]+)")  # signs that are no part of a character in any encoding
_KNOWN = re.compile("[\\s\\x20-\\x7e\u00a0-\u024f\u2010-\u206f\u3000-\u9fff\uff00-\uffef]")
_MOST_BYTES = 4 * MAX_CHARACTERS


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text file; raise Unreadable (``wrong_name``) if it is no text at all."""
    for bom, name in _BOMS:
        if data.startswith(bom):
            return name
    head = data[: 1 << 20]
    if b"\0" in head[:4096]:
        if (wide := _wide(head)) or not _stray(head):
            return wide or _binary()
        head = head.replace(b"\0", b"")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(data) <= 1 << 20)
    except UnicodeDecodeError:
        return _legacy(head)
    return "utf-8"


def _binary() -> str:
    raise Unreadable("wrong_name", "It holds binary data, not text.")


def _stray(head: bytes) -> bool:
    """Tell whether the NUL bytes of a text are strays, not marks of binary data."""
    return 100 * head.rstrip(b"\0").count(0) <= max(200, len(head)) and not _BINARY.search(head)


def _wide(head: bytes) -> str:
    """Return which UTF-16 a text with NUL bytes and without a mark is: the one with more everyday characters."""
    if _stray(head) and _kind(head.replace(b"\0", b"")) != "other":
        return ""
    head = head[:4096]
    best, most = "", 0
    for name in ("utf-16-le", "utf-16-be"):
        text = head.decode(name, errors="replace")
        known = sum(bool(_KNOWN.match(char)) for char in text)
        everyday = sum(char.isascii() or char in _EVERYDAY for char in text)
        if known >= 0.95 * len(text) and everyday > most and "\0" not in text:
            best, most = name, everyday
    return best


def _legacy(head: bytes) -> str:
    """Choose between the legacy encodings: that in which most is common in its language, else the guess."""
    sample = head[:200_000]
    sounds = {name: _sound(sample.decode(name, errors="replace"), name) for name in (*_CHINESE, *_KOREAN, *_JAPANESE)}
    sounds |= {name: _western(sample.decode(name, errors="replace"), name) for name in _WESTERN}
    best = max(sounds, key=lambda name: sounds[name])
    if not sounds[best] or _BINARY.search(sample):
        _binary()
    return best


def _western(text: str, name: str) -> float:
    """Return how much a text looks like Latin letters with accents, or like Cyrillic words: nothing, or 0.8 to 1.1."""
    foreign = sum(map(len, _FOREIGN.findall(text)))
    good = sum(char in _WESTERN_MARKS for char in text)
    for word in _WORD.findall(text):
        strange = sum(char > "\x7f" for char in word)
        fits = _CYRILLIC_WORD.fullmatch(word) if name == "cp1251" else 2 * strange <= len(word) + 1
        good += strange if fits else 0
    share = good / foreign if foreign else 0.0
    # Two accented letters within a word are a Chinese character, too, but few words are half accented.
    return share + 0.1 if share >= _LEAST_SOUND else 0.0


def _sound(text: str, name: str) -> float:
    """Return how much a text looks like the language of its encoding: nothing, or 0.7 to 1.5.

    Bytes of Chinese are syllables of Korean, too, and the other way round, but rare ones; so frequent ones count more.
    """
    foreign = "".join(_FOREIGN.findall(text))
    common, frequent = _expected(name)
    if not foreign:
        return 0.0
    if name in _JAPANESE and sum(char in frequent for char in foreign) < _LEAST_KANA * len(foreign):
        return 0.0
    sound = sum(char in common for char in foreign) / len(foreign)
    often = sum(char in frequent for char in foreign) / len(foreign)
    return sound + 0.5 * often if sound >= _LEAST_SOUND else 0.0


@cache
def _expected(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the characters that are common, and those that are frequent, in the texts of an encoding."""
    marks = frozenset(map(chr, [*range(0x2010, 0x2027), *range(0x3000, 0x3012), *range(0xFF01, 0xFF5F)])) | {"·", "€"}
    if name in _KOREAN:
        return frozenset(map(chr, range(0xAC00, 0xD7A4))) | marks, _FREQUENT_HANGUL
    traditional = _cells("big5", range(0xA4, 0xC7), [*range(0x40, 0x7F), *range(0xA1, 0xFF)])
    if name in _JAPANESE:
        kana = frozenset(map(chr, range(0x3041, 0x30FF)))
        return kana | _cells("euc_jp", range(0xB0, 0xD0), range(0xA1, 0xFF)) | marks, kana
    if name == "gb18030":
        return _cells("gb2312", range(0xB0, 0xD8), range(0xA1, 0xFF)) | traditional | _RARE_NAMES | marks, (
            _FREQUENT_HAN
        )
    cantonese = frozenset("嘅咗喺唔佢冇哋啲嚟嘢咁嗰啱睇攞瞓諗㗎喎囉咩乜噉碁銹裏墻恒粧嫺")
    return traditional | cantonese | marks, _FREQUENT_HAN


def _cells(name: str, rows: range, columns: Iterable[int]) -> frozenset[str]:
    pairs = b"".join(bytes((row, column)) for row in rows for column in [*columns])
    return frozenset(pairs.decode(name, "ignore"))


def declared(data: bytes, name: str) -> str | None:
    """Return a text in the encoding that it names, or None if that is unknown or more than a few bytes do not fit.

    Old names are read as what programs write under them, as browsers do: gb2312 is GB 18030, iso-8859-1 is
    Windows-1252. What is UTF-8 for sure is not read as anything else.
    """
    name = name.strip().lower()
    names = ("cp950", "big5hkscs") if name.startswith("big5") or name == "cp950" else (_ALIASES.get(name, name),)
    try:
        real = codecs.lookup(names[0]).name
        if not _REAL.fullmatch(real) or _contradicted(data, real):
            return None
        readings = [data.decode(name, errors="replace") for name in names]
    except (LookupError, ValueError):
        return None
    text = min(readings, key=lambda text: text.count("\ufffd"))
    foreign = sum(map(len, _FOREIGN.findall(text)))
    return text if text.count("\ufffd") <= 0.02 * foreign else None


def _contradicted(data: bytes, name: str) -> bool:
    """Tell whether the bytes are UTF-8 for sure, or of another width than the encoding's."""
    if name == "utf-7":
        return not data.isascii()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if name.startswith(("utf-16", "utf-32")):
        return "\0" not in text
    return sum(char >= "\u0800" for char in text) >= _SURE


def decode(data: bytes, notes: list[str] | None = None) -> str:
    """Return the text of ``data``, bytes that fit nowhere replaced; raise Unreadable for binary data.

    Lines that are no UTF-8 in a file that is UTF-8 elsewhere are read as what they are; ``notes`` say so.
    """
    said = [] if notes is None else notes
    if len(data) > _MOST_BYTES:
        data = data[: data.rfind(b"\n", 0, _MOST_BYTES) + 1 or _MOST_BYTES]
        said.append(f"only the first {len(data)} bytes were read")
    wide = any(data.startswith(bom) for bom, _ in _BOMS[1:])
    head = data[: 1 << 20]
    if not wide and b"\0" in head[:4096] and not _wide(head) and _stray(head):
        said.append(f"{data.count(0)} NUL bytes were left out")
        data = data.replace(b"\0", b"")
    if wide or b"\0" in data[:4096]:
        return data.decode(encoding_of(data), errors="replace").lstrip("\ufeff")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = _mixed(data, said)
    return text.lstrip("\ufeff")


def _mixed(data: bytes, notes: list[str]) -> str:
    """Decode line by line: UTF-8, UTF-8 with damage, or the legacy encoding that the other lines are in."""
    lines = data.split(b"\n")
    kinds = [_kind(line) for line in lines]
    others = b"\n".join(line for line, kind in zip(lines, kinds, strict=True) if kind == "other")
    if not others:
        damaged = kinds.count("damaged")
        notes.append(f"{damaged} lines hold bytes that are no UTF-8; they were replaced")
        return data.decode("utf-8", errors="replace")
    encoding = _guess(others)
    # Two bytes of a Chinese encoding can look like one letter of UTF-8, three hardly ever do.
    proof = 0x800 if encoding not in _WESTERN else 0x80
    known = ("utf-8" if kind in {"utf-8", "damaged"} else "" for kind in kinds)
    sure = [name and any(ord(char) >= proof for char in _utf8(line)) for name, line in zip(known, lines, strict=True)]
    if not any(sure):
        return data.decode(encoding or _legacy(others[: 1 << 20]), errors="replace")
    found: Counter[str] = Counter()
    texts = [
        _utf8(line) if is_utf8 or line.isascii() else _line(line, kind, encoding, found)
        for line, kind, is_utf8 in zip(lines, kinds, sure, strict=True)
    ]
    lost = found.pop("", 0)
    if found:
        said = ", ".join(f"{times} lines are {name}" for name, times in found.most_common())
        notes.append(f"mixed encodings: {said}, the others UTF-8")
    if lost:
        notes.append(f"{lost} lines hold bytes that fit no encoding; they were replaced")
    return "\n".join(texts)


def _guess(others: bytes) -> str:
    """Return the encoding of lines that are no UTF-8, or of their fields if some of them are; else nothing."""
    head = others[: 1 << 20]
    for some in (head, b"\n".join(field for field in _FIELD.split(head) if _kind(field) == "other")):
        try:
            return _legacy(some)
        except Unreadable:
            continue
    return ""


def _line(line: bytes, kind: str, encoding: str, found: Counter[str]) -> str:
    """Decode a line: as most others are, in an encoding of its own, field by field, or with signs for what is lost."""
    name = encoding
    if not name or not _fits(line, name):
        try:
            name = _legacy(line)
        except Unreadable:
            if any(_is_utf8(field) for field in _FIELD.split(line)):
                return "".join(
                    _utf8(field) if field.isascii() or _is_utf8(field) else _line(field, kind, encoding, found)
                    for field in _FIELD.split(line)
                )
            name = encoding
    text = line.decode(name or "utf-8", errors="replace")
    if kind == "other" or not name:
        found["" if "\ufffd" in text else name] += 1
    return text


def _fits(line: bytes, name: str) -> bool:
    text = line.decode(name, errors="replace")
    return (_western if name in _WESTERN else _sound)(text, name) > 0


def _is_utf8(field: bytes) -> bool:
    """Tell whether a part of a line is UTF-8 with a character of three bytes."""
    return _kind(field) == "utf-8" and any(char >= "\u0800" for char in _utf8(field))


def _utf8(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")


def _kind(line: bytes) -> str:
    """Return what a line is: ``ascii``, ``utf-8``, UTF-8 with some wrong bytes (``damaged``), or ``other``."""
    if line.isascii():
        return "ascii"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        text = _utf8(line)
        wrong = text.count("\ufffd")
        right = sum(ord(char) >= 0x800 for char in text) - wrong
        return "damaged" if right >= 3 * wrong else "other"
    return "utf-8"
