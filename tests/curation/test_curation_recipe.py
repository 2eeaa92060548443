"""From documents to records: conflicts, corrections, exams, copies, order; the sample organisation."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

import feilun
from feilun.curation import Correction, Curated, Document, Unreadable, curate, holdout, parse, scan
from feilun.curation.conflicts import Near, drop_exam, likeness, same_subject
from feilun.curation.documents import skip
from feilun.curation.exams import is_exam
from feilun.curation.pairs import Pair
from feilun.curation.passages import copies
from feilun.curation.scan import load
from feilun.errors import TooFewSamples
from feilun.records import normalise_text

SAMPLE = Path(feilun.__file__).parent / "apps" / "credit_union"


def doc(name: str, text: str, modified: str = "", mask: bool = False) -> Document:
    """Return a document of a file."""
    return parse(name, text.encode(), f"source-{name}", modified, mask)


def chat(result: Curated) -> list[tuple[str, str]]:
    """Return the pairs of a curation."""
    return [(record.messages[0]["content"], record.messages[1]["content"]) for record in result.chat]


def counts(result: Curated) -> dict[str, int]:
    """Return how many pairs were dropped for each reason."""
    return {reason: entry["count"] for reason, entry in result.report.dropped.items()}


def test_transcripts_in_many_forms() -> None:
    """Times, names, several lines and both languages are understood; a new call starts afresh."""
    text = """Calls of March
[10:32] Member (Ann Lee): What does the Heron
Account cost?
[10:33] Agent (Rosalind): The Heron Account costs
3.70 dollars, says Rosalind.
09:15 Caller: And I, Ann Lee, ask: who leads the fraud desk?
09:16 Advisor: It is led by Priya.

=== 2025-03-02 / Emeric ===
**Customer:** Where is the coin machine?
**Support:** In the Saltgate branch.
客户：中文柜台哪天开放？
坐席001：每周四开放。
"""
    assert chat(curate([doc("calls.txt", text)])) == [
        ("And I, [NAME], ask: who leads the fraud desk?", "It is led by Priya."),
        ("What does the Heron Account cost?", "The Heron Account costs 3.70 dollars, says [NAME]."),
        ("Where is the coin machine?", "In the Saltgate branch."),
        ("中文柜台哪天开放？", "每周四开放。"),
    ]


def test_written_pairs_in_many_forms() -> None:
    """Q/A lines, bold questions with a paragraph, numbered ones, several questions with one answer, lists."""
    text = """# Guide
Q: First question
goes on?
A: First answer.

Not part of it.

**Q: Second?**

Second answer.

Q3. Third?
A3. Steps:
- one
- two

Q: Fourth?
Q: Or fourth so?
A: Fourth answer.
**How about bold?**
Bold answer.
"""
    assert sorted(chat(curate([doc("guide.md", text)]))) == [
        ("First question goes on?", "First answer."),
        ("Fourth?", "Fourth answer."),
        ("How about bold?", "Bold answer."),
        ("Or fourth so?", "Fourth answer."),
        ("Second?", "Second answer."),
        ("Third?", "Steps:\n- one\n- two"),
    ]


def test_newer_answers_win() -> None:
    """A stated day beats a file's day, a later day an earlier one; a tie is left to a person."""
    old = doc("a.md", "Effective: 1 January 2023\n\nQ: What is the fee?\nA: 2 dollars.", "2026-05-05")
    new = doc("b.md", "Effective: 1 January 2025\n\nQ: what is the FEE?\nA: 3 dollars.", "2024-01-01")
    undated = doc("c.md", "Q: What is the fee?\nA: 4 dollars.", "2026-06-06")
    result = curate([old, new, undated])
    assert chat(result) == [("what is the FEE?", "3 dollars.")]
    assert counts(result) == {"older_answer": 2}
    assert result.report.conflicts[0]["kept"] == "3 dollars."
    tie = curate([old, doc("d.md", "Effective: 1 January 2023\n\nQ: What is the fee?\nA: 9 dollars.")])
    assert chat(tie) == []
    assert counts(tie) == {"conflict": 2}
    assert tie.report.conflicts[0]["kept"] == ""
    assert "contradict" in tie.report.readiness["en"]
    assert "矛盾" in tie.report.readiness["zh"]


def test_what_is_written_beats_what_was_said() -> None:
    """A call's answer, even of a stated day, does not replace that of an undated sheet."""
    faq = doc("faq.csv", "question,answer\nWhat is the fee?,3 dollars.\n", "2025-06-01")
    said = doc("calls.txt", "=== 2025-03-01 ===\nMember: What is the fee?\nAgent: 2 dollars.\n", "2026-01-01")
    assert chat(curate([faq, said])) == [("What is the fee?", "3 dollars.")]


