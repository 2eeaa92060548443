"""Machine-spun text flagged: articles in which a program swapped words so that they would count as new.

This module knows how the traces are weighed: swaps inside words, many different odd words close together, broken
idioms, spaces before marks. One odd word is nothing: dialect, old prose and translations have some too. It does not
know the words (``words``), nor whether what a text says is true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from feilun.curation.repair.characters import census, han_counts
from feilun.curation.repair.sieve import Sieve, matches
from feilun.curation.repair.words import IDIOMS, INSIDE_WORDS, ODD_WORDS, ORDINARY, TORTURED
from feilun.curation.seam import Note, Row, Ruling


def _literal_first(pattern: str) -> list[str]:
    """Return alternatives that begin with a letter, which are found far faster: ``cd(?<=[ab]cd)`` for ``[ab]cd``."""
    parts = re.split(r"\|(?![^(]*\))", pattern)
    return [re.sub(r"^(\[[^]]+\])([a-z\u4e00-\u9fff]+)", r"\2(?<=\1\2)", part) for part in parts]


_INSIDE = re.compile("|".join(_literal_first("|".join(INSIDE_WORDS))))
_ODD = re.compile("|".join(dict.fromkeys(ODD_WORDS.split())))
_ORDINARY = re.compile(ORDINARY)
_TORTURED = re.compile(TORTURED)
_SPACED = re.compile("[\u4e00-\u9fff] +[，。、；：？！,;?!](?![A-Za-z0-9])")
_MARKS = re.compile("[\u4e00-\u9fff] *[，。、；：？！,;?!]")
_IDIOM = re.compile(
    "|".join(
        rf"{i[:place]}(?!{i[place]})\w{i[place + 1 :]}" if place else rf"{i[1:]}(?<=\w{i[1:]})(?<!{i})"
        for i in IDIOMS
        for place in range(4)
    )
)
_FREQUENT = frozenset(
    [
        "新手",
        "高手",
        "公司",
        "社会",
        "情况",
        "经济",
        "按照",
        "信息",
        "市场",
        "是一",
        "企业",
        "以及",
        "因此",
        "措施",
        "办理",
        "支持",
        "并不",
        "形式",
        "标的",
        "重大",
        "科学",
        "实现",
        "对于",
        "大模",
        "心理",
        "互联",
        "人工",
        "语言",
        "水平",
        "电子",
        "品牌",
        "操作",
        "辨认",
        "数字",
        "用户",
        "体系",
        "并且",
        "生态",
        "凭证",
        "供应",
        "甚至",
        "很多",
        "研发",
        "办事",
        "题目",
        "多少",
        "其实",
        "一样",
        "成长",
        "机械",
        "资本",
        "收回",
        "神经",
        "根本",
        "合计",
        "语音",
        "修正",
        "天然",
        "是以",
        "收集",
        "经常",
        "产物",
        "实用",
        "机器",
        "实力",
        "装备",
        "资助",
        "可持",
        "的体",
        "焦点",
        "总体",
        "其后",
        "天下",
        "布局",
        "深度",
        "供给",
        "职员",
        "详细",
        "伟大",
        "中间",
        "范畴",
        "构造",
        "精力",
        "质量",
        "前进",
        "海量",
        "图象",
        "图像",
        "身体",
        "身材",
    ]
)
_LEAST_HAN = 80
_EVERYWHERE = frozenset(
    {"in t", "with", "high", "soci", "onli", "work", "as a", "sign", "comm", "mean", "inte", "mach"}
)


@cache
def _sieve() -> Sieve:
    """Return what finds the beginnings of traces; those that sound texts are full of call for no closer look."""
    return Sieve(_starts("\u3000"), _FREQUENT)


def _starts(least: str) -> list[str]:
    """Return what the odd words begin with: all literals in their patterns from the character ``least`` on."""
    literals = re.compile(r"\(\?[=!].*?\)|\[.*?\]\??|[()|?:^+*{}0-9,，。\\]+")
    starts = [literal for words in (*INSIDE_WORDS, *ODD_WORDS.split()) for literal in literals.split(words)]
    return [each for each in starts if len(each) > 1 and each[0] >= least]


@cache
def _close_sieves() -> tuple[Sieve, Sieve, Sieve]:
    """Return what finds where odd words, the first and the last halves of broken idioms begin."""
    halves = [half for idiom in IDIOMS for half in (idiom[:2], idiom[1:3])]
    return Sieve(_starts("")), Sieve(halves), Sieve(idiom[2:] for idiom in IDIOMS)


@cache
def _tortured_sieve() -> Sieve:
    phrases = (re.sub(r"\(.*|\[.*", "", phrase) for phrase in re.split(r"\|(?![^(]*\))", TORTURED))
    return Sieve(phrases, _EVERYWHERE)


@dataclass(frozen=True, slots=True)
class Traces:
    """What was found in a text: weights of distinct kinds, weights in all for 1,000 Han characters, and the words."""

    kinds: float
    density: float
    words: tuple[str, ...]

    @property
    def score(self) -> float:
        """Return 0 … 1; from 0.5 on a text is flagged."""
        return round(min(1.0, self.kinds / 13, self.density / 9), 3)


def _shown(match: re.Match[str]) -> str:
    """Return what was found; with the letter before it where that makes it odd."""
    return match.string[max(0, match.start() - 1) : match.end()] if len(match[0]) == 2 else match[0]


def traces(texts: Sequence[str], han: Sequence[int]) -> list[Traces]:
    """Return the traces of swapped words in Chinese texts with ``han`` Han characters each."""
    words, heads, tails = (sieve.spots(texts)[1] for sieve in _close_sieves())
    idioms = [
        sorted({*head, *(spot - 2 for spot in tail if spot > 1)}) for head, tail in zip(heads, tails, strict=True)
    ]
    return [_traces(*each) for each in zip(texts, han, words, idioms, strict=True)]


def _traces(text: str, han: int, words: Sequence[int], idioms: Sequence[int]) -> Traces:
    inside = Counter(_shown(match) for match in matches(_INSIDE, text, words))
    odd = Counter(match[0] for match in matches(_ODD, text, words) if match[0] not in inside)
    broken = Counter(match[0] for match in matches(_IDIOM, text, idioms))
    spaced, marks = len(_SPACED.findall(text)), len(_MARKS.findall(text))
    weight = dict.fromkeys((*inside, *broken), 2.0)
    weight |= {word: 0.5 if _ORDINARY.match(word) else 1.0 for word in odd}
    counts = inside + odd + broken
    kinds = sum(weight.values())
    if spaced >= 4 and 20 * spaced >= marks:
        kinds += 3
    total = sum(weight[word] * min(count, 4) for word, count in counts.items()) + min(spaced, 10) / 2
    shown = sorted(counts, key=lambda word: (-weight[word], -counts[word], word))
    return Traces(kinds, 1000 * total / max(han, 300), tuple(word.strip("，。、：:“ ") for word in shown[:12]))


@dataclass(frozen=True, slots=True)
class Spun:
    """Flags rows whose traces score at least ``least``."""

    least: float = 0.5

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return a flag with the score and the odd words for spun rows."""
        texts = [row.text for row in rows]
        found: list[Sequence[Ruling]] = [()] * len(texts)
        han = han_counts(census(texts)).tolist()
        chinese = [place for place, size in enumerate(han) if size >= _LEAST_HAN]
        hits, _ = _sieve().spots([texts[place] for place in chinese])
        close = [at for at, hit in zip(chinese, hits, strict=True) if hit >= 4 and 400 * hit >= han[at]]
        for place, seen in zip(close, traces([texts[at] for at in close], [han[at] for at in close]), strict=True):
            if seen.score >= self.least:
                found[place] = (Ruling("flag", Note("spun", "、".join(seen.words), 1), seen.score),)
        english = [place for place, size in enumerate(han) if size < _LEAST_HAN and len(texts[place]) > 200]
        odd, spots = _tortured_sieve().spots([texts[place] for place in english])
        for place, strange, where in zip(english, odd, spots, strict=True):
            if strange:
                found[place] = _english(texts[place], where)
        return found


def _english(text: str, spots: Sequence[int]) -> Sequence[Ruling]:
    lowered = text.lower()
    places = matches(_TORTURED, lowered, spots) if len(lowered) == len(text) else _TORTURED.finditer(lowered)
    found = Counter(match[0].casefold() for match in places)
    if len(found) < 2 or sum(found.values()) < 3:
        return ()
    score = round(min(1.0, 0.35 + 0.1 * len(found)), 3)
    return (Ruling("flag", Note("tortured", ", ".join(found), 1), score),)
