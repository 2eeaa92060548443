"""Reading exams and proving that training never saw them."""

import json

import pytest

from feilun.errors import BadRequest
from feilun.evaluation.exams import check_unseen, load_exam, parse_exam


def line(**fields):
    """Return one exam line."""
    return json.dumps({"question": "When do you open?", "accept": ["9:30"]} | fields, ensure_ascii=False)


def test_load_exam(tmp_path):
    """A file becomes an Eval; the same file gives the same ids, another workspace others."""
    path = tmp_path / "own.jsonl"
    rows = [
        line(id="q1", reject=["10:00"], fact="hours", lang="en"),
        line(id="q2", question="几点\u2028开门?", fact="hours", lang="zh", topic="branch"),
    ]
    path.write_text("\ufeff" + "\n\n".join(rows) + "\n", encoding="utf-8")
    exam = load_exam(path, "demo", "own")
    assert [item.question for item in exam.items] == ["When do you open?", "几点\u2028开门?"]
    assert exam.items[0].accept == ("9:30",)
    assert exam.items[0].reject == ("10:00",)
    assert exam.items[1].meta == {"key": "q2", "fact": "hours", "lang": "zh", "topic": "branch"}
    again, other = load_exam(path, "demo", "own"), load_exam(path, "demo2", "own")
    assert (again.id, again.items) == (exam.id, exam.items)
    assert other.id != exam.id
    assert not {item.id for item in other.items} & {item.id for item in exam.items}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no question"),
        ("{", "line 1: not JSON"),
        ("[]", "line 1: not a JSON object"),
        (line() + "\n" + line(question="b", answers=[]), "line 2: unknown field answers"),
        (line(question=""), "question must be"),
        (line(question=3), "question must be"),
        (line(accept=[]), "accept must hold"),
        (line(accept="9"), "accept must be a list"),
        (line(accept=["?!"]), "accept must be a list"),
        (line(reject=[3]), "reject must be a list"),
        (line(lang=3), "lang must be"),
        (line(id="a") + "\n\n" + line(id="b", question="WHEN do you open"), "line 3: the same question as line 1"),
        (line(id="a") + "\n" + line(id="a", question="Where?"), "line 2: the same id as line 1"),
    ],
)
def test_parse_exam_mistakes(text, said):
    """Every mistake is told with its line."""
    with pytest.raises(BadRequest) as caught:
        parse_exam(text, "demo", "own")
    assert said in caught.value.message


def test_parse_exam_tells_all_mistakes():
    """All mistakes come together."""
    with pytest.raises(BadRequest) as caught:
        parse_exam("{\n" + line() + "\n[]", "demo", "own")
    assert "line 1" in caught.value.message
    assert "line 3" in caught.value.message


def test_load_exam_unreadable(tmp_path):
    """A missing file and a file that is not UTF-8 are told plainly."""
    with pytest.raises(BadRequest, match="cannot be read"):
        load_exam(tmp_path / "none.jsonl", "demo", "own")
    (tmp_path / "gbk.jsonl").write_bytes("几点开门".encode("gbk"))
    with pytest.raises(BadRequest, match="UTF-8"):
        load_exam(tmp_path / "gbk.jsonl", "demo", "own")


def test_check_unseen():
    """Wordings are compared without case, width and marks."""
    exam = parse_exam("\n".join([line(), line(question="Where are you?"), line(question="几点开门?")]), "demo", "own")
    assert check_unseen(exam.items, ["Where were you?"]) == []
    seen = check_unseen(exam.items, ["  when DO you open", "几点开门"])
    assert [item.question for item in seen] == ["When do you open?", "几点开门?"]
    signs = parse_exam("\n".join([line(question="What is 7 - 5?"), line(question="What is 7 + 5?")]), "demo", "own")
    assert [item.question for item in check_unseen(signs.items, ["what is 7 + 5"])] == ["What is 7 + 5?"]
