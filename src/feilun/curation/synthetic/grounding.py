"""Is what a model wrote said by the sentences that it cites? Words, figures and negations, in English and Chinese.

This module knows texts. It does not know models, prompts or permissions. It is strict on purpose: a true sentence in
wholly other words is refused, so that an invented word, another figure or a turned negation never passes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = re.compile(f"[{_HAN}]+")
_WORD = re.compile(rf"[^\W\d_{_HAN}]+(?:['’][^\W\d_{_HAN}]+)?")
_FIGURE = re.compile(r"(\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)([万亿]?)")
_UNITS = {"": 1, "万": 10_000, "亿": 100_000_000}
_CHINESE_FIGURE = re.compile("[零〇一二两三四五六七八九十百千万亿]+(?:点[零〇一二三四五六七八九]+)?")
_SENTENCE = re.compile(r"[^。！？!?\n]*?(?:[。！？!?]+[”’」』\"')）]*|\.(?=\s|$)[”\"')]*|\n|$)", re.DOTALL)
_STATEMENTS = re.compile(r"[。！？!?;；\n]+|\.(?=\s|$)")
_CLAUSES = re.compile(r"[。！？!?;；,，:：\n]+|\.(?=\s|$)|\bbut\b|但是?|而", re.IGNORECASE)
_FUNCTION = frozenset(
    "的了是在和与及或有为之于以由从到至也都就还其该此这那您你我他她它们请吗呢吧啊将被把对向个并且则所地着等即位"
)
_STOP = frozenset(
    re.findall(
        "[a-z]+",
        "a an the this that these those it its is are was were be been being am do does did done has have had having "
        "will would shall should can could may might must of in on at to for from by with as and or if then than so "
        "such into about per each there here which who whom whose what when where why how i you he she we they them "
        "their our your his her my me us also too very just only up out off one ones s t yes",
    )
)
_SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {word: value for value, word in enumerate(re.findall("[a-z]+", f"{_SMALL} seventeen eighteen nineteen"))}
_NUMBERS |= {word: 10 * tens for tens, word in enumerate(re.findall("[a-z]+", _TENS), 2)}
_NOT = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|unable|except)\b|n['’]t\b|[不没無无未勿]|非|禁止|除外",
    re.IGNORECASE,
)
_NO_NEGATION = re.compile(
    "不同|不断|不仅|不但|不管|不论|不少|不久|不过|差不多|非常|除非|无论|是否|不锈|未来|没收|\\bno\\. ?\\d",
    re.IGNORECASE,
)
_ENDINGS = ("ingly", "edly", "ing", "ies", "ied", "ed", "es", "ly", "s", "e", "y")


def sentences(text: str) -> list[tuple[int, int]]:
    """Return where the sentences of a text begin and end, without the spaces around them."""
    found = []
    for match in _SENTENCE.finditer(text):
        said = match[0].strip()
        if any(char.isalnum() for char in said):
            start = match.start() + match[0].index(said)
            found.append((start, start + len(said)))
    return found


def is_chinese(text: str) -> bool:
    """Say whether a text is rather Chinese than anything else."""
    han = sum(map(len, _RUN.findall(text)))
    return han > 0 and han * 2 >= sum(map(len, _WORD.findall(text)))


def figures(text: str) -> set[Decimal]:
    """Return the numbers that a text names: in digits, in English words up to 99, in Chinese.

    A lone ``one`` or 一 is rather a word than a number.
    """
    plain = unicodedata.normalize("NFKC", text).replace("百分之", "")
    found = {Decimal(digits.replace(",", "")) * _UNITS[unit] for digits, unit in _FIGURE.findall(plain)}
    plain = _FIGURE.sub(" ", plain)
    tens = 0
    for word in re.findall(r"[A-Za-z]+", plain):
        value = _NUMBERS.get(word.lower(), -1)
        if tens and 0 < value < 10:
            found.discard(Decimal(tens))
            found.add(Decimal(tens + value))
        elif value >= 0 and value != 1:
            found.add(Decimal(value))
        tens = value if value >= 20 else 0
    written = (_chinese_figure(run) for run in _CHINESE_FIGURE.findall(plain) if run != "一")
    return found | {each for each in written if each is not None}


def _chinese_figure(run: str) -> Decimal | None:
    """Return the number of Chinese numerals: places (二〇二六), units (三百五十), or with 点; None for what is none."""
    digits = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
    units = {"十": 10, "百": 100, "千": 1000}
    if len(run) > 30:
        return None
    run, _, behind = run.partition("点")
    if behind:
        before = _chinese_figure(run)
        return None if before is None else before + Decimal("0." + "".join(str(digits[c]) for c in behind))
    if all(char in digits for char in run):
        return Decimal(int("".join(str(digits[char]) for char in run)))
    whole = part = digit = 0
    for char in run:
        if char in digits:
            digit = digits[char]
        elif char in units:
            part += (digit or 1) * units[char]
            digit = 0
        else:
            whole = (whole + part + digit) * (10_000 if char == "万" else 100_000_000)
            part = digit = 0
    return Decimal(whole + part + digit)


def stems(text: str) -> set[str]:
    """Return the stems of the words that say something, figures left out; of Chinese see :func:`missing`."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    words = (word.removesuffix("'s") for word in _WORD.findall(plain))
    return {_stem(word) for word in words if word not in _STOP and word not in _NUMBERS and not word.endswith("n't")}


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def missing(claim: str, span: str) -> list[str]:
    """Return the words of a claim that the span does not have, in order.

    Chinese, which has no spaces, is covered by the longest pieces that the span has; what is left over is missing.
    """
    there = stems(span)
    found = sorted(stem for stem in stems(claim) if stem not in there and not _negates(stem))
    plain = unicodedata.normalize("NFKC", span)
    for run in _RUN.findall(unicodedata.normalize("NFKC", claim)):
        found += _uncovered(run, plain)
    return found


