"""Operators that compare rows: contradictions, balance, split, coverage, bias, perplexity; and length."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.quality.balance import BALANCE, language_of, most_kept
from feilun.curation.quality.bias import BIAS, log_odds, refuses
from feilun.curation.quality.contradictions import CONTRADICTIONS
from feilun.curation.quality.coverage import COVERAGE
from feilun.curation.quality.figures.questions import answer, clash, question
from feilun.curation.quality.operators import OPERATORS
from feilun.curation.quality.perplexity import PERPLEXITY
from feilun.curation.quality.shape import LENGTH, cut_off
from feilun.curation.quality.split import SPLIT
from feilun.curation.seam import Compare, Operator, Row, Ruling, Surroundings


def chat(name: str, asked: str, said: str, **meta: Any) -> Row:
    """Return a row of one question and its answer."""
    return Row(name, meta.pop("source", "s"), "faq.txt", f"line {name}", ("user", "assistant"), (asked, said), "", meta)


def passage(name: str, text: str, source: str = "s", **meta: Any) -> Row:
    """Return a row of one text."""
    return Row(name, source, "file.txt", "", ("text",), (text,), "", meta)


def decided(
    operator: Operator, rows: Sequence[Row], batches: int = 1, around: Surroundings | None = None, **given: Any
) -> tuple[Any, dict[str, list[Ruling]]]:
    """Return what was decided, and the rulings by row, the table cut into batches and everything sent by pickle."""
    parameters = {name: parameter.default for name, parameter in operator.parameters.items()} | given
    working = operator.make(around or Surroundings(), **parameters)
    assert isinstance(working, Compare)
    step = max(1, -(-len(rows) // batches))
    cuts = [rows[start : start + step] for start in range(0, len(rows), step)]
    found = pickle.loads(
        pickle.dumps(working.decide(pickle.loads(pickle.dumps([working.sketch(cut) for cut in cuts]))))
    )
    rulings = [list(one) for cut in cuts for one in working.apply(cut, found)]
    return found, dict(zip([row.id for row in rows], rulings, strict=True))


def reasons(rulings: dict[str, list[Any]]) -> dict[str, str]:
    """Return the first reason of each row that has one."""
    return {name: found[0].note.reason for name, found in rulings.items() if found}


MIXED = [
    chat("01", "退款期限是多久？", "退款期限为七天。"),
    chat("02", "请问退款期限是几天", "14天内可以退款。"),
    chat("03", "周末可以退货吗", "可以，周末也能退货。"),
    chat("04", "请问周末可以退货吗？", "不可以，周末不办理退货。"),
    chat("05", "When does the store open?", "It opens at 9 am.", date="2023-01-01"),
    chat("06", "when does the store open", "The store opens at 10 am.", date="2024-05-01"),
    chat("07", "Who is the manager of the branch?", "Alice Smith"),
    chat("08", "who is the manager of your branch", "Bob Jones"),
    chat("09", "写一首关于秋天的诗", "一叶落，知秋。"),
    chat("10", "写一首关于秋天的诗", "西风吹老了三亩高粱。"),
    chat("11", "东门几点开门", "东门八点开门。"),
    chat("12", "西门几点开门", "西门九点开门。"),
    chat("13", "How do I reset my password?", "Open settings and choose reset."),
    chat("14", "How do I reset my password?", "Open settings and choose reset. It takes 2 minutes."),
    chat("15", "北京到上海多少钱", "票价553元。"),
    chat("16", "上海到北京多少钱", "票价600元。"),
    chat("17", "会员日是哪天？", "会员日是2024年3月8日。"),
    chat("18", "请问会员日是哪天", "会员日是2024-06-08。"),
]


def test_contradictions_are_named() -> None:
    """Figures, dates, yes against no, and other answers are told; the newest of dated ones holds."""
    found, rulings = decided(CONTRADICTIONS, MIXED)
    assert reasons(rulings) == {
        "01": "numbers",
        "02": "numbers",
        "03": "negation",
        "04": "negation",
        "05": "outdated",
        "06": "newest",
        "07": "different",
        "08": "different",
        "17": "dates",
        "18": "dates",
    }
    assert "7天 ≠ 14天" in rulings["01"][0].note.detail
    assert "14天 ≠ 7天" in rulings["02"][0].note.detail
    assert "14天内可以退款" in rulings["01"][0].note.detail
    assert {one[0].action for one in rulings.values() if one} == {"flag", "note"}
    assert found["report"]["questions"] == 5


def test_outdated_answers_go_if_asked_for() -> None:
    """With ``older`` they are dropped; those that a person must decide about are not."""
    _, rulings = decided(CONTRADICTIONS, MIXED, older="drop")
    assert [name for name, one in rulings.items() if one and one[0].action == "drop"] == ["05"]


def test_other_questions_have_other_keys() -> None:
    """Direction, subject and what is asked for tell questions apart; politeness and order do not."""
    same = [
        ("怎么办理退货？", "请问退货怎么办理"),
        ("公司在哪里", "公司在哪儿呢？"),
        ("Can I bring a dog?", "May I bring dogs?"),
        ("挂号费是多少？", "挂号费多少钱"),
        ("3栋2单元的电费怎么交", "怎么交3栋2单元的电费"),
    ]
    other = [("东门几点开门", "西门几点开门"), ("从北京到上海", "从上海到北京"), ("Is room 3 free?", "Is room 4 free?")]
    other += [
        ("3栋2单元的电费", "2栋3单元的电费"),
        ("二年级一班的老师", "一年级二班的老师"),
        ("5月3日几点开门", "3月5日几点开门"),
        ("Is room 3 in building 2 free?", "Is room 2 in building 3 free?"),
    ]
    assert all(question(one) == question(two) for one, two in same)
    assert all(question(one) != question(two) for one, two in other)


def test_more_detail_is_no_contradiction() -> None:
    """An answer whose figures are a part of the other's does not contradict it."""
    assert clash(answer("7 天内。"), answer("7 天内，最多 3 件。")) == ("", "")
    assert clash(answer("三十天"), answer("30天")) == ("", "")
    assert clash(answer("It costs 1,000 yuan."), answer("It costs 900 yuan."))[0] == "numbers"


