"""Graders of texts, numbers, choices, tools, citations: what is right, what only looks so, what is no grade."""

from __future__ import annotations

from typing import Any

import pytest
from tests.grading.asking import graded

from feilun.errors import BadRequest
from feilun.grading import check, lacking
from feilun.grading.numbers import numbers
from feilun.grading.similarity import similarity

ABCD = ["the moon", "the sun", "the sun and the moon", "neither"]
TRIANGLE = {"name": "geo.area", "arguments": {"base": [10], "height": [5.0], "unit": ["cm", ""]}}
PASSAGES = {"1": "Members pay 4.5 percent a year for loans.", "2": "The branch opens at nine."}
ASKING = [{"role": "user", "content": "Mark {{ sample.output_text }} of {{ item.question }}"}]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,234.50 and 5%", [1234.5, 0.05]),
        ("-3 or minus 4, 1/4 of it", [-3, -4, 0.25]),
        ("三千二百零五万", [32050000]),
        ("一万二，三千五，两百零三", [12000, 3500, 203]),
        ("二〇二四年，十二点五", [2024, 12.5]),
        ("3.5亿 and 2 million, 1.2e-3, 3 x 10^5", [350000000, 2000000, 0.0012, 300000]),
        ("百分之三点五；万分之二", [0.035, 0.0002]),
        (r"$\frac{3}{4}$ of $1{,}000$", [0.75, 1000]),
        ("１２３", [123]),
        ("½ of 2½, 2 1/2 and 1又3/4", [0.5, 2.5, 2.5, 1.75]),
        ("二分之一，四分之三，一又二分之一，百分之四十", [0.5, 0.75, 1.5, 0.4]),
        ("10^3, 10³, 2**10, 1×10³, -2^3, 10⁻²", [1000, 1000, 1024, 1000, -8, 0.01]),
        ("1,00,000 and 1.000,00 and 1'234'567", [100000, 1000, 1234567]),
        ("12 cm^2, 12 m2, 12 cm², x_1 = 7, H2O, B12", [12, 12, 12, 7]),
        (r"12 \text{ cm}^2 and 3\,\mathrm{m}^{2}", [12, 3]),
        ("30 m, 1.5 b, $1.5m, 5k, 7B", [30, 1.5, 1500000, 5000, 7000000000]),
        ("10 - 3, USD100, -$5, 12:30", [10, 3, 100, -5, 12.5]),
        ("- 3 apples\n- 4 pears", [3, 4]),
        ("5\u200b0 but not 5/0", [50]),
        ("no number", []),
    ],
)
def test_numbers_are_found_however_they_are_written(text: str, values: list[float]) -> None:
    """Thousands, fractions, powers, magnitudes, Chinese numerals, shares."""
    assert [float(found.value) for found in numbers(text)] == pytest.approx(values)


