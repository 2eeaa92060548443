"""The grader of multiple choice by what a model writes: the option that it names.

This module knows how people and models name an option in English and in Chinese. It does not know log-probabilities:
choice by likelihood is :mod:`feilun.evaluation.likely`.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

from feilun.grading.seam import Case, Grade, right_or_wrong
from feilun.grading.strings import OUTPUT

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WRAP = r"[\s(\[{<*_`\"'“”‘’（【「《:：]*"
_SAYS = (
    r"(?:answer|choice|option|selection|response)\s*(?:is|was|are|would\s+be|should\s+be|[:=])|"
    r"(?:i|we)\s+(?:choose|pick|select|go\s+with)|it(?:\s+is|'s)|but\s+rather|"
    r"(?:答案|选项|選項|结论|結論|正确的|正確的)\s*(?:应该|應該|应|應|就)?\s*(?:是|为|為|选|選|[:：])|"
    r"而是|应该?选|應該?選|故选|故選|所以选|因此选|[我应]?选择?|[我應]?選擇?|"
    r"\\boxed\s*\{(?:\\text\s*\{)?|####"
)
_FILLER = r"(?:\s*(?:option|choice|letter|the\s+option|选项|選項|项)\s*)?"
_MARK = r"[)\]}.。．、,:：）】」*_`\"'”’]"
_BREAK = re.compile(
    r"[;!?\n，。；！？]|[.,:：](?!\d)|\b(?:but|so|thus|therefore|hence|because|since|while)\b|而是|因此|所以|因为|因為|但"
)
# What makes a refusal of the letter that follows, however it goes on up to it, and of the letter before.
_REFUSED = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor|except|besides|excluding|(?:other|rather)\s+than|instead\s+of|all\s+but|"
    r"(?:rul|eliminat|exclud)\w*(?:\s+out)?)\b|n['’]t\b)(?:\s+\w+){0,5}\W*$|"
    r"(?:不|非|没|沒|勿|别|別)(?:[是应應该該能会會选選可以为為的]|可能|认为|認為|觉得|覺得|答案|选项|選項|正确|正確|选择|選擇)*\W*$|"
    r"(?:除|除了|除去|排除|淘汰|而非)(?:选项|選項)?\W*$",
    re.IGNORECASE,
)
_WRONG = re.compile(
    r"\b(?:wrong|incorrect|false|eliminated|ruled\s+out|excluded|not(?!\s+(?:only|[A-Z]\b)))\b|n['’]t\b|"
    r"错|錯|不对|不對|不正确|不正確|不成立|不符|不选|不選|不行|有误|有誤|排除|并非|並非|不是(?!\s*[A-Z])",
    re.IGNORECASE,
)
_TOGETHER = re.compile(r"^(?:\s*(?:[,、/&和及与與或]|and|or|nor)+\s*[A-Z](?![A-Za-z]))+(?=\s*(?:are|were|都|均|皆))")
_RIGHT = re.compile(
    r"\W*(?:is|are|项|項|选项|選項|是)?\s*(?:right|correct|true|best|the\s+answer|正确|正確|对|對)", re.IGNORECASE
)


def chosen(text: str, letters: str, texts: tuple[str, ...] = (), *, several: bool = False) -> str:
    """Return the letters of the options that an answer chooses, in order; empty if it cannot be told.

    ``letters`` are those on offer, ``texts`` what the options say, ``several`` permits more than one. An option that
    the answer refuses ("not B") or only lists is not chosen.
    """
    plain = _unlisted(unicodedata.normalize("NFKC", text).strip(), letters)
    lettered = _lettered(plain, letters, texts)
    both = letters + letters.translate(_WIDE)
    return (
        _announced(plain, letters, several)
        or _leading(plain, letters, several)
        or _announced(lettered, both, several)
        or _standing(lettered, letters, several)
    )


_WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in LETTERS}


def _unlisted(text: str, letters: str) -> str:
    """Return a text without the list of all options that it repeats."""
    listed = list(re.finditer(rf"^\W*([{letters}])\s*[.:)、].*$", text, re.MULTILINE))
    if len(letters) < 2 or {found[1] for found in listed} != set(letters) or _WRONG.search(text):
        return text
    for found in reversed(listed):
        text = text[: found.start()] + text[found.end() :]
    return text.strip()


def _lettered(text: str, letters: str, texts: tuple[str, ...]) -> str:
    """Return a text with what the options say replaced by their letters, full-width so that they are no articles."""
    offered = sorted(zip(texts, letters, strict=False), key=lambda pair: len(pair[0]), reverse=True)
    for option, letter in offered:
        words = unicodedata.normalize("NFKC", option).strip(" \t\n.。,，;；")
        if not words or words in LETTERS:
            continue
        body = r"\s+".join(map(re.escape, words.split()))
        begin = r"(?<![\w.+\-<>=$#±])" if words[0].isascii() else ""
        end = r"(?![\w%+#]|[.,]\d)" if words[-1].isascii() else ""
        text = re.sub(begin + body + end, f" {letter.translate(_WIDE)} ", text, flags=re.IGNORECASE)
    return text


def _run(letters: str, several: bool) -> str:
    """Return a pattern for a letter that stands for itself, or for several one after the other."""
    one = rf"[{letters}]"
    link = r"\s*(?:[,、/&+和及与與或]|and\b|or\b|以及|或者)\s*"
    if several:
        return rf"({one}(?:(?:{link})?\s*{one})*)(?![A-Za-z'’])"
    listed = rf"{link}[(\[]?{one}[)\]]?(?=\s*(?:$|[.。;；!！,，、和及与與或\n]|and\b|or\b))"
    return rf"({one})(?![A-Za-z'’]|{listed}|\s*(?:and|or|或)\s+{one}\b(?!\w))"


def _announced(text: str, letters: str, several: bool) -> str:
    """Return what the last "the answer is B" says."""
    pattern = rf"(?:{_SAYS}){_FILLER}{_WRAP}{_FILLER}{_WRAP}(?-i:{_run(letters, several)})"
    found = [
        match[1]
        for match in re.finditer(pattern, text, re.IGNORECASE)
        if not _article(text, match.start(1)) and not _refused(text, *match.span(1))
    ]
    return _tidy(found[-1]) if found else ""


def _leading(text: str, letters: str, several: bool) -> str:
    """Return the letter that an answer begins with, or that is its whole last line."""
    found = re.match(rf"{_WRAP}{_run(letters, several)}\s*(?:{_MARK}|$|\n)", text)
    if found and not _refused(text, *found.span(1)):
        return _tidy(found[1])
    if letters and (small := re.match(rf"{_WRAP}([{letters.lower()}])\s*(?:[).。:：]|$)", text)):
        return small[1].upper()
    last = text.rsplit("\n", 1)[-1].strip()
    found = re.fullmatch(rf"{_WRAP}{_run(letters, several)}{_MARK}*", last)
    return _tidy(found[1]) if found else ""


def _standing(text: str, letters: str, several: bool) -> str:
    """Return the only option that is named anywhere and not refused; a letter rather than what an option says."""
    wide = letters.translate(_WIDE)
    standing = [
        match[0]
        for match in re.finditer(rf"(?<![A-Za-z0-9'’])[{letters}](?![A-Za-z0-9'’])|[{wide}]", text)
        if not _article(text, match.start()) and not _refused(text, *match.span())
    ]
    found = _tidy("".join(standing))
    named = _tidy("".join(letter for letter in standing if letter.isascii()))
    return found if several or len(found) == 1 else named if len(named) == 1 else ""


def _refused(text: str, begin: int, end: int) -> bool:
    """Say whether the clause around a letter refuses it, or asks about it."""
    before = _BREAK.split(text[:begin])[-1]
    rest = re.sub(r"^[\s)\]}）】」*_`\"'”’]+", "", text[end:])
    rest = _TOGETHER.sub("", rest)
    broken = _BREAK.search(rest)
    after = rest[: broken.start()] if broken else rest
    asked = broken is not None and broken[0] in "?？" and len(after.split()) <= 3
    marked = _WRONG.match(rest.lstrip(" .:：、")) is not None  # B: wrong
    denied = _WRONG.search(after) is not None and not _RIGHT.match(after)
    return asked or marked or denied or _REFUSED.search(before) is not None


def _article(text: str, place: int) -> bool:
    """Say whether the letter at ``place`` is the English word "A" or "I"."""
    told = r"(?:or|and|nor|is|was|are|as|because|since|seems|looks|but)\b"
    return text[place] in "AI" and re.match(rf".\s+(?!{told})[a-z]", text[place:]) is not None


def _tidy(letters: str) -> str:
    return "".join(sorted({c for c in unicodedata.normalize("NFKC", letters) if c in LETTERS}))


class Choice(msgspec.Struct, tag="choice", forbid_unknown_fields=True):
    """The answer chooses the option ``reference`` (a letter, or several for several right ones; or a number from 0).

    ``choices`` are the options' texts, so that an answer may say the text instead of the letter.
    """

    reference: str | int
    choices: list[str] = []
    letters: str = ""
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.reference, int) and not 0 <= self.reference < len(self.offered):
            raise ValueError(f"reference {self.reference} is none of {len(self.offered)} options")
        if self.letters and not all(letter in LETTERS for letter in self.letters):
            raise ValueError("letters must be capital letters")

    @property
    def offered(self) -> str:
        """The letters on offer."""
        return self.letters or LETTERS[: len(self.choices) or 4]

    async def grade(self, case: Case) -> Grade:
        """Find the letter and compare."""
        filled = (
            self.reference if isinstance(self.reference, int) else case.fill(self.reference).strip().strip("()（）.")
        )
        wanted = self.offered[filled] if isinstance(filled, int) else _tidy(filled.upper())
        if not wanted or not set(wanted) <= set(self.offered):
            return Grade(0.0, False, error=f"The reference {filled!r} is none of the options {self.offered}.")
        found = chosen(case.fill(self.input), self.offered, tuple(self.choices), several=len(wanted) > 1)
        return right_or_wrong(found == wanted, f"It chooses {found}." if found else "It chooses no option.")