def test_a_class_is_thinned_to_its_share() -> None:
    """The excess is drawn by hash: the same rows in any order and any batches, and the share holds."""
    rows = [passage(f"{n:03}", "这是一段中文。" if n < 80 else "Some English words.") for n in range(100)]
    _, rulings = decided(BALANCE, rows, share=0.5, action="drop")
    dropped = {name for name, one in rulings.items() if one}
    assert len(dropped) == 60
    random.Random(1).shuffle(rows)
    _, again = decided(BALANCE, rows, 7, share=0.5, action="drop")
    assert {name for name, one in again.items() if one} == dropped


def test_the_report_tells_the_shares() -> None:
    """Without a bound nothing is flagged, and the shares of languages and formats are told."""
    found, rulings = decided(BALANCE, [*MIXED, passage("p", "Plain English text.")])
    assert reasons(rulings) == {}
    assert found["report"]["shares"]["format"]["chat"]["rows"] == len(MIXED)
    assert language_of(passage("r", "договор вступает в силу")) == "other"


@given(st.dictionaries(st.text(max_size=2), st.integers(1, 50), min_size=1, max_size=6), st.floats(0.01, 1.0))
def test_what_is_kept_has_no_more_than_its_share(counts: dict[str, int], share: float) -> None:
    """The bound holds as far as so few classes can hold it, and not one row more could stay."""
    most = most_kept(counts, share)
    bound = max(share, 1 / len(counts)) + 1e-9
    kept = [min(count, most) for count in counts.values()]
    more = [min(count, most + 1) for count in counts.values()]
    assert most >= 1
    assert max(kept) <= bound * sum(kept)
    assert kept == more or max(more) > bound * sum(more)


def library(draw: random.Random) -> list[Row]:
    """Return passages of many sources; some conversations and near copies cross them."""
    words = [*"货仓盘账约客单票运退员店价庆训勤"]
    rows = []
    for number in range(120):
        text = "，".join(draw.choices(words, k=30)) + f"。编号{number}"
        if number % 10 == 9:
            text = rows[-5].texts[0] + "（副本）"
        meta = {"conversation": f"c{number // 2}"} if number % 3 == 0 else {}
        rows.append(passage(f"{draw.random():.9f}-{number}", text, f"source-{number % 40}", **meta))
    return rows


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from([0.1, 0.3, 0.5]), st.integers(1, 9))
def test_nothing_leaks_from_train_to_exam(seed: int, share: float, batches: int) -> None:
    """No source is on both sides, no near copy either; order and batches change nothing."""
    rows = library(random.Random(seed))
    _, rulings = decided(SPLIT, rows, share=share)
    part = {name: one[0].meta["split"] for name, one in rulings.items()}
    assert set(part.values()) == {"train", "exam"}
    by_source: dict[str, set[str]] = {}
    for row in rows:
        by_source.setdefault(row.source, set()).add(part[row.id])
    assert all(len(sides) == 1 for sides in by_source.values())
    for number in range(9, 120, 10):
        assert part[rows[number].id] == part[rows[number - 5].id]
    shuffled = random.Random(seed + 1).sample(rows, len(rows))
    _, again = decided(SPLIT, shuffled, batches, share=share)
    assert {name: one[0].meta["split"] for name, one in again.items()} == part