@pytest.mark.parametrize(
    ("spec", "right", "wrong"),
    [
        ({"type": "exact", "reference": "Four years"}, "four years!", "four years old"),
        ({"type": "exact", "reference": "a B", "strict": True}, "a B", "a b"),
        ({"type": "exact", "reference": "<="}, "<=", ">="),
        ({"type": "exact", "reference": "-5"}, "−5.", "5"),
        ({"type": "exact", "reference": "50%"}, "50 percent", "50"),
        ({"type": "exact", "reference": "<5"}, "< 5", ">5"),
        ({"type": "exact", "reference": "C++"}, "c++", "C#"),
        ({"type": "exact", "reference": "a+b"}, "a + b", "a-b"),
        ({"type": "exact", "reference": "$5"}, "5", "€5"),
        ({"type": "exact", "reference": "{{ item.answer }}"}, "Four", "five"),
        ({"type": "numeric", "reference": "1,250"}, "First 3, then the answer is 1250.00 euro", "12500"),
        ({"type": "numeric", "reference": "5%"}, "It is 0.05", "It is 0.5"),
        ({"type": "numeric", "reference": "5%"}, "It is 5", "It is 6"),
        ({"type": "numeric", "reference": 3.14, "tolerance": 0.01}, "3.145", "3.2"),
        ({"type": "numeric", "reference": "三千五"}, "答案是3500元。", "答案是3005元。"),
        ({"type": "numeric", "reference": [7, 8]}, "#### 8", "8 or maybe #### 9"),
        ({"type": "numeric", "reference": 12}, "Answer: step 1: 3*4 = 12", "Answer: step 12: 3*4 = 14"),
        ({"type": "numeric", "reference": 5}, "The answer is 5, because 2+3=5 and 1=1", "The answer is not 5"),
        ({"type": "numeric", "reference": "½"}, "0.5", "2"),
        ({"type": "numeric", "reference": "2½"}, "5/2", "2"),
        ({"type": "numeric", "reference": "四分之三"}, "75%", "3"),
        ({"type": "numeric", "reference": "30"}, "It is 30 m.", "$30 m"),
        ({"type": "numeric", "reference": 1000000}, "10^6", "1000001"),
        ({"type": "numeric", "reference": 6}, "答案不是5，是6。", "答案不是6"),
        ({"type": "f1", "reference": ["The red house", "a house"]}, "red house", "red houses"),
        ({"type": "f1", "reference": "信用社成立于一九五二年", "pass_threshold": 0.7}, "成立于一九五二年", "一九八四"),
        ({"type": "f1", "reference": "Vitamin A"}, "the vitamin A", "vitamin"),
        ({"type": "f1", "reference": "-5"}, "−5", "5"),
        ({"type": "f1", "reference": "3.14"}, "3.14.", "314"),
        ({"type": "f1", "reference": "C++"}, "the C++", "C#"),
        ({"type": "f1", "reference": "<5"}, "(<5)", ">5"),
        ({"type": "f1", "reference": "1,000 U.S. troops"}, "1000 US troops", "1000 UK troops"),
        ({"type": "choice", "reference": "B"}, "The answer is (B).", "The answer is (C), not B."),
        ({"type": "choice", "reference": "B"}, "答案不是A，而是B。", "选C"),
        ({"type": "choice", "reference": "C"}, "**C**", "A\nBecause C is wrong"),
        ({"type": "choice", "reference": "A"}, r"so \boxed{A}", "A cat is B"),
        ({"type": "choice", "reference": 1, "choices": ABCD}, "It must be the sun.", "the sun and the moon"),
        ({"type": "choice", "reference": "B"}, "I don't think it is A. B is right.", "The answer is not B."),
        ({"type": "choice", "reference": "B"}, "The answer is B. The others are wrong.", "B: wrong"),
        ({"type": "choice", "reference": "B"}, "Not A, not C, not D. B.", "Not B"),
        ({"type": "choice", "reference": "B"}, "The answer is B, not C.", "A or B"),
        ({"type": "choice", "reference": "B"}, "我认为A错误，C错误，D错误。因此B正确。", "答案不是B"),
        ({"type": "choice", "reference": "B"}, "不难看出答案是B", "除了B都对"),
        ({"type": "choice", "reference": "B"}, "选B而不是C", "答案：B、C"),
        ({"type": "choice", "reference": "B"}, "答案不是A而是B", "我不认为答案是B"),
        ({"type": "choice", "reference": "AB"}, "A和B", "A和B都不对"),
        ({"type": "choice", "reference": "AB"}, "A and B, not C", "Neither A nor B"),
        ({"type": "choice", "reference": "B", "choices": ABCD}, "Not the moon. The sun.", "not the sun"),
        ({"type": "choice", "reference": "A", "choices": ["5", "-5"]}, "The answer is 5.", "-5"),
        ({"type": "choice", "reference": "A", "choices": ["x", "y"]}, "A. x", "A. x\nB. y\nAnswer with the letter"),
        ({"type": "choice", "reference": "A", "choices": ["不是", "是"]}, "不是", "是"),
        ({"type": "choice", "reference": "ABD"}, "正确选项：A、B、D", "A、B"),
        ({"type": "regex", "pattern": r"^\d{3}$"}, "123", "1234"),
        ({"type": "regex", "pattern": "sorry", "flags": "i", "absent": True}, "Yes.", "SORRY, no."),
        ({"type": "regex", "pattern": r"x=(\d+)", "reference": "4"}, "so x=4", "so x=5"),
        ({"type": "json_schema", "schema": {"required": ["a"]}}, '{"a": 1}', '{"b": 1}'),
        ({"type": "json_schema", "schema": {}, "reference": {"a": 1}, "fenced": True}, '```json\n{"a": 1}\n```', "{}"),
        ({"type": "json_schema", "schema": {}, "reference": {"a": 1}}, '{"a": 1.0}', '{"a": true}'),
        ({"type": "json_schema", "schema": {"type": "number"}}, "1", "NaN"),
        ({"type": "json_schema", "schema": {"type": "string"}}, '"a"', '"\\ud800"'),
        ({"type": "exact_match", "reference": ["Ab"], "ignore_case": True}, "aB", "a b"),
        ({"type": "math", "reference": r"\frac{1}{2}"}, r"Hence $\boxed{0.5}$.", "0.25"),
        ({"type": "math", "reference": "x^2+2x+1"}, "The answer is $(x+1)^2$", "(x+1)^3"),
        ({"type": "math", "reference": "$5$;$10$"}, "$10$; $5$", "5"),
        ({"type": "math", "reference": r"[0, \infty)"}, r"$[0,+\infty)$", "(0, oo)"),
        ({"type": "math", "reference": r"2\sqrt{3}"}, "√12", "√6"),
        ({"type": "math", "reference": "y=2x+1"}, "2x - y + 1 = 0", "2x + y = 1"),
        ({"type": "math", "reference": r"\text{even}"}, "The answer is **even**.", r"\text{odd}"),
        ({"type": "math", "reference": r"\text{(A)}"}, "(A)", r"\text{(B)}"),
        ({"type": "math", "reference": r"\text{June}"}, r"\boxed{June}", r"\boxed{\text{July}}"),
        ({"type": "math", "reference": "yes"}, r"\text{Yes}", "$$"),
        ({"type": "math", "reference": r"3\text{ or }4"}, "4, 3", "34"),
        ({"type": "math", "reference": r"12\text{ cm}^2"}, "12", "144"),
        ({"type": "math", "reference": r"5\text{ cm}"}, r"5\,\mathrm{cm}", r"5\text{ m}"),
        ({"type": "math", "reference": r"6.626\times10^{-34}"}, "6.6260e-34", r"1.6\times 10^{-19}"),
        ({"type": "math", "reference": "10^{-10}"}, "0.0000000001", "0"),
        ({"type": "math", "reference": "1000000000"}, r"10^9", "1000000001"),
        ({"type": "math", "reference": r"2\frac{1}{2}"}, "2.5", "1"),
        ({"type": "math", "reference": "-1 3/4"}, r"-\frac{7}{4}", "-0.25"),
        ({"type": "math", "reference": "12"}, "3 * 4", "1 2"),
        ({"type": "math", "reference": "23"}, "23.0", "2*3"),
        ({"type": "math", "reference": r"\log_2 8"}, "3", r"\log_8 2"),
        ({"type": "math", "reference": r"\binom52"}, "10", r"\binom{5}{1}"),
        ({"type": "math", "reference": "０．５"}, r"\frac12", "5"),
        ({"type": "math", "reference": "x>3"}, "3<x", "3>x"),
        ({"type": "math", "reference": "x > 3"}, r"(3, \infty)", "x<3"),
        ({"type": "math", "reference": r"x \in [1,2]"}, "[1, 2]", "(1, 2)"),
        ({"type": "math", "reference": r"x=\pm 2"}, "x=2 or x=-2", "x=2"),
        ({"type": "math", "reference": "x_{1}=1, x_{2}=2"}, "x_1=1, x_2=2", "x_1=2, x_2=1"),
        ({"type": "math", "reference": r"12,\!345"}, "12345", "345"),
        ({"type": "math", "reference": "2x=4"}, "x=2", "4"),
        ({"type": "math", "reference": r"\{1,1,2\}"}, r"\{2,1,1\}", r"\{1,2,3\}"),
        (
            {"type": "math", "reference": r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"},
            r"\begin{bmatrix}1 & 2\\ 3 & \frac82\end{bmatrix}",
            r"\begin{pmatrix}1&3\\2&4\end{pmatrix}",
        ),
        ({"type": "tool_call", "reference": [TRIANGLE]}, "[geo.area(base=10, height=5)]", "[geo.area(base=10)]"),
        (
            {"type": "tool_call", "reference": [TRIANGLE]},
            '<tool_call>{"name": "geo_area", "arguments": {"base": 10, "height": 5, "unit": "CM"}}</tool_call>',
            '{"name": "geo_area", "arguments": {"base": 10, "height": 5, "colour": "red"}}',
        ),
        (
            {"type": "tool_call", "reference": [{"name": "f", "arguments": {"a": [1234567890123], "b": ["1.5"]}}]},
            'f(a=1234567890123, b="1.5 ")',
            'f(a=1234567890124, b="1.5")',
        ),
        (
            {"type": "tool_call", "reference": [{"name": "f", "arguments": {"a": ["-5"], "b": [6.6e-34]}}]},
            'f(a="-5", b=6.6e-34)',
            'f(a="5", b=6.6e-34)',
        ),
        (
            {"type": "tool_call", "reference": [{"name": "f", "arguments": {"a": ["2024-01-05"], "b": [0.5]}}]},
            'f(a="2024/01/05", b=0.5)',
            f'f(a="2024-01-05", b={"9" * 400})',
        ),
        ({"type": "tool_call", "reference": []}, "I cannot do that.", "f(x=1)"),
        (
            {"type": "citation", "passages": PASSAGES, "reference": ["1"]},
            "Members pay 4.5 percent [1].",
            "4.5 percent.",
        ),
        ({"type": "citation", "passages": PASSAGES, "reference": ["1"]}, "Pay 4.5 percent [1].", "Pay 5 percent [1]."),
        ({"type": "citation", "passages": PASSAGES, "refuse": True}, "That is not in my sources.", "It is so [2]."),
    ],
)
async def test_right_passes_and_wrong_does_not(spec: dict[str, Any], right: str, wrong: str) -> None:
    """Each grader tells an answer from one that is nearly it, and neither is an error of the grader."""
    check(spec)
    good, bad = await graded(spec, right), await graded(spec, wrong)
    assert (good.passed, good.error) == (True, "")
    assert (bad.passed, bad.error) == (False, "")


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"type": "nothing"},
        {"type": "numeric"},
        {"type": "numeric", "reference": 1, "tolerance": -1},
        {"type": "exact", "reference": "a", "other": 1},
        {"type": "regex", "pattern": "("},
        {"type": "choice", "reference": 9, "choices": ["a", "b"]},
        {"type": "multi", "graders": {"a": {"type": "exact"}}, "calculate_output": "a"},
        {
            "type": "multi",
            "graders": {"a": {"type": "exact", "reference": "a"}},
            "calculate_output": "__import__('os')",
        },
        {"type": "score_model", "model": "m", "input": ASKING, "range": [1, 0]},
        {"type": "label_model", "model": "m", "input": ASKING, "labels": ["a"], "passing_labels": ["b"]},
        {"type": "python", "source": "x = 1"},
        {"type": "text_similarity", "input": "a", "reference": "b", "evaluation_metric": "guess"},
        {"type": "citation", "passages": {}, "reference": ["1"]},
    ],
)
async def test_what_is_no_grader_is_refused_and_never_raises(spec: dict[str, Any]) -> None:
    """``check`` refuses it; ``grade`` says it in the grade's error."""
    with pytest.raises(BadRequest):
        check(spec)
    found = await graded(spec, "a")
    assert not found.passed
    assert found.error


