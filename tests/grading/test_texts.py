"""Answers that are right, and answers that only look so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.errors import BadRequest
from feilun.grading.texts import contains, render_template, string_check, tokens
from feilun.signs import signed


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        ("The rate is 4.35 %.", "4.35"),
        ("The rate is 4.35%.", "4.35 %"),
        ("about 4.35 percent a year", "4.35 %"),
        ("4.35 per cent", "4.35%"),
        ("年利率为百分之4.35。", "4.35%"),
        ("It costs $1,250 a year", "1250"),
        ("It costs 1250.", "1,250"),
        ("1,250,000 in all", "1250000"),
        ("A fee of 4.50", "4.5"),
        ("We open at 09:30.", "9:30"),
        ("Open at 9:30 am", "9:30"),
        ("5km away", "5 km"),
        ("Ask for FORM B2!", "form b2"),
        ("网点九点开门", "九点"),
        ("共12个月", "12个月"),
        ("请填写B2表", "B2"),
        ("\uff11\uff12\uff13\uff14", "1234"),  # full-width digits
        ("\u5171\uff11\uff0c\uff12\uff15\uff10\u5143\u3002", "1250\u5143"),
        ("Crédit", "CRÉDIT"),
        ("the temperature is \u22125 degrees", "-5"),
        ("5-10 days", "10 days"),
        ("It ends at 10.Then", "10"),
        ("The language is C++.", "C++"),
        ("so x ≥ 5 holds", ">=5"),
        ("a fee of 5 dollars", "$5"),
        ("共50元", "¥50"),
        ("that is 10³ of them", "10^3"),
        ("an area of 12 m2", "12 m²"),
        ("they are **12** in all", "12"),
        ("增长了百分之四十", "百分之四十"),
    ],
)
def test_contains_matches(answer, accept):
    """The same words and numbers match, however they are written."""
    assert contains(answer, [accept]) == 1.0


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        ("14.35 %", "4.35"),
        ("4.355", "4.35"),
        ("4.35.1", "4.35"),
        ("435", "4.35"),
        ("4 35", "4.35"),
        ("4.35", "4.35 %"),
        ("a category", "cat"),
        ("cats", "cat"),
        ("19", "9"),
        ("at 9:30", "9"),
        ("91 days", "9"),
        ("21,250", "1250"),
        ("1,250", "250"),
        ("-5 degrees", "5"),
        ("form B21", "B2"),
        ("九月", "九点"),
        ("", "yes"),
        ("anything", "!!!"),
        ("x < 5", "x > 5"),
        ("<5", ">5"),
        ("C", "C++"),
        ("C++", "C"),
        ("C#", "C"),
        ("5", "±5"),
        ("百分之四十", "百分之四"),
        ("三千五百", "三千"),
        ("十三", "三"),
        ("四分之三", "三"),
        ("负五度", "五"),
        ("€5", "$5"),
        ("103", "10³"),
        ("5%", "5‰"),
        ("anything", ""),
    ],
)
def test_contains_refuses(answer, accept):
    """Parts of words and numbers are not matches, and a text without words matches nothing."""
    assert contains(answer, [accept]) == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The “answer” is **four** years.", "the answer is four years"),
        ("state-of-the-art", "State of the art!"),
        ("GPT-4", "gpt 4"),
        ("4.50 percent", "4.5%"),
        ("−5", "－5"),
        ("+5", "5"),
        ("x = - 5", "x=-5"),
        ("a-b", "a − b"),
        ("2*3", "2 × 3"),
        ("6÷2", "6/2"),
        ("2½", "2 1/2"),
        (".5", "0.50"),
        ("1,00,000", "100,000"),
        ("$5$ apples", "5 apples"),
        ("O’Brien", "O'Brien"),
        ("百分之四十", "四十％"),
        ("3～5天", "3-5天"),
    ],
)
def test_ordinary_marks_do_not_count(one, other):
    """Spelling, emphasis and sentence marks part nothing."""
    assert signed(one) == signed(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-5", "5"),
        ("(-5)", "5"),
        ("- 5", "5"),
        ("-x", "x"),
        ("50%", "50"),
        ("5‰", "5%"),
        ("<5", ">5"),
        ("≤5", "<5"),
        ("±5", "5"),
        ("C++", "C#"),
        ("C++", "C"),
        ("A+", "A-"),
        ("A-", "A"),
        ("a+b", "a-b"),
        ("a->b", "a>b"),
        ("3×4", "3/4"),
        ("3-5", "3, 5"),
        ("1.5", "1, 5"),
        (".5", "5"),
        ("$5", "€5"),
        ("10³", "103"),
        ("10⁻³", "10³"),
        ("2½", "21/2"),
        ("≠", "="),
        ("a==b", "a=b"),
        ("!x", "x"),
        ("√2", "2"),
        ("负五", "五"),
    ],
)
def test_signs_that_mean_something_count(one, other):
    """What a sign beside a letter or a digit changes is another text."""
    assert signed(one) != signed(other)


def test_contains_any_accept_and_no_reject():
    """One accepted text is enough, one rejected text spoils it."""
    assert contains("Tuesday", ["Monday", "Tuesday"]) == 1.0
    assert contains("Monday or Tuesday", ["Tuesday"], ["Monday"]) == 0.0
    assert contains("周二", ["周二"], ["周一"]) == 1.0
    assert contains("Tuesday", []) == 0.0


@given(st.text(), st.text(), st.text())
def test_contains_properties(before, needle, after):
    """Between spaces every text is found again if it holds a token, and rejecting it always wins."""
    answer = f"{before} | {needle} | {after}"
    assert contains(answer, [needle]) == float(bool(tokens(needle)))
    assert contains(answer, [needle], [needle]) == 0.0


@given(st.text())
def test_tokens_are_stable(text):
    """Tokenising tokens changes nothing."""
    once = tokens(text)
    assert tokens(" ".join(once)) == once


@pytest.mark.parametrize(
    ("operation", "value", "reference", "score"),
    [
        ("eq", "Paris", "Paris", 1),
        ("eq", "paris", "Paris", 0),
        ("ne", "paris", "Paris", 1),
        ("ne", "Paris", "Paris", 0),
        ("like", "It is Paris.", "Paris", 1),
        ("like", "It is paris.", "Paris", 0),
        ("ilike", "It is paris.", "PARIS", 1),
        ("ilike", "It is Rome.", "Paris", 0),
    ],
)
def test_string_check(operation, value, reference, score):
    """The four operations of OpenAI's grader."""
    assert string_check(operation, value, reference) == score


