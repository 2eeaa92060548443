"""Exams in whatever form they come: fields are found by look, rows that cannot be used are named by their lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import BadRequest
from feilun.evaluation.formats import Imported, Wishes, read_exam
from feilun.records import EvalItem

ASKED = "Which is the largest?"


def written(folder: Path, name: str, content: Any) -> Path:
    """Write rows as JSON lines or text, and return the file."""
    file = folder / name
    text = content if isinstance(content, str) else "\n".join(json.dumps(row, ensure_ascii=False) for row in content)
    file.write_text(text, encoding="utf-8")
    return file


def imported(folder: Path, name: str, content: Any, **wishes: Any) -> Imported:
    """Return the exam in a file with this content."""
    return read_exam([written(folder, name, content)], "default", "an exam", Wishes(**wishes))


def only(found: Imported) -> EvalItem:
    """Return the one item of an exam."""
    assert len(found.exam.items) == 1, found.warnings
    return found.exam.items[0]


@pytest.mark.parametrize(
    "row",
    [
        {"Question": ASKED, "A": "an ant", "B": "a whale", "C": "a cat", "Answer": "B"},
        {"question": ASKED, "options": ["(A)an ant", "(B)a whale", "(C)a cat"], "label": "B"},
        {"question": ASKED, "choices": ["an ant", "a whale", "a cat"], "answer": "a whale"},
        {
            "stem": ASKED,
            "choices": {"text": ["an ant", "a whale", "a cat"], "label": ["A", "B", "C"]},
            "answerKey": "B",
        },
        {"query": ASKED, "options": {"A": "an ant", "B": "a whale", "C": "a cat"}, "gold": "(b)"},
        {"prompt": ASKED, "option_a": "an ant", "option_b": "a whale", "option_c": "a cat", "correct_option": "b"},
        {"question": ASKED, "ans0": "an ant", "ans1": "a whale", "ans2": "a cat", "label": 1},
        {"题目": ASKED, "选项A": "an ant", "选项B": "a whale", "选项C": "a cat", "答案": "B"},
        {"question": f"{ASKED}\nA．an ant  B．a whale  C．a cat\n", "answer": ["B"]},
        {"input": ASKED, "choices": ["an ant", "a whale", "a cat"], "target": "B", "id": "q1"},
        {"question": ASKED, "options": "['an ant', 'a whale', 'a cat']", "answer_idx": "B"},
        {"question": ASKED, "options": "A) an ant\nB) a whale\nC) a cat", "answer": "B"},
        {"ctx": ASKED, "endings": ["an ant", "a whale", "a cat"], "label": "1"},
    ],
)
def test_multiple_choice_in_any_shape(tmp_path: Path, row: dict[str, Any]) -> None:
    """Bare options, the right one, both ways of asking."""
    item = only(imported(tmp_path, "exam.jsonl", [row]))
    assert item.meta["choices"] == ["an ant", "a whale", "a cat"]
    assert (item.accept, item.meta["gold"]) == (("a whale",), [1])
    assert item.meta["grader"] == {"type": "choice", "reference": "B", "choices": item.meta["choices"]}
    assert item.meta["likely"]["context"] == f"{ASKED}\nA. an ant\nB. a whale\nC. a cat\nAnswer:"
    assert item.meta["likely"]["continuations"] == [" A", " B", " C"]
    assert item.question.startswith(f"{ASKED}\nA. an ant\n")


def test_tables_numbers_from_one_and_several_right_ones(tmp_path: Path) -> None:
    """A CSV with quoted lines, semicolons and a byte order mark; answers counted from 1; several letters."""
    table = '\ufeffquestion;choice1;choice2;answer\n"two\nlines";a;b;1\nthree;c;d;2\n'
    items = imported(tmp_path, "exam.csv", table).exam.items
    assert [item.accept for item in items] == [("a",), ("d",)]
    assert [item.meta["line"] for item in items] == ["exam.csv:2", "exam.csv:4"]
    several = {"question": "哪些是水果？", "A": "苹果", "B": "石头", "C": "梨", "answer": "AC"}
    item = only(imported(tmp_path, "several.jsonl", [several]))
    assert (item.meta["grader"]["reference"], "likely" in item.meta) == ("AC", False)


@pytest.mark.parametrize(
    "answer",
    [
        "D and A",
        "a and d",
        "A, D",
        "A、D",
        "Ａ和Ｄ",
        "A & D",
        "A/D",
        "A与D",
        "A + D",
        "(A) and (D)",
        "[A] [D]",
        ["D", "a"],
        "AD",
    ],
)
def test_several_right_letters_however_they_are_joined(tmp_path: Path, answer: Any) -> None:
    """Words and marks between letters, in both languages and widths."""
    row = {"question": "Which two?", "A": "one", "B": "two", "C": "three", "D": "four", "answer": answer}
    assert only(imported(tmp_path, "exam.jsonl", [row])).accept == ("one", "four")


def test_a_word_of_letters_that_is_an_option_is_that_option(tmp_path: Path) -> None:
    """The answer "bad" means the option "bad", and not A, B and D."""
    row = {"question": "How was it?", "A": "good", "B": "bad", "C": "cab", "D": "ab", "answer": "bad"}
    assert only(imported(tmp_path, "exam.jsonl", [row])).accept == ("bad",)


@pytest.mark.parametrize(
    ("row", "grader"),
    [
        ({"question": "1 + 1?", "answer": "2"}, {"type": "numeric", "reference": ["2"], "relative": 1e-6}),
        ({"question": "Solve.", "answer": r"$\frac{1}{2}$"}, {"type": "math", "reference": [r"$\frac{1}{2}$"]}),
        ({"question": "Who?", "answers": ["Ann", "Anna"]}, {"type": "contains", "accept": ["Ann", "Anna"]}),
        ({"query": "谁？", "answer": [["张三", "老张"]]}, {"type": "contains", "accept": ["张三", "老张"]}),
        (
            {"context": "Ann left.", "question": "Who?", "answers": {"text": ["Ann"], "answer_start": [0]}},
            {"type": "f1", "reference": ["Ann"]},
        ),
        (
            {"question": "Why?", "rubric": ["names the cause", {"criterion": "is short", "points": 2}]},
            {
                "type": "rubric",
                "criteria": [{"text": "names the cause", "points": 1.0}, {"text": "is short", "points": 2.0}],
                "reference": "",
            },
        ),
        (
            {"text": "Add two numbers.", "test_list": ["assert add(1, 2) == 3"], "code": "def add(a, b): …"},
            {"type": "code", "tests": "assert add(1, 2) == 3", "entry": ""},
        ),
        (
            {"prompt": "def f(x):\n", "test": "def check(f):\n    assert f(1) == 1", "entry_point": "f"},
            {
                "type": "code",
                "tests": "def check(f):\n    assert f(1) == 1",
                "entry": "f",
                "prefix": "def f(x):\n",
            },
        ),
        (
            {
                "question": [[{"role": "user", "content": "Area?"}]],
                "function": [
                    {"name": "geo.area", "parameters": {"type": "dict", "properties": {"a": {"type": "float"}}}}
                ],
                "ground_truth": [{"geo.area": {"a": [1, 2]}}],
            },
            {"type": "tool_call", "reference": [{"name": "geo.area", "arguments": {"a": [1, 2]}}]},
        ),
        (
            {"question": "Rate?", "accept": ["4 %"], "reject": ["5 %"]},
            {"type": "contains", "accept": ["4 %"], "reject": ["5 %"]},
        ),
    ],
)
def test_free_answers_get_the_grader_that_fits(tmp_path: Path, row: dict[str, Any], grader: dict[str, Any]) -> None:
    """Numbers, formulas, short texts, spans, rubrics, code, tools, our own form."""
    assert only(imported(tmp_path, "exam.jsonl", [row])).meta["grader"] == grader


def test_passages_and_tools_keep_what_is_asked(tmp_path: Path) -> None:
    """SQuAD's nesting is spread out, with the passage as cluster; tools become OpenAI's."""
    paragraph = {
        "id": "p1",
        "context": "Ann left at nine.",
        "qas": [{"question": "Who?", "answers": [{"text": "Ann"}]}],
    }
    nested = {"data": [{"paragraphs": [paragraph]}]}
    item = only(imported(tmp_path, "squad.json", json.dumps(nested)))
    assert (item.question, item.meta["cluster"]) == ("Ann left at nine.\n\nWho?", "p1")
    tool = {"name": "geo.area", "parameters": {"type": "dict", "properties": {"a": {"type": "float"}}}}
    (tmp_path / "possible_answer").mkdir()
    written(tmp_path / "possible_answer", "calls.json", [{"id": "1", "ground_truth": [{"geo.area": {"a": [1]}}]}])
    asked = [{"role": "user", "content": "Area?"}]
    item = only(imported(tmp_path, "calls.json", [{"id": "1", "question": [asked], "function": [tool]}]))
    assert item.meta["messages"] == asked
    assert item.meta["tools"][0]["function"]["name"] == "geo_area"
    assert item.meta["tools"][0]["function"]["parameters"]["properties"] == {"a": {"type": "number"}}


def test_what_cannot_be_used_is_named_by_its_line(tmp_path: Path) -> None:
    """Copies are taken once, contradictions left out, broken rows named; too few questions are said to be few."""
    good = [{"question": f"What is {n}?", "A": "one", "B": "two", "answer": "A"} for n in range(6)]
    wrong = {"question": "What?", "A": "one", "B": "two", "answer": "C"}
    found = imported(tmp_path, "exam.jsonl", [*good, good[0], {**good[1], "answer": "B"}, wrong])
    said = " ".join(found.warnings)
    assert len(found.exam.items) == 5
    assert "exam.jsonl:1, exam.jsonl:7" in said
    assert "exam.jsonl:2, exam.jsonl:8" in said
    assert "exam.jsonl:9: its answer names none of its options" in said
    assert "Only 5 questions" in said


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"grader": {"type": "numeric", "reference": "no number"}}, "holds no number"),
        ({"grader": {"type": "numeric", "reference": ["没有数", "1/0"]}}, "holds no number"),
        ({"grader": {"type": "json_schema", "schema": {"type": "banana"}}}, "its schema is wrong"),
        ({"grader": {"type": "json_schema", "schema": {"$ref": "http://127.0.0.1:9/a"}}}, "its schema is wrong"),
        ({"grader": {"type": "code", "tests": "assert f( =="}}, "no Python"),
        ({"text": "Add.", "test_list": ["assert ((("]}, "no Python"),
        ({"grader": {"type": "choice", "reference": "E", "choices": ["a", "b"]}}, "none of its options"),
        ({"grader": {"type": "f1", "reference": "…"}}, "holds no word"),
        ({"grader": {"type": "exact", "reference": " "}}, "is empty"),
        ({"grader": {"type": "exact", "reference": "{{ item.nowhere }}"}}, "item.nowhere"),
        ({"grader": {"type": "exact", "reference": "a", "input": "{{ item.nowhere }}"}}, "item.nowhere"),
        (
            {
                "grader": {
                    "type": "multi",
                    "graders": {"a": {"type": "numeric", "reference": "none"}},
                    "calculate_output": "a",
                }
            },
            "holds no number",
        ),
        ({"accept": ["4 %", "five"], "reject": ["4 percent"]}, "it accepts and rejects"),
        ({"accept": "猫", "reject": "狗|猫"}, "it accepts and rejects"),
        ({"accept": "no fee", "reject": "fee"}, "holds one that it rejects"),
        ({"answer": "5", "grader": "banana"}, "its grader 'banana' is none of"),
        ({"answer": "five", "grader": "numeric"}, "holds no number"),
        ({"answer": "5", "grader": 7}, "its grader '7' is none of"),
        (
            {
                "tools": [{"name": "rain", "parameters": {}}],
                "expected_calls": [{"name": "snow", "arguments": {}}],
            },
            "a call of snow",
        ),
    ],
)
def test_what_no_answer_could_satisfy_is_left_out_and_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    """Whatever grader it names: its line and the reason are told, the rest is taken."""
    sound = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(2)]
    found = imported(tmp_path, "exam.jsonl", [*sound, {"question": "What?", **row}])
    assert len(found.exam.items) == 2
    assert "1 rows were left out: exam.jsonl:3: " in found.warnings[0]
    assert said in found.warnings[0]


def test_half_a_character_is_named(tmp_path: Path) -> None:
    """A lone surrogate anywhere in a row, and in the name of the exam."""
    rows = [
        {"question": "a?", "answer": "b"},
        {"question": "c?", "answer": "d"},
        {"question": "\ud83d?", "answer": "b"},
    ]
    found = imported(tmp_path, "exam.jsonl", "\n".join(map(json.dumps, rows)))
    assert "exam.jsonl:3: it holds half a character" in found.warnings[0]
    with pytest.raises(BadRequest, match="name"):
        read_exam([tmp_path / "exam.jsonl"], "default", "\udcff")


@pytest.mark.parametrize(
    ("row", "grader"),
    [
        ({"answer": "5", "grader": "exact"}, {"type": "exact", "reference": ["5"]}),
        ({"accept": "5|five", "grader": "f1"}, {"type": "f1", "reference": ["5", "five"]}),
        ({"answer": "1/0"}, {"type": "math", "reference": ["1/0"]}),
        ({"answer": "yes", "grader": {"type": "exact", "reference": "{{ item.accept.0 }}"}}, None),
        ({"answer": "x", "grader": {"type": "math", "reference": r"\frac{{1}}{{2}}"}}, None),
    ],
)
def test_graders_that_rows_name_are_theirs(tmp_path: Path, row: dict[str, Any], grader: dict[str, Any] | None) -> None:
    """By name or as an object; what divides by zero is no number, and no crash."""
    item = only(imported(tmp_path, "exam.jsonl", [{"question": "What?", **row}]))
    assert item.meta["grader"] == (grader or row["grader"])


@pytest.mark.parametrize(
    "table",
    [
        "question,accept,reject\nFee?,5|five,6 | 7\n",
        "Question,Accepted,Rejected\nFee?,5｜ five|,6|7\n",
        "问题,接受,拒绝\nFee?,5|five,6｜7\n",
        "question,answer,reject\nFee?,5|five,6|7\n",
    ],
)
def test_several_texts_are_separated_as_in_a_turn_s_own_exam(tmp_path: Path, table: str) -> None:
    """By ``|`` of either width, in both languages of columns."""
    item = only(imported(tmp_path, "exam.csv", table))
    assert (item.accept, item.reject) == (("5", "five"), ("6", "7"))
    assert item.meta["grader"] == {"type": "contains", "accept": ["5", "five"], "reject": ["6", "7"]}


def test_questions_that_differ_by_their_signs_are_different(tmp_path: Path) -> None:
    """Sums and differences, negatives, names with signs, options with signs: all stay, and only true copies go."""
    rows = [("7 + 5", "12"), ("7 - 5", "2"), ("7 × 5", "35"), ("(7 + 5)", "12"), ("7％", "x"), ("7", "y"), ("－7", "z")]
    rows += [("C++", "one"), ("C#", "two"), ("C", "three")]
    content = [{"question": f"{{}} 是什么？ What is {asked}?", "answer": answer} for asked, answer in rows]
    found = imported(tmp_path, "exam.jsonl", content)
    assert len(found.exam.items) == len(rows) - 1
    assert "exam.jsonl:1, exam.jsonl:4" in found.warnings[0]
    assert "contradict" not in " ".join(found.warnings)
    options = [
        {"question": "Which?", "A": "3", "B": b, "answer": answer} for b, answer in (("-3", "A"), ("+ 3 %", "B"))
    ]
    assert len(imported(tmp_path, "choice.jsonl", options).exam.items) == 2
    signs = [
        {"question": "Root?", "answer": "-5"},
        {"question": "Root?", "answer": "5"},
        {"question": "?!", "answer": "5"},
    ]
    assert "contradict" in imported(tmp_path, "signs.jsonl", signs).warnings[0]


def numbered(tmp_path: Path, answers: list[int], heads: str = "A,B,C,D,answer", **wishes: Any) -> Imported:
    """Return an exam of four options each whose right ones are numbers."""
    rows = "".join(f"Which is {n}?,w,x,y,z,{answer}\n" for n, answer in enumerate(answers))
    return imported(tmp_path, "exam.csv", f"question,{heads}\n{rows}", **wishes)


def test_numbers_that_may_count_from_0_or_from_1_are_asked_for(tmp_path: Path) -> None:
    """Nothing is shifted without a word: told by the numbers, by the columns, by whoever imports, or else refused."""

    def right(found: Imported) -> str:
        return "".join(item.meta["grader"]["reference"] for item in found.exam.items)

    with pytest.raises(BadRequest, match="numbers 1 to 3") as error:
        numbered(tmp_path, [1, 2, 3, 1, 2])
    assert "--first" in error.value.hint
    assert right(numbered(tmp_path, [1, 2, 3], first=1)) == "ABC"
    assert right(numbered(tmp_path, [1, 2, 3], first=0)) == "BCD"
    assert right(numbered(tmp_path, [1, 2, 4])) == "ABD"
    assert right(numbered(tmp_path, [1, 2, 0])) == "BCA"
    assert right(numbered(tmp_path, [1, 2, 3], "选项1,选项2,选项3,选项4,答案")) == "ABC"
    assert right(numbered(tmp_path, [1, 2, 3], "ans0,ans1,ans2,ans3,answer")) == "BCD"
    guessed = numbered(tmp_path, [1, 2, 3], "A,B,C,D,label")
    assert right(guessed) == "BCD"
    assert "0 is assumed" in guessed.warnings[0]
    inline = [{"question": f"Which is {n}?\nA. w B. x C. y", "answer": n} for n in (1, 2)]
    with pytest.raises(BadRequest, match="numbers 1 to 2"):
        imported(tmp_path, "inline.jsonl", inline)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("exam.jsonl", "", "empty"),
        ("exam.jsonl", '{"question": "a", "answer": "b"}\n{broken', "line 2"),
        ("exam.json", "[1, 2]", "no question"),
        ("exam.csv", "question,answer\n", "no question"),
        ("exam.jsonl", [{"a": 1}, {"b": 2}], "exam.jsonl:1: it has no question"),
        ("exam.jsonl", [{"question": "a", "answer": "b", "grader": {"type": "none"}}], "no grader of type"),
        ("exam.txt", "a", "no form"),
        ("exam.jsonl", "[" * 100_000, "nested"),
    ],
)
def test_bad_files_get_a_clear_error(tmp_path: Path, name: str, content: Any, said: str) -> None:
    """It says what is wrong and where, and nothing escapes."""
    with pytest.raises(BadRequest) as error:
        imported(tmp_path, name, content)
    assert said in error.value.message
    assert error.value.hint


def test_examples_come_from_a_dev_file(tmp_path: Path) -> None:
    """Solved examples of the file of the same name stand before its questions; too few are an error."""
    row = {"question": "Is it?", "A": "yes", "B": "no", "answer": "B"}
    (tmp_path / "dev").mkdir()
    dev = written(tmp_path / "dev", "exam.jsonl", [{**row, "question": "Was it?"}])
    found = imported(tmp_path, "exam.jsonl", [row], dev=(dev,), shots=1)
    assert found.exam.meta["heads"] == {"": "Was it?\nA. yes\nB. no\nAnswer: B\n\n"}
    with pytest.raises(BadRequest, match="2 examples"):
        imported(tmp_path, "exam.jsonl", [row], dev=(dev,), shots=2)


def test_an_exam_is_versioned_by_what_it_asks(tmp_path: Path) -> None:
    """The same file gives the same version and ids, a changed answer another; it is sealed unless that is undone."""
    row = {"question": "Is it?", "A": "yes", "B": "no", "answer": "B"}
    first, again = (imported(tmp_path, "exam.jsonl", [row]).exam for _ in range(2))
    assert (first.id, first.items) == (again.id, again.items)
    other = imported(tmp_path, "exam.jsonl", [{**row, "answer": "A"}]).exam
    assert other.meta["version"] != first.meta["version"]
    assert (first.meta["sealed"], first.meta["kind"]) == (True, "imported")
    assert imported(tmp_path, "exam.jsonl", [row], sealed=False).exam.meta["sealed"] is False