async def test_an_answers_own_trouble_is_wrong_and_the_references_is_an_error() -> None:
    """What an answer makes never ends its exam; a reference that cannot be worked out says so."""
    for spec, said in (
        ({"type": "math", "reference": "12"}, r"\boxed{9^9^9^9^9}"),
        ({"type": "numeric", "reference": 7}, "5/0"),
    ):
        found = await graded(spec, said)
        assert (found.passed, found.error) == (False, ""), said
    for spec, said in (
        ({"type": "math", "reference": "9^9^9^9^9"}, "12"),
        ({"type": "math", "reference": "$$"}, "$$"),
        ({"type": "numeric", "reference": "5/0"}, "5"),
    ):
        found = await graded(spec, said)
        assert (found.passed, bool(found.error)) == (False, True), said


async def test_scores_are_combined() -> None:
    """OpenAI's multi: a formula over others' scores, by name, also as a list; one that fails is the failure of all."""
    inner = {"a": {"type": "exact", "reference": "x"}, "b": {"type": "f1", "reference": "x y"}}
    spec = {"type": "multi", "graders": inner, "calculate_output": "0.5*a + min(b, 1)/2"}
    assert (await graded(spec, "x")).score == pytest.approx(0.5 + 1 / 3)
    listed = {**spec, "graders": [{"name": name, **each} for name, each in inner.items()]}
    assert (await graded(listed, "x")).score == pytest.approx(0.5 + 1 / 3)
    asking = {"type": "multi", "graders": {"a": {"type": "rubric", "criteria": ["x"]}}, "calculate_output": "a"}
    assert "a:" in (await graded(asking, "x")).error