def test_one_source_cannot_be_parted() -> None:
    """Where all rows belong together they stay so, and the report says it; by conversation they can be parted."""
    rows = [passage(f"{n}", f"{n * 7919} " * 20 + str(n), conversation=f"c{n}") for n in range(40)]
    found, rulings = decided(SPLIT, rows, share=0.3)
    assert found["report"]["one_group"] is True
    assert len({one[0].note.reason for one in rulings.values()}) == 1
    _, rulings = decided(SPLIT, rows, share=0.3, by="conversation")
    assert {one[0].note.reason for one in rulings.values()} == {"train", "exam"}


def test_questions_that_no_row_speaks_of_are_listed() -> None:
    """Rows that hold a question's words cover it; the others are told, the worst first, in any batches."""
    around = Surroundings(exams=("仓库盘点由谁负责？", "What is the warranty of the kettle?", "食堂几点开饭？"))
    rows = [passage("a", "仓库盘点由库管员负责，每月一次。"), passage("b", "The kettle has a warranty of two years.")]
    found, rulings = decided(COVERAGE, rows, around=around)
    assert [one["question"] for one in found["report"]["missing"]] == ["食堂几点开饭？"]
    assert reasons(rulings) == {"a": "covers", "b": "covers"}
    assert decided(COVERAGE, rows, 2, around=around)[0] == found
    assert decided(COVERAGE, rows)[0]["report"]["questions"] == 0


def test_a_vector_may_cover_what_words_do_not() -> None:
    """Where a model is at hand, a near vector is enough."""

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if "meal" in text or "lunch" in text else [0.0, 1.0] for text in texts], np.float32)

    around = Surroundings(exams=("When is lunch?", "Where are bicycles parked?"), embed=embed)
    found, _ = decided(COVERAGE, [passage("a", "Meals: the noon meal begins at twelve.")], around=around)
    assert [one["question"] for one in found["report"]["missing"]] == ["Where are bicycles parked?"]


def test_groups_are_counted_and_held_against_each_other() -> None:
    """A word that stands beside one group far more often is significant; refusals are compared; rows are named."""
    rows = [passage(f"w{n}", "The women of the village did the cooking and the cleaning.") for n in range(30)]
    rows += [passage(f"m{n}", "The men of the village built a bridge over the river.") for n in range(30)]
    rows += [chat(f"q{n}", "请介绍一下穆斯林的节日", "抱歉，我无法回答这个问题。") for n in range(12)]
    rows += [chat(f"r{n}", "请介绍一下基督徒的节日", "主要有圣诞节和复活节。") for n in range(12)]
    found, rulings = decided(BIAS, rows)
    first = next(one for one in found["report"]["associations"] if one["family"] == "gender")
    assert (first["beside"], first["significant"]) == ("care", True)
    refused = found["report"]["refusals"][0]
    assert {refused["group"], *(one["group"] for one in found["report"]["refusals"])} == {"muslims", "christians"}
    assert refused["significant"]
    assert {name[0] for name, one in rulings.items() if one} == {"w", "q"}
    assert Counter(one[0].action for one in rulings.values() if one) == {"note": 42}
    assert decided(BIAS, rows, 5)[0] == found


def test_even_treatment_is_not_significant() -> None:
    """The same counts have log-odds and z of 0, and a polite answer is no refusal."""
    assert log_odds(10, 100, 10, 100) == (0.0, 0.0)
    assert not refuses("您好，退款三天到账。")
    assert refuses("I'm sorry, but I can't help with that.")


def test_both_extremes_are_flagged() -> None:
    """Rows far from the median of their language, on either side, are told apart; the others are left alone."""
    values = {f"{n:02}": -3.0 + n % 5 / 10 for n in range(40)} | {"low": -9.0, "high": -0.1}
    around = Surroundings(likelihood=lambda pairs: [values[text] for _, text in pairs])
    rows = [passage(name, name) for name in values]
    _, rulings = decided(PERPLEXITY, rows, 3, around)
    assert reasons(rulings) == {"low": "improbable", "high": "too_probable"}


