"""How near questions are to each other: vectors of unit length, the more parallel the nearer.

With a model that embeds texts, its vectors, less the mean of their language: what all questions of a workspace share
says nothing, and a question in Chinese then lies by the same question in English. Without one, character n-grams.
It knows texts. It does not know which of them went wrong.

Source: removing the common mean follows Mu and Viswanath, *All-but-the-Top* (ICLR 2018), here a language at a time.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Encode = Callable[[Sequence[str]], np.ndarray]
_WORD = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_BUCKETS = 4096  # n-grams share columns rarely at this width
_COMMON = 0.5  # what every text has counts little, but in a few texts it may be all that they have
# What few questions have in common is only seen beside others: these stand for what people ask anywhere.
_EVERYDAY = (
    *("How do I get there?", "What time is it in Tokyo?", "Can you write a letter for me?", "Who wrote this book?"),
    *("what does this word mean", "my printer does not print", "is it going to rain tomorrow", "how much do I owe you"),
    *("Which of the two is better?", "Please summarise this text.", "where can I sign up", "when is the deadline"),
    *("I have lost my key", "why is the sky blue", "do you have this in another colour", "how long does it take"),
    *("怎么去那里？", "现在东京几点？", "能帮我写一封信吗？", "这本书是谁写的？", "这个词是什么意思", "打印机打不出来"),
    *("明天会下雨吗", "我该付多少钱", "这两个哪个更好？", "请总结这段文字。", "在哪里报名", "截止日期是什么时候"),
    *("我的钥匙丢了", "天空为什么是蓝色的", "有别的颜色吗", "需要多长时间"),
)
LONGEST = 400  # characters of a question that count


@dataclass(frozen=True, slots=True)
class Space:
    """Vectors (n x d, float32, unit length) and how near is near in them: to be one theme, to be one question again."""

    rows: np.ndarray
    theme: float
    again: float


def is_chinese(text: str) -> bool:
    """Say whether a text is rather Chinese."""
    han = len(_HAN.findall(text))
    return han * 3 > len(text.replace(" ", ""))


def space(texts: Sequence[str], encode: Encode | None) -> Space:
    """Return the space of some texts; ``encode`` gives vectors as of questions, None: by character n-grams."""
    cut = [*(text[:LONGEST] for text in texts), *_EVERYDAY]
    if encode is None:
        return Space(_by_grams(cut)[: len(texts)], 0.08, 0.3)
    rows = _centred(np.asarray(encode(cut), np.float32), [is_chinese(text) for text in cut])
    return Space(rows[: len(texts)], 0.11, 0.4)


def _centred(rows: np.ndarray, chinese: Sequence[bool]) -> np.ndarray:
    rows, which = rows.copy(), np.array(chinese, bool)
    for mask in (which, ~which):
        rows[mask] -= rows[mask].mean(axis=0)
    return _unit(rows)


def _by_grams(texts: Sequence[str]) -> np.ndarray:
    counted = [_grams(text) for text in texts]
    often = Counter(gram for counts in counted for gram in counts)
    rows = np.zeros((len(texts), _BUCKETS), np.float32)
    for row, counts in zip(rows, counted, strict=True):
        for gram, count in counts.items():
            rarity = math.log1p(len(texts) / often[gram]) - _COMMON
            row[zlib.crc32(gram.encode()) % _BUCKETS] += (1 + math.log(count)) * rarity
    return _unit(rows)


def _grams(text: str) -> Counter[str]:
    """Return the character n-grams of a text: one and two of Chinese, three to five within words of others."""
    found: Counter[str] = Counter()
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        word, sizes = (match[0], (1, 2)) if _HAN.match(match[0]) else (f"_{match[0]}_", (3, 4, 5))
        found.update(word[at : at + size] for size in sizes for at in range(len(word) - size + 1))
    return found


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = rows / np.maximum(lengths, 1e-9)
    return unit
