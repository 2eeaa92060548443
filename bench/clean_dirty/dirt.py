"""Dirt as organisations' exports have it, put into clean pairs of questions and answers; the same seed, the same dirt.

Knows pairs of texts. Does not know how any of it is found. The kinds are those that were met in real pages and exports:
rows twice and nearly twice, older versions with other figures, advertising and page furniture around answers, marks
against copying, text that was decoded wrongly, keyboard tests, answers that refer to something that is not there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

Pair = tuple[str, str]
TAILS = (
    "\n\nClick here for the best casino bonus! www.lucky-spin-777.example WhatsApp +44 7700 900123",
    "\nShare this page · Print · Back to top · © all rights reserved",
    "\n\n【限时优惠】加微信 lucky777 领取彩金，点击 www.caijin-777.example 立即注册",
    "\n上一篇：暂无　下一篇：暂无　返回顶部　打印本页　关闭窗口",
)
HEADS = ("Home > Help > FAQ > Article 1482\n", "首页 > 帮助中心 > 常见问题\n", "[Printed 03/11, page 1 of 1]\n")
JUNK = (
    ("test", "test test"),
    ("asdf", "qwer"),
    ("测试", "测试123"),
    ("???", "see attachment"),
    ("同上", "同上"),
    ("Question", "Answer"),
)
_FIGURE = re.compile(r"\d+(?:\.\d+)?")
SHARES = {"twice": 0.30, "older": 0.25, "around": 0.30, "marks": 0.12, "mojibake": 0.08, "junk": 0.15}


def dirtied(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return pairs with dirt among and in them, shuffled. No pair is taken away; ``SHARES`` are of their number."""
    dice = random.Random(seed)
    found = [_spoilt(pair, dice) for pair in pairs]
    for pair in dice.sample(list(pairs), round(SHARES["twice"] * len(pairs))):
        copy = pair if dice.random() < 0.5 else (pair[0], _mistyped(pair[1], dice))
        found += [copy] * dice.randint(1, 4)
    with_figures = [pair for pair in pairs if _FIGURE.search(pair[1])]
    for question, answer in dice.sample(with_figures, min(len(with_figures), round(SHARES["older"] * len(pairs)))):
        found.append((question, _FIGURE.sub(lambda figure: _other(figure.group(), dice), answer)))
    found += [dice.choice(JUNK) for _ in range(round(SHARES["junk"] * len(pairs)))]
    dice.shuffle(found)
    return found


def _spoilt(pair: Pair, dice: random.Random) -> Pair:
    question, answer = pair
    if dice.random() < SHARES["around"]:
        answer = dice.choice(HEADS) + answer if dice.random() < 0.4 else answer + dice.choice(TAILS)
    if dice.random() < SHARES["marks"]:
        answer = "".join(char + ("\u200b" if dice.random() < 0.2 else "") for char in answer)
    if dice.random() < SHARES["mojibake"]:
        answer = answer.encode().decode("cp1252", "replace").replace("\ufffd", "?")
    return question, answer


def _mistyped(text: str, dice: random.Random) -> str:
    at = dice.randrange(max(1, len(text) - 1))
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


def _other(figure: str, dice: random.Random) -> str:
    """Return the figure as an older version may have had it: as many digits, another value."""
    old = "".join(dice.choice("0123456789") if char.isdigit() else char for char in figure)
    return old if old != figure else figure[::-1]