def _uncovered(run: str, span: str) -> list[str]:
    left: list[str] = []
    place, alone = 0, ""
    while place < len(run):
        length = 0
        while place + length < len(run) and run[place : place + length + 1] in span:
            length += 1
        char = run[place]
        if length >= 2 or (length == 1 and char in _FUNCTION):
            place += length
        elif char in _FUNCTION or _NOT.match(char) or _CHINESE_FIGURE.match(char):
            place += 1  # negations and figures are compared for themselves
        else:
            alone += char
            place += 1
            if length == 0 or len(alone) > 1:
                left.append(char)
            continue
        alone = ""
    return left


def _negates(word: str) -> bool:
    return _NOT.fullmatch(word) is not None


def negated(text: str) -> bool:
    """Say whether a clause denies something."""
    return _NOT.search(_NO_NEGATION.sub(" ", text)) is not None


def unsupported(claim: str, span: str, question: str = "") -> str:
    """Return why a claim (the answer to a question) is not said by a span; nothing if it is.

    Reasons: ``says_nothing``, ``wrong_figure``, ``not_in_text``, ``negation``, ``elsewhere`` (its figure belongs to a
    statement that fits the question worse than another one with a figure does).
    """
    named = figures(claim)
    words = {stem for stem in stems(claim) if not _negates(stem)}
    words |= {char for run in _RUN.findall(claim) for char in run if char not in _FUNCTION and not _NOT.match(char)}
    if not named and not words:
        return "says_nothing"
    if not named <= figures(span):
        return "wrong_figure"
    if missing(claim, span):
        return "not_in_text"
    if not negated(question) and turned(claim, span):
        return "negation"
    return "elsewhere" if question and _elsewhere(named, span, question) else ""


def turned(claim: str, span: str) -> bool:
    """Say whether a clause of the claim denies what the span affirms, or affirms what it denies.

    That is: it affirms and has a word that the span has in denying clauses only; or it denies and has none of these,
    but one that the span has in affirming clauses only.
    """
    clauses = [(_words(clause), negated(clause)) for clause in _CLAUSES.split(span) if clause.strip()]
    affirmed = {word for words, denying in clauses if not denying for word in words}
    denied = {word for words, denying in clauses if denying for word in words}
    for said in _CLAUSES.split(claim):
        words = _words(said)
        if negated(said) and words & (affirmed - denied) and not words & (denied - affirmed):
            return True
        if not negated(said) and words & (denied - affirmed):
            return True
    return False


def _words(text: str) -> set[str]:
    words = {word for word in stems(text) if not _negates(word)}
    return words | {pair for pair in pairs(text) if not _NOT.search(pair)}


def _elsewhere(named: set[Decimal], span: str, question: str) -> bool:
    """Say whether figures are taken from a statement that has less to do with the question than another one."""
    counted = [(each, figures(each)) for each in _STATEMENTS.split(span) if figures(each)]
    if not named or len(counted) < 2:
        return False
    fit = [(_common(question, each), found) for each, found in counted]
    holding = [weight for weight, found in fit if named <= found]
    return bool(holding) and max(holding) < max(weight for weight, _ in fit)


def _common(one: str, other: str) -> int:
    """Return how many words, and pairs of Chinese characters, two texts share."""
    return len(stems(one) & stems(other)) + len(pairs(one) & pairs(other)) + len(figures(one) & figures(other))


def pairs(text: str) -> set[str]:
    """Return the pairs of neighbouring Chinese characters of a text that say something."""
    runs = _RUN.findall(unicodedata.normalize("NFKC", text))
    return {run[i : i + 2] for run in runs for i in range(len(run) - 1) if not set(run[i : i + 2]) & _FUNCTION}


def near(question: str, text: str) -> bool:
    """Say whether a question is about what a text is about: at least two of its words, or a third, are the text's."""
    asked = stems(question) | pairs(question)
    shared = asked & (stems(text) | pairs(text))
    return len(shared) >= 2 or len(shared) * 3 >= len(asked) > 0


def foreign(question: str, text: str) -> list[str]:
    """Return the figures and the names (capitalised within the question, or Latin in Chinese) that a text lacks."""
    found = [str(value) for value in sorted(figures(question) - figures(text))]
    words = list(_WORD.finditer(question))
    chinese = is_chinese(question)
    names: Iterable[str] = (match[0] for match in words if chinese or _is_name(match[0], question[: match.start()]))
    there = stems(text)
    return found + [name for name in names if stems(name) - there]


def _is_name(word: str, before: str) -> bool:
    """Say whether a word is capitalised though no sentence begins with it."""
    return word[0].isupper() and before.rstrip(" \"'“‘(")[-1:] not in {"", *".!?:\n"}