def test_table_dates_versions_and_status_decide() -> None:
    """Rows marked as superseded go; of the others the later date wins, then the higher version."""
    text = """question,answer,status,updated,version
Fee A?,1,superseded,2026-01-01,
Fee A?,2,current,2024-01-01,
Fee B?,3,,2024-01-01,
Fee B?,4,,2025-01-01,
Fee C?,5,,,1.9
Fee C?,6,,,1.10
旧费用？,7,已废止,,
"""
    assert chat(curate([doc("faq.csv", text)])) == [("Fee A?", "2"), ("Fee B?", "4"), ("Fee C?", "6")]


def test_corrections_win_everywhere() -> None:
    """A correction replaces the answer of its question, of very near ones, and of the fact's other wordings."""
    text = """question,answer
What does the Heron Account cost a month?,The Heron Account costs 2.90 dollars a month.
What does the Heron Account cost each month?,The Heron Account costs 2.80 dollars a month.
Monthly price of Heron?,The Heron Account costs 2.90 dollars a month.
What does the Kestrel Account cost a month?,The Kestrel Account costs 1.10 dollars a month.
"""
    fix = Correction(
        "what does the heron account cost a month", "The Heron Account costs 3.70 dollars a month.", "feedback-2", 2
    )
    late = Correction("What does the Heron Account cost a month?", "It is free.", "feedback-1", 1)
    result = curate([doc("faq.csv", text)], [fix, late])
    right = "The Heron Account costs 3.70 dollars a month."
    assert chat(result) == [
        ("Monthly price of Heron?", right),
        ("what does the heron account cost a month", right),
        ("What does the Kestrel Account cost a month?", "The Kestrel Account costs 1.10 dollars a month."),
    ]
    assert counts(result) == {"corrected": 3}
    assert result.chat[0].sources == ("feedback-2", "source-faq.csv")
    assert result.chat[1].sources == ("feedback-2",)


def test_corrections_of_short_answers_stay_local() -> None:
    """Many questions share a short answer; correcting one of them leaves the others alone."""
    text = "question,answer\nIs Saltgate open on Sunday?,Yes.\nDo you lend to students?,Yes.\n"
    result = curate([doc("faq.csv", text)], [Correction("Is Saltgate open on Sunday?", "No.", "feedback-1")])
    assert chat(result) == [("Do you lend to students?", "Yes."), ("Is Saltgate open on Sunday?", "No.")]


def test_exam_questions_never_train() -> None:
    """Exam questions, nearly the same ones, and exam files are not in the records; the report counts them."""
    text = "question,answer\nWhat is the yearly fee of the Oyster Box?,268\nWho leads?,Ann Venn\nWhere?,Here\n"
    exam = doc("exams/exam.csv", "question,accept\nWHERE,here|there\n")
    result = curate(
        [doc("faq.csv", text), exam], exam_questions=["What is the yearly fee of the Oyster Boxx?", "Other?"]
    )
    assert chat(result) == [("Who leads?", "Ann Venn")]
    assert counts(result) == {"in_exam": 2}
    assert not [record for record in result.passages if "exam" in record.meta["file"]]


SIGNED = """question,answer
Who can receive blood of group O-?,Everybody in an emergency.
Who can receive blood of group O+?,Those with a positive group.
冷藏柜温度报-5度怎么办？,立即报修。
冷藏柜温度报5度怎么办？,这是正常温度。
"""


def test_signs_make_another_question() -> None:
    """Questions that differ by a sign are two; a correction or an exam of the one leaves the other alone."""
    asked = dict(chat(curate([doc("signed.csv", SIGNED)])))
    assert len(asked) == 4
    given = Correction("Who can receive blood of group O+?", "Those of the groups A+, B+, AB+ and O+.", "fixed")
    assert dict(chat(curate([doc("signed.csv", SIGNED)], [given]))) == {**asked, given.question: given.answer}
    pairs = [Pair(question, answer, ("s",), "table") for question, answer in asked.items()]
    _, dropped = drop_exam(pairs, ["Who can receive blood of group O+?"])
    assert [pair.question for pair, _ in dropped] == ["Who can receive blood of group O+?"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exam.csv", True),
        ("a/Exam_2025.xlsx", True),
        ("own-exams.jsonl", True),
        ("考题.csv", True),
        ("examples.csv", False),
        ("exam.md", False),
    ],
)
def test_exam_files_are_known_by_name(name: str, expected: bool) -> None:
    """``exam*`` as a table is an exam; examples and prose are not."""
    assert is_exam(name) == expected


