"""Calls as a script makes them: themes that go wrong, ordinary ones that go well, and noise, in both languages.

The texts are in ``themes.txt``. This module knows how people garble and wrap questions, and what becomes of calls.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from feilun.feedback.insights.near import is_chinese
from feilun.records import Feedback, Permissions, Trace, Usage
from feilun.store import Database, feedback, traces
from feilun.store.insights import Insight

_EN = ("{q}", "{q}", "{q}", "Hi, {q}", "hello! {q}", "{q} thanks", "quick question: {q}", "{q} please answer soon")
_ZH = ("{q}", "{q}", "{q}", "你好，{q}", "请问{q}", "{q}谢谢", "问一下，{q}", "麻烦问下{q}")
_BAD = {
    False: ("I don't know.", "I'm not sure about that, sorry.", "I have no information on this.", "Maybe. Please ask."),
    True: ("抱歉，我不知道。", "暂时没有相关信息。", "这个我不清楚。", "可能吧，请咨询工作人员。"),
}
_GOOD = {False: "Yes, and it is quite simple: here is how.", True: "可以的，步骤很简单，如下。"}
_CHATTER = (
    "tell me a joke",
    "what is the meaning of life",
    "write a poem about the sea",
    "asdf asdf",
    "are you a robot?",
    "who won the world cup",
    "translate good morning into French",
    "讲个笑话",
    "你是谁",
    "写一首关于秋天的诗",
    "今天天气怎么样",
    "推荐一部电影",
    "how tall is the highest mountain",
    "sing a song",
    "what is 17 times 23",
    "明天股票会涨吗",
)


def texts(domain: str) -> dict[tuple[str, str], list[str]]:
    """Return the wordings of a domain by (``bad`` or ``good``, theme)."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    here, theme = "", ("", "")
    for line in Path(__file__).with_name("themes.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            here = line[2:]
        elif line.startswith("## "):
            theme = (line[3:].split()[0], line[3:].split()[1])
        elif line and here == domain:
            found[theme].append(line)
    return dict(found)


@dataclass
class Script:
    """What was called: the theme of each trace (empty: chatter), and which themes were planted."""

    themes: dict[str, str] = field(default_factory=dict)
    planted: list[str] = field(default_factory=list)

    def found(self, insights: list[Insight], least: float = 0.5) -> dict[str, tuple[float, float]]:
        """Return, for each planted theme that has an insight mostly of it, purity and the share of its calls there."""
        bad = Counter(self.themes.values())
        best: dict[str, tuple[float, float]] = {}
        for insight in insights:
            inside = Counter(self.themes[str(part["trace"])] for part in insight.evidence)
            (theme, count), *_ = inside.most_common(1)
            purity, reach = count / inside.total(), count / bad[theme]
            if theme in self.planted and purity >= least:
                best[theme] = max(best.get(theme, (0.0, 0.0)), (purity, reach), key=lambda pair: pair[1])
        return best


def garbled(question: str, chance: random.Random) -> str:
    """Return a question as somebody in a hurry types it."""
    wrapped = chance.choice(_ZH if is_chinese(question) else _EN).replace("{q}", question)
    if chance.random() < 0.3 and len(wrapped) > 8:
        at = chance.randrange(1, len(wrapped) - 2)
        swapped = wrapped[:at] + wrapped[at + 1] + wrapped[at] + wrapped[at + 2 :]
        wrapped = chance.choice([swapped, wrapped[:at] + wrapped[at + 1 :]])
    return chance.choice([wrapped, wrapped, wrapped.lower(), wrapped.rstrip("?？.")])


def play(
    db: Database, ws: str, domain: str, seed: int, calls: int = 500, failing: float = 0.3, rating: float = 0.5
) -> Script:
    """Make calls: five themes that mostly go wrong (``failing`` of all calls), ordinary ones, a tenth chatter.

    Half of the chatter and a few ordinary calls go wrong as well. ``rating`` is how often somebody rates a bad answer.
    """
    chance = random.Random(f"{domain} {seed}")
    wordings = texts(domain)
    bad = [theme for theme in wordings if theme[0] == "bad"]
    good = [theme for theme in wordings if theme[0] == "good"]
    script = Script(planted=[name for _, name in bad])
    made: list[Trace] = []
    judged: list[Feedback] = []
    users = [f"member-{n}" for n in range(40)]
    clock = 1_700_000_000.0
    while len(made) < calls:
        clock += chance.expovariate(1 / 90)
        draw = chance.random()
        kind, name = ("chatter", "") if draw > 0.9 else chance.choice(bad if draw < failing else good)
        question = (
            chance.choice(_CHATTER) if kind == "chatter" else garbled(chance.choice(wordings[kind, name]), chance)
        )
        wrong = chance.random() < {"bad": 0.85, "good": 0.04, "chatter": 0.5}[kind]
        user, number = chance.choice(users), len(made)
        answer, finish, thumb = _answered(question, wrong, chance)
        rated = chance.random() < (rating if wrong else 0.1)
        made.append(_trace(ws, number, question, answer, finish, user, clock))
        script.themes[made[-1].id] = name
        if rated:
            judged.append(Feedback(f"feedback-{number:04d}", ws, made[-1].id, thumb, created=clock + 5))
        if wrong and kind == "bad" and chance.random() < 0.2 and len(made) < calls:
            clock += chance.uniform(5, 60)  # they ask once more, in other words
            again = garbled(chance.choice(wordings[kind, name]), chance)
            made.append(_trace(ws, number + 1, again, answer, finish, user, clock))
            script.themes[made[-1].id] = name
    traces.add(db, made)
    for one in judged:
        feedback.add(db, one)
    return script


def _answered(question: str, wrong: bool, chance: random.Random) -> tuple[str, str, int]:
    chinese = is_chinese(question)
    if not wrong:
        return _GOOD[chinese], "stop", 1
    how = chance.random()
    if how < 0.6:
        return chance.choice(_BAD[chinese]), "stop", -1
    if how < 0.75:
        return "", "error", -1
    return _GOOD[chinese], "stop", -1  # it looks well, and only a thumb could tell


def _trace(ws: str, number: int, question: str, answer: str, finish: str, user: str, at: float) -> Trace:
    asked = ({"role": "user", "content": question},)
    return Trace(
        f"trace-{number:04d}",
        ws,
        "key-1",
        "own",
        "model-1",
        asked,
        answer,
        finish,
        Usage(9, 9),
        permissions=Permissions(),
        created=at,
        member=user,
    )