def test_without_a_model_one_row_says_so() -> None:
    """Nothing is measured, and one note tells it, whatever the batches."""
    rows = [passage(name, "text") for name in "cab"]
    for batches in (1, 2, 3):
        assert reasons(decided(PERPLEXITY, rows, batches)[1]) == {"a": "no_model"}


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("好的", False),
        ("42", False),
        ("Paris", False),
        ("请先登录。然后点击设置。最后保存。", False),
        (
            "退货流程如下：首先在订单页提交申请，客服会在一天内联系您。审核通过之后请将商品寄回我们的仓库地址，快递费用由我们承担，收到商品并检查无误之后我们会将",
            True,
        ),
        (
            "The order leaves our warehouse within two days. A message with the number of the parcel and the",
            True,
        ),
        ("Here is the program:\n```python\nprint(1)", True),
        ("1. 打开设置。\n2. 点击账户。\n3. 选择退款", False),
        ("| a | b |\n|---|---|\n| 1 | 2 |", False),
        ("详情请见 https://example.org/a/very/long/address/of/a/page. 更多内容 https://example.org/help", False),
        ("", False),
    ],
)
def test_answers_that_were_cut_off(text: str, cut: bool) -> None:
    """Broken sentences and open code are found; short answers, lists, tables and addresses are whole."""
    assert cut_off(text) is cut


def test_length_is_bounded_by_role() -> None:
    """An empty answer is too short, a huge turn too long, and a label has bounds of its own."""
    parameters = {name: parameter.default for name, parameter in LENGTH.parameters.items()}
    operator = LENGTH.make(Surroundings(), **parameters)
    rows = [chat("a", "Q?", " "), chat("b", "Q?", "x" * 100_001), chat("c", "Q?", "Yes"), passage("d", "短")]
    found = [[ruling.note.reason for ruling in one] for one in operator.judge(rows)]
    assert found == [["too_short"], ["too_long"], [], []]


ODD = ["", " ", "\ud800", "a\x00b", "🙂" * 300, "אבג דהו", "\u202eabc", "的" * 500, "1" * 500, "？" * 200, "no " * 300]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda one: one.name)
def test_operators_keep_their_contract(operator: Operator) -> None:
    """Words in both languages; any rows are answered, in any batches alike, with known reasons."""
    assert all(all(words) for words in (operator.about, *operator.reasons.values()))
    assert operator.origin
    parameters = {name: parameter.default for name, parameter in operator.parameters.items()}
    around = Surroundings(exams=("何时开门？", ""), terms=("猎鹰",))
    rows = [passage(f"p{n}", text, f"s{n % 3}") for n, text in enumerate(ODD)]
    rows += [chat(f"c{n}", text, ODD[-n]) for n, text in enumerate(ODD)]
    rows += [Row(f"l{n}", "s", "f", "", ("text", "label"), (text, "x"), "zh") for n, text in enumerate(ODD)]
    rows += [Row("none", "s", "f", "", (), ())]
    working = operator.make(around, **parameters)
    if isinstance(working, Compare):
        one, many = (decided(operator, rows, batches, around)[1] for batches in (1, 5))
        assert decided(operator, [], around=around)[1] == {}
    else:
        one = dict(enumerate(map(list, working.judge(rows))))
        many = dict(enumerate(list(working.judge([row])[0]) for row in rows))
        assert list(working.judge([])) == []
    assert one == many
    assert len(one) == len(rows)
    assert {ruling.note.reason for found in one.values() for ruling in found} <= set(operator.reasons)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda one: one.name)
def test_a_long_row_comes_to_an_end(operator: Operator) -> None:
    """Half a megabyte of one pattern is no matter (the suite's time limit is the judge)."""
    parameters = {name: parameter.default for name, parameter in operator.parameters.items()}
    around = Surroundings(exams=("何时开门？",), terms=("猎鹰",))
    working = operator.make(around, **parameters)
    rows = [
        chat(unit, unit * (250_000 // len(unit)), unit * (250_000 // len(unit))) for unit in ("a ", "不", "1-", "黑人")
    ]
    found = decided(operator, rows, 1, around)[1] if isinstance(working, Compare) else list(working.judge(rows))
    assert len(found) == len(rows)