def test_measures_of_likeness_agree_with_their_definitions() -> None:
    """One for the same, nothing for what has nothing in common, worked values between."""
    a, b = "the cat is on the mat", "the cat sat on the mat"
    for metric in ("fuzzy_match", "bleu", "gleu", "rouge_1", "rouge_2", "rouge_5", "rouge_l"):
        assert similarity(metric, a, a) == pytest.approx(1.0)
    for metric in ("bleu", "gleu", "meteor", "rouge_1", "rouge_l"):
        assert similarity(metric, a, "dogs bark") == 0.0
    assert similarity("rouge_1", a, b) == pytest.approx(5 / 6)
    assert similarity("rouge_2", a, b) == pytest.approx(3 / 5)
    assert similarity("rouge_l", a, b) == pytest.approx(5 / 6)
    assert similarity("gleu", a, b) == pytest.approx(9 / 18)
    assert similarity("meteor", a, a) > 0.99
    assert similarity("rouge_1", "信用社的利率", "信用社利率") == pytest.approx(10 / 11)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "string_check", "input": "{{bogus.x}}", "reference": "x", "operation": "eq"},
        {"type": "string_check", "input": "{{ reference_answer }}", "reference": "x", "operation": "eq"},
        {"type": "contains", "accept": ["four", "{{ items.answer }}"]},
        {"type": "score_model", "model": "any", "input": [{"role": "user", "content": "Rate {{output_text}}"}]},
        {
            "type": "multi",
            "graders": {"a": {"type": "numeric", "reference": "{{bogus.x}}"}},
            "calculate_output": "a",
        },
    ],
)
def test_a_template_that_names_nothing_is_refused(spec: dict[str, Any]) -> None:
    """Of whatever kind the grader is, and wherever the template stands; LaTeX and programs keep their braces."""
    with pytest.raises(BadRequest, match="which is not known"):
        check(spec)
    check({"type": "math", "reference": r"\frac{{x}}{{y}}"})
    check({"type": "python", "source": "def grade(sample, item):\n    return len('{{a.b}}')"})


def test_what_an_item_lacks_is_named() -> None:
    """Fields within fields, null ones, and those that a grader names by itself."""
    inner = {"type": "contains", "accept": ["{{item.answer.short}}", "{{item.none}}", "{{item.word}}"]}
    spec = {"type": "multi", "graders": {"a": inner}, "calculate_output": "a"}
    item = {"answer": {"short": "4"}, "none": None, "word": "null"}
    assert lacking(spec, item, {"output_text": ""}) == ["item.none"]
    assert lacking(spec, {"answer": "4"}, {"output_text": ""}) == ["item.answer.short", "item.none", "item.word"]
    rubric = {"type": "rubric", "criteria": [{"text": "It is polite."}]}
    assert lacking(rubric, item, {"output_text": ""}) == ["item.question"]
