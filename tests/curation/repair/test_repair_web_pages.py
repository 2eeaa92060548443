"""Five genuinely dirty Chinese pages: what is cut, what is flagged, and that the articles stay."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import opencc
import pytest

from feilun.curation.repair import OPERATORS, Repaired, mend_document
from feilun.curation.seam import Judge, Row, Surroundings

PAGES = next(
    (each for up in Path(__file__).resolve().parents if (each := up / "shared/data/dirty_web_zh").is_dir()),
    Path("none"),
)
pytestmark = pytest.mark.skipif(not PAGES.is_dir(), reason="the five dirty pages are not here")
# The lines of each page that are its article, marked by eye; names of writers and dates count as neither.
ARTICLE: dict[str, Iterable[int]] = {
    "000": (1, 13, *(n for n in range(16, 187) if n not in {24, 46, 86, 92, 116, 146, 152})),
    "001": (1, *range(5, 182)),
    "002": range(2, 110),
    "003": range(3, 76),
    "004": range(1, 72),
}
NEITHER = {"000": {9, 11, 12}, "001": {183}, "002": {1}, "003": set[int](), "004": set[int]()}
# Places of 001 where characters were cut in halves, up to the next mark: what stood there is not in the page.
BROKEN = re.compile("\\S\\?[a-züāáǎàēéěèīíǐìōóǒòūúǔùüǖǘǚǜ]+\\)[^,。、]*")
READING = re.compile("\\([a-züāáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ]{1,6}\\)")


@cache
def page(number: str) -> str:
    """Return a page."""
    return next(PAGES.glob(f"{number}_*.txt")).read_text(encoding="utf-8")


@cache
def mended(number: str) -> Repaired:
    """Return a page mended."""
    return mend_document([page(number)])[0]


def letters(text: str) -> str:
    """Return letters and digits in Simplified Chinese: what is compared."""
    return "".join(re.findall(r"\w", opencc.OpenCC("tw2s").convert(READING.sub("", text))))


def runs(text: str) -> Counter[str]:
    """Return the runs of five letters of a text."""
    found: Counter[str] = Counter()
    for part in BROKEN.sub("\0", text).split("\0"):
        plain = letters(part)
        found.update(plain[i : i + 5] for i in range(len(plain) - 4))
    return found


@pytest.mark.parametrize("number", sorted(ARTICLE))
def test_articles_stay_and_furniture_goes(number: str) -> None:
    """At least 99 % of the article's runs of five letters are kept, and hardly anything else is."""
    lines = page(number).split("\n")
    true = runs("\n".join(lines[n - 1] for n in ARTICLE[number]))
    known = runs("\n".join(lines[n - 1] for n in (*ARTICLE[number], *NEITHER[number])))
    left = runs(mended(number).text)
    assert (true & left).total() / true.total() >= 0.99
    assert (left - known).total() / left.total() <= (0.035 if number == "001" else 0.005)  # 001: joined halves


def test_spam_before_and_behind_is_cut() -> None:
    """Neither list of adult links is left, and the notes say where each stood."""
    text = mended("000").text
    assert not any(word in text for word in ("无码", "毛片", "久久", "蜘蛛池"))
    cuts = [note.detail for name, note in mended("000").notes if name == "spam"]
    assert [re.findall(r"at character (\d+) of 7178", cut) for cut in cuts] == [["32"], ["6592"]]


def test_mechanical_traditional_becomes_simplified() -> None:
    """Two pages were Simplified once and are again; 干, 着 and 后 come out right."""
    for number in ("000", "001"):
        text = mended(number).text
        assert not re.search("[國產這們為競數據]", text)
    assert "创业者忙着招兵买马" in mended("000").text


def test_readings_go_and_gaps_are_flagged() -> None:
    """None of 877 readings is left, halves of characters are joined again, and what is lost is flagged."""
    text = mended("001").text
    assert not re.search("[āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ]", text)
    assert "它们在各自的道路上都有着长足的进步" in text
    notes = [(name, note.reason, note.times) for name, note in mended("001").notes]
    assert next(times for _, reason, times in notes if reason == "reading") >= 870
    assert next(times for name, _, times in notes if name == "lost") >= 5


def flagged(name: str, text: str) -> bool:
    """Tell whether an operator flags a text."""
    operator = next(each for each in OPERATORS if each.name == name)
    judge: Judge = operator.make(Surroundings(), **{key: each.default for key, each in operator.parameters.items()})
    row = Row("1", "s", "n", "", ("text",), (text,))
    return any(ruling.action == "flag" for ruling in judge.judge([row])[0])


def test_only_the_spun_page_is_flagged_as_spun() -> None:
    """The spun page is, as it came and mended; the others are not, and none is a page for search engines."""
    for number in ARTICLE:
        for text in (page(number), mended(number).text):
            assert flagged("spun", text) == (number == "003")
            assert not flagged("seo", text)


def test_only_the_page_with_gaps_is_flagged_as_lost() -> None:
    """Sound articles have no gaps."""
    assert {number for number in ARTICLE if flagged("lost", mended(number).text)} == {"001"}