def test_string_check_unknown_operation():
    """Another operation is refused with the choices."""
    with pytest.raises(BadRequest, match="neq") as caught:
        string_check("neq", "a", "b")
    assert "ilike" in caught.value.hint


def test_render_template():
    """Both namespaces, nested paths, lists, values that are not text."""
    item = {"q": "Why?", "n": 3, "deep": {"list": ["a", {"b": "ü"}]}}
    text = "{{item.q}} {{ item.n }} {{ item.deep.list.1.b }} {{item.deep}} {{ sample.output_text }}"
    shown = render_template(text, item, {"output_text": "Because."})
    assert shown == 'Why? 3 ü {"list": ["a", {"b": "ü"}]} Because.'
    assert render_template("no variable {x}", item) == "no variable {x}"


def test_render_template_reads_values_once():
    """A value that looks like a template stays what it is."""
    assert render_template("{{ item.q }}", {"q": "{{ sample.output_text }}"}, {"output_text": "secret"}) == (
        "{{ sample.output_text }}"
    )


@pytest.mark.parametrize(
    "name", ["item.x", "sample.output_text", "item", "other.q", "", "item.q.x", "item.list.7", "item.__class__"]
)
def test_render_template_unknown(name):
    """An unknown variable is named, with what is known; whole namespaces are not values."""
    if name == "item":
        assert render_template("{{ item }}", {"q": "a"}) == '{"q": "a"}'
        return
    with pytest.raises(BadRequest) as caught:
        render_template(f"{{{{ {name} }}}}", {"q": "a", "list": [1]})
    assert repr(name) in caught.value.message
    assert "item.q" in caught.value.hint