def test_near_questions() -> None:
    """Nearness is trigram Jaccard; other names or figures are another subject."""
    near = Near(["What is the fee of the Heron Account?", "Who leads?"], 0.75)
    assert near.find("what is the fee of the heron account") == 0
    assert near.find("Where is the head office?") is None
    assert likeness("abc", "abc") == 1
    assert not same_subject("Fee of the Heron Account?", "Fee of the Kestrel Account?")
    assert not same_subject("Fee for 12 months?", "Fee for 24 months?")
    assert same_subject("Fee of the Heron Account?", "fee of the heron account")


def test_copies_are_told_from_versions() -> None:
    """A file with a few words changed is a copy; one with another figure is another version."""
    body = " ".join(f"The box number {i} stands in room {i * 7 % 50} of the old harbour house." for i in range(40))
    documents = [
        doc("guide.md", body),
        doc("Copy of guide.md", body.replace("old", "ancient", 1)),
        doc("new.md", body + " 99 boxes."),
    ]
    assert copies(documents) == {("source-Copy of guide.md", "Copy of guide.md"): "guide.md"}
    result = curate(documents)
    assert result.report.passages_dropped["copy"]["count"] > 0


def test_masking_follows_the_permission() -> None:
    """Documents and tables keep their contacts unless the source must be masked; user turns never do."""
    text = "question,answer\nWho is it?,Write to ann@example.org.\n"
    text += "My mail is bob@example.org and yours?,desk@example.org\n"
    kept = curate([doc("faq.csv", text), doc("a.md", "Ann sits at ann@example.org today.")])
    assert chat(kept) == [
        ("My mail is [EMAIL] and yours?", "desk@example.org"),
        ("Who is it?", "Write to ann@example.org."),
    ]
    assert "ann@example.org" in kept.passages[0].text
    hidden = curate([doc("faq.csv", text, mask=True), doc("a.md", "Ann sits at ann@example.org today.", mask=True)])
    assert "@" not in json.dumps(
        [hidden.report.as_json(), [(r.messages, r.text) for r in (*hidden.chat, *hidden.passages)]]
    )
    assert hidden.report.masked["EMAIL"] == 4


def test_answers_that_tell_of_a_client_are_masked() -> None:
    """A client's papers and contacts do not stay in a written answer; the desk's do."""
    text = 'question,answer\nWas he paid?,"Hans Gruber (SSN 536-22-1234, hg@mail.example) was paid."\n'
    text += "How do I reach you?,Write to desk@example.org.\n"
    assert chat(curate([doc("faq.csv", text)])) == [
        ("How do I reach you?", "Write to desk@example.org."),
        ("Was he paid?", "[NAME] (SSN [ID], [EMAIL]) was paid."),
    ]


def test_who_introduces_himself_is_a_client() -> None:
    """A written answer that names somebody of a conversation is masked; one that names the staff is not."""
    text = "question,answer\nWho won?,Hans Gruber won; he is at hg@mail.example.\n"
    text += "Who leads?,Igor Palamar leads; he is at ip@bank.example.\n"
    talk = "Member: My name is Hans Gruber. When is the prize paid?\nAgent: In May, I think.\n"
    told = str(chat(curate([doc("won.csv", text), doc("talk.txt", talk)])))
    assert "Gruber" not in told
    assert "hg@" not in told
    assert "Igor Palamar leads; he is at ip@bank.example." in told


def test_who_talks_is_masked_throughout_the_talk() -> None:
    """A name that one turn tells is masked in the answer, and in every later turn of the conversation."""
    talk = [("user", "我叫文清，手续费多少？"), ("assistant", "文清，每笔两元。")]
    talk += [("user", "那转账限额是多少？"), ("assistant", "请文清注意，每日五万元。")]
    row = {"messages": [{"role": role, "content": text} for role, text in talk]}
    found = chat(curate([doc("talk.jsonl", json.dumps(row, ensure_ascii=False))]))
    assert len(found) == 2
    assert "文清" not in str(found)
    assert str(found).count("[NAME]") == 3


def test_tables_of_people_are_masked() -> None:
    """A list of members is not shown with their names and numbers."""
    text = "member name,phone,note\nJoan Pettifer,555-0142,likes fish\n"
    (passage,) = curate([doc("members.csv", text)]).passages
    assert passage.text == "member name: [NAME]; phone: [PHONE]; note: likes fish"


