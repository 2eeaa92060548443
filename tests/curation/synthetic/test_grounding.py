"""What counts as said by a text: its words, figures and negations, in English and Chinese, however long it is."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.synthetic.grounding import figures, foreign, near, sentences, unsupported

SHOP = (
    "The bakery on Mill Lane opens at 7 and closes at 15:30; the café next door opens at 9. "
    "It is open on Saturday, but not on Sunday. Loaves cost 3.20 crowns, and twenty-one kinds are baked."
)
DESK = "服务台每天上午八点开门；停车场二十四小时开放。周六照常办理，周日不办理退票。补办费用为百分之三点五，最高5万元。"


@pytest.mark.parametrize(
    ("text", "question", "answer", "reason"),
    [
        (SHOP, "When does the bakery open?", "The bakery opens at seven.", ""),
        (SHOP, "When does the bakery open?", "At 9.", "elsewhere"),
        (SHOP, "When does the bakery open?", "At 8.", "wrong_figure"),
        (SHOP, "Is it open on Sunday?", "It is open on Sunday.", "negation"),
        (SHOP, "Is it open on Sunday?", "It is not open on Sunday.", ""),
        (SHOP, "Is it open on Saturday?", "It is never open on Saturday.", "negation"),
        (SHOP, "When is it not open?", "On Sunday.", ""),
        (SHOP, "Where is it?", "On Mill Lane.", ""),
        (SHOP, "Where is it?", "On Mill Street.", "not_in_text"),
        (SHOP, "How many kinds are there?", "21 kinds are baked.", ""),
        (SHOP, "What do loaves cost?", "They cost 3.2 crowns.", ""),
        (SHOP, "Is it open?", "Yes.", "says_nothing"),
        (SHOP, "Is it open?", "No!", "says_nothing"),
        (DESK, "服务台几点开门？", "上午8点开门。", ""),
        (DESK, "服务台几点开门？", "上午九点开门。", "wrong_figure"),
        (DESK, "服务台几点开门？", "二十四小时开放", "elsewhere"),
        (DESK, "周日办理退票吗？", "周日不办理退票。", ""),
        (DESK, "周日办理退票吗？", "周日办理退票。", "negation"),
        (DESK, "周六办理吗？", "周六不办理", "negation"),
        (DESK, "补办费用是多少？", "费用是3.5%。", ""),
        (DESK, "最高多少？", "最高50,000元", ""),
        (DESK, "在哪里？", "在火车站。", "not_in_text"),
        (DESK, "可以吗？", "是的。", "says_nothing"),
        ("", "Why?", "Because of rain.", "not_in_text"),
    ],
)
def test_what_a_text_says(text: str, question: str, answer: str, reason: str) -> None:
    """True answers pass in their own order of words; another figure, name or a turned negation does not."""
    assert unsupported(answer, text, question) == reason


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200))
def test_a_text_says_itself(text: str) -> None:
    """Whatever characters it is made of: its own sentences are never found to be wrong."""
    for start, end in sentences(text):
        said = text[start:end]
        assert unsupported(said, said) in {"", "says_nothing"}
        assert foreign(said, said) == []


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_another_number_is_seen(one: int, other: int) -> None:
    """Two numbers are the same only if they are equal, also with commas."""
    span = f"The hall seats {one:,} people."
    assert unsupported(f"It seats {other} people.", span) == ("" if one == other else "wrong_figure")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12,000.50 and 5万 and 3亿", ["12000.50", "50000", "300000000"]),
        ("二〇二六年三百五十，两千零八", ["2026", "350", "2008"]),
        ("twenty-one, forty and eleven", ["21", "40", "11"]),
        ("one of them, 一个", []),
        ("三点五，一万二千", ["3.5", "12000"]),
        ("１２３", ["123"]),
    ],
)
def test_figures(text: str, found: list[str]) -> None:
    """Digits, words and Chinese numerals are the numbers that they stand for."""
    assert figures(text) == {Decimal(each) for each in found}


def test_sentences_have_places() -> None:
    """Each is where it says; a point within a number ends nothing."""
    text = "  It costs 3.20 crowns. “Really?” 今天休息。明天营业！\n\n- and more"
    assert [text[a:b] for a, b in sentences(text)] == [
        "It costs 3.20 crowns.", "“Really?”", "今天休息。", "明天营业！", "- and more",
    ]  # fmt: skip


def test_questions_beside_the_matter() -> None:
    """A question may only name what the text names, and must share words with it to be near."""
    assert foreign("When does Peterson open the bakery in 2031?", SHOP) == ["2031", "Peterson"]
    assert foreign("Which kinds does the bakery have?", SHOP) == []
    assert foreign("服务台接受Visa吗？", DESK) == ["Visa"]
    assert near("Who owns the bakery on Mill Lane?", SHOP)
    assert not near("Who painted the moon?", SHOP)
    assert near("停车场几点关门？", DESK)
    assert not near("月亮是谁画的？", DESK)


@pytest.mark.parametrize("text", ["." * 200_000, "a" * 200_000, "不" * 20_000, "1," * 50_000, "\ud800" * 999])
def test_nothing_takes_forever(text: str) -> None:
    """Texts made to be slow are read to their end."""
    assert unsupported("The moon is green.", text) == "not_in_text"
    sentences(text)