def test_result_depends_on_content_only() -> None:
    """Another order of documents, corrections and questions gives the same records and the same report."""
    documents = [
        doc(f"f{i}.csv", f"question,answer\nQ {i % 3} what?,Answer number {i}.\nShared?,Same.\n") for i in range(9)
    ]
    fixes = [Correction("Q 1 what?", "Right.", f"feedback-{i}", i) for i in range(3)]
    first = curate(documents, fixes, ["Q 2 what?"])
    for seed in range(3):
        random.Random(seed).shuffle(documents)
        random.Random(seed).shuffle(fixes)
        assert curate(documents, fixes, ["Q 2 what?"]) == first
    assert len({record.id for record in first.chat}) == len(first.chat)
    json.dumps(first.report.as_json())


def test_unreadable_documents_are_in_the_report() -> None:
    """Nothing at all is still a report, with a level in plain words."""
    result = curate([])
    assert result.report.readiness["level"] == "empty"
    assert (result.chat, result.passages) == ([], [])


@pytest.fixture(scope="module")
def sample() -> list[Document]:
    """Return the documents of the sample organisation."""
    if not SAMPLE.is_dir():
        pytest.skip("the sample organisation is not here")
    documents = []
    for file in scan([SAMPLE / "files"])[0]:
        try:
            documents.append(parse(file.name, load(file.path), f"source-{file.name}", file.modified))
        except Unreadable as problem:
            documents.append(Document("", file.name, (), problem=skip(file.name, problem.reason)))
    return documents


def test_sample_organisation_gives_what_it_should(sample: list[Document]) -> None:
    """Every file gives the pairs that its maker says it holds, and only those."""
    expected = json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))
    result = curate(sample)
    dropped = ("small_talk", "personal_only", "no_answer")
    assert {d.name for d in sample if d.problem} == {name for name, want in expected.items() if "skip" in want}
    for document in (document for document in sample if not document.problem):
        alone = curate([document])
        want = expected[document.name]
        lost = sum(counts(alone).get(reason, 0) for reason in dropped)
        assert alone.report.pairs_found - lost == want["pairs"], document.name
        if "small_talk" in want:
            assert counts(alone).get("small_talk", 0) == want["small_talk"], document.name
        if want.get("superseded"):
            assert not alone.chat
            assert not alone.passages
    originals = {name: str(w.get("near_duplicate_of") or w.get("duplicate_of") or "") for name, w in expected.items()}
    wanted = {name: of for name, of in originals.items() if of and not of.startswith("policy/")}
    assert result.report.copies == wanted
    assert len(result.chat) == 459
    assert result.report.readiness["level"] == "ready"
    assert result.report.conflicts == []
    whole = json.dumps([[r.messages, r.text] for r in (*result.chat, *result.passages)], ensure_ascii=False)
    for secret in (
        "Pettifer",
        "Akerley",
        "罗小满",
        "4111",
        "13800138000",
        "joan.",
        "555-0142",
        "DE89",
        "11010519491231002X",
    ):
        assert secret not in whole
    for fact in ("4718", "07-31-86", "沈若岚", "Marisol Tenbrook"):
        assert fact in whole
    for furniture in ("Member owned since", "Terms may change", "社员共有", "不构成任何要约"):
        assert furniture not in whole


def test_sample_exam_is_in_no_record(sample: list[Document]) -> None:
    """No question of the sample's own exam is in the training records, not even nearly."""
    lines = (SAMPLE / "exams" / "exam_own.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    result = curate(sample, exam_questions=questions)
    trained = {normalise_text(record.messages[0]["content"]) for record in result.chat}
    assert not trained & {normalise_text(question) for question in questions}
    assert result.report.pairs_kept + result.report.dropped.get("in_exam", {"count": 0})["count"] == 459


def test_holdout_makes_an_exam(sample: list[Document]) -> None:
    """One wording of each fact is held out, with words that only its own answer has; training keeps the others."""
    records = curate(sample).chat
    train, items = holdout(records)
    assert holdout(records) == (train, items)
    assert len(items) == 76
    asked = {normalise_text(item.question) for item in items}
    assert not asked & {normalise_text(record.messages[0]["content"]) for record in train}
    groups = Counter(record.meta["group"] for record in train)
    answers = {record.meta["group"]: record.messages[1]["content"] for record in records}
    for item in items:
        assert groups[item.meta["group"]] >= 2
        right = normalise_text(item.meta["answer"])
        (key,) = map(normalise_text, item.accept)
        assert key in right
        others = [a for group, a in answers.items() if group != item.meta["group"]]
        assert not any(f" {key} " in f" {normalise_text(a)} " for a in others if len(key) > 2)
    with pytest.raises(TooFewSamples, match="at least 77"):
        holdout(records, minimum=77)
