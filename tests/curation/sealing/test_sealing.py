"""Exam questions in training records: found in every disguise and place; what only resembles them stays."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from opencc import OpenCC

from feilun.curation.sealing import LazyEmbedder, seal, seal_training, sealed_items
from feilun.records import JSON, Eval, EvalAnswer, EvalItem, EvalRun, Record
from feilun.store import Database, evals, open_database, workspaces

WS = "harbour"
QUESTIONS = (
    "图书馆的阅览室在每个月的第一个星期日几点向本镇居民开放？",
    "老磨坊的水轮是哪一年由造船厂的木匠换掉的？",
    "渡船公司的软件什么时候发布新版本，网络故障找谁？",
    "年费是多少？",
    "Which of the two ferries that leave the northern harbour before noon carries bicycles without a ticket?",
    "How many lanterns hang above the 3rd bridge in winter?",
    "Who paid for the mill?",
    "In which year did the 12 coopers of the lower town found their guild, and where did they meet?",
)
ITEMS = tuple(EvalItem(f"item-{n}", question, ("x",)) for n, question in enumerate(QUESTIONS))
FILLER = (
    "The harbour office opens at nine. Bicycles may be left by the door, and dogs wait outside.",
    "渡船每天两班，冬天只有一班。阅览室的规定贴在门口，居民可以自己看。",
    "The mill stands by the river; its stones came from a quarry that nobody remembers.",
    "水轮转得很慢，木匠说还能用很多年。",
)
RNG = random.Random(5)


def _reordered(text: str) -> str:
    """Put the words of a text into another order; pairs of characters where there are no blanks."""
    parts = text.rstrip("?？").split() if text.isascii() else re.findall(r"[\u3400-\u9fff]{1,2}|\W|\w+", text[:-1])
    while (mixed := random.Random(len(text)).sample(parts, len(parts))) == parts:
        parts = parts[::-1]
    return (" " if text.isascii() else "").join(mixed)


def _wide(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def _unseen(text: str) -> str:
    return "".join(char + RNG.choice(("\u200b", "\u2060", "\ufeff", "\u00ad", "")) for char in text)


def _punctuated(text: str) -> str:
    return "".join(char + RNG.choice(("", "", " ", "，", "·", "-")) for char in text[:-1]) + text[-1]


DISGUISES: dict[str, Callable[[str], str]] = {
    "verbatim": str,
    "other script": OpenCC("s2t").convert,
    "other words of Taiwan": OpenCC("s2twp").convert,
    "full width": _wide,
    "signs that nobody sees": _unseen,
    "punctuation": _punctuated,
    "no blanks": lambda text: "".join(text.split()),
    "case": str.upper,
    "letters that look alike": lambda text: text.translate(str.maketrans("aeopcx", "аеорсх")),
    "entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
}


def _chat(number: int, *texts: str) -> Record:
    roles = ("user", "assistant")
    messages = tuple({"role": roles[at % 2], "content": text} for at, text in enumerate(texts))
    return Record(f"row-{number}", "chat", (), messages)


def _asked(number: int, text: str) -> Record:
    return _chat(number, text, "Certainly. 好的。")


def _within(number: int, text: str) -> Record:
    return Record(f"row-{number}", "passage", (), (), "\n".join([*FILLER, text + " " + FILLER[0], *FILLER]))


def _across(number: int, text: str) -> Record:
    cut = len(text) // 2
    return _chat(number, text[:cut], FILLER[number % 4], text[cut:], FILLER[(number + 1) % 4])


def _found(records: Sequence[Record], items: Sequence[EvalItem] = ITEMS) -> set[tuple[str, str]]:
    return {(leak.record.id, leak.item.id) for leak in seal(records, items).removed}


@pytest.mark.parametrize("place", [_asked, _within, _across])
@pytest.mark.parametrize("disguise", [name for name in DISGUISES if name != "entities"])
def test_disguised_questions_are_found(disguise: str, place: Callable[[int, str], Record]) -> None:
    """Every question, long or short, in every disguise, alone, within a document, and cut across turns."""
    records = [place(n, DISGUISES[disguise](question)) for n, question in enumerate(QUESTIONS)]
    assert _found(records) == {(f"row-{n}", f"item-{n}") for n in range(len(QUESTIONS))}


def test_entities_are_read() -> None:
    """What is written as entities of HTML is read as what it shows."""
    records = [_asked(n, DISGUISES["entities"](question)) for n, question in enumerate(QUESTIONS)]
    assert len(_found(records)) == len(QUESTIONS)


@pytest.mark.parametrize("level", ["question", "wording", "whole"])
def test_reordered_questions_are_found(level: str) -> None:
    """The words of a question in another order; three words alone are not enough to tell."""
    items = [EvalItem(f"item-{n}", q, ("x",), (), {"secrecy": level}) for n, q in enumerate(QUESTIONS)]
    records = [_asked(n, _reordered(question)) for n, question in enumerate(QUESTIONS)]
    wanted = {(f"row-{n}", f"item-{n}") for n in range(len(QUESTIONS)) if n != 3}
    assert wanted <= _found(records, items)
    long = [n for n, question in enumerate(QUESTIONS) if len(question) > 60 or (n < 3)]
    within = [_within(n, _reordered(QUESTIONS[n])) for n in long]
    assert {(f"row-{n}", f"item-{n}") for n in long} <= _found(within, items)


def test_choices_in_another_order_and_other_choices() -> None:
    """A question is the same with its choices reordered or without them; with other choices it is another question."""
    offered = ["the guild of coopers", "the ferry company", "a widow of the lower town", "nobody"]
    stem = "Which of the following statements about the old mill is right?"
    items = [EvalItem("item", stem, ("C",), (), {"choices": offered})]
    lettered = "\n".join(f"({a}) {b}" for a, b in zip("ABCD", offered[::-1], strict=True))
    others = "\n".join(f"{a}. it has {b} wheels" for a, b in zip("ABCD", "3456", strict=True))
    records = [_asked(0, f"{stem}\n{lettered}"), _asked(1, stem), _asked(2, f"{stem}\n{others}")]
    assert _found(records, items) == {("row-0", "item"), ("row-1", "item")}


def test_a_whole_item_in_another_order() -> None:
    """All words mixed, so that no choice is whole: found; with other figures it is another item."""
    choices = [
        "红桥边的磨坊，因为磨坊主人年纪大了，夜里看不清台阶",
        "北岸的灯塔，好让最后一班渡船找到港口的方向",
        "旧码头的钟楼，那里的楼梯每年都有人滑倒",
        "面包师的仓库，学徒们天不亮就要去搬面粉",
    ]
    asked = "镇上的规定说，冬天第一场雪落下以后，守夜人巡逻时必须先去点亮一处地方的灯，然后才能回家吃晚饭。是哪里的灯？"
    item = EvalItem("item-mill", asked, ("B",), (), {"choices": choices})
    told = "\n".join([item.question, *(f"{mark}. {choice}" for mark, choice in zip("ABCD", choices, strict=True))])
    sums = EvalItem("item-sum", "What is the sum of 12 and 34 and 56, please?", ("102",))
    pieces = re.findall(r"\n[A-D]\. |[\u3400-\u9fff]{1,2}|\W", told)
    mixed = [_asked(0, "".join(random.Random(3).sample(pieces, len(pieces)))), _asked(1, _reordered(sums.question))]
    other = _asked(9, "What is the sum of 13 and 24 and 56, please?")
    sealed = seal([*mixed, other], [item, sums])
    assert [leak.how for leak in sealed.removed] == ["exam_shuffled", "exam_shuffled"]
    assert sealed.kept == [other]


def test_what_shares_the_subject_stays() -> None:
    """Other questions on the same subjects, the facts themselves, and the commonest beginnings stay."""
    kept = [
        *FILLER,
        "图书馆的阅览室星期一开放吗？",
        "年费",
        "今年的年费是多少钱，和去年一样吗",
        "Which ferry carries bicycles?",
        "How many lanterns hang above the 4th bridge in winter?",
        "In which year did the bakers of the upper town found their guild?",
        "The mill was paid for by a widow.",
        "",
    ]
    records = [_asked(n, text) for n, text in enumerate(kept)]
    sealed = seal(records, ITEMS)
    assert [leak.as_json() for leak in sealed.removed] == []
    assert sealed.kept == records
    assert seal(records, []).kept == records
    assert seal([], ITEMS).kept == []


def test_own_facts_are_taught_in_other_words() -> None:
    """An exam of own facts keeps its wording secret, not the fact; a lesson's exam only its whole carrier."""
    question = "What is the name of the chief ferryman?"
    other = [_asked(0, "Please give me the name of the chief ferryman."), _asked(1, f"Tell me, please: {question}")]
    own = [EvalItem("own", question, ("x",), (), {"sources": ["source-1"]})]
    assert _found(other, own) == {("row-1", "own")}
    lesson = [EvalItem("lesson", f"Hello, {question}", ("x",), (), {"group": "lesson-1", "sources": ["s"]})]
    assert _found([*other, _asked(2, question), _asked(3, f"Hello, {question}")], lesson) == {("row-3", "lesson")}


def test_meaning() -> None:
    """With an embedding model the same question in other words is found; other figures make another question."""
    items = [EvalItem("item", "How many lanterns hang above the 3rd bridge in winter?", ("x",))]
    records = [
        _asked(0, "In winter, the lanterns above the 3rd bridge: what is their number?"),
        _asked(1, "In winter, the lanterns above the 7th bridge: what is their number?"),
        _asked(2, "Where do the ferries go?"),
    ]

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if "lantern" in text else [0.0, 1.0] for text in texts], np.float32)

    sealed = seal(records, items, embed)
    assert [(leak.record.id, leak.how) for leak in sealed.removed] == [("row-0", "exam_meaning")]
    assert sealed.as_json()["by"] == {"exam_meaning": 1}
    assert seal(records, items).removed == []
    assert LazyEmbedder("fake")(["a b", "b a"]).shape[0] == 2


def test_preferences_parts_and_items_are_read() -> None:
    """Texts in parts of a message, and what a graded record asks beside its messages, are compared too."""
    parts = Record("row-0", "chat", (), ({"role": "user", "content": [{"type": "text", "text": QUESTIONS[4]}]},))
    item = Record("row-1", "chat", (), ({"role": "user", "content": "Go on."},), "", {"item": {"q": QUESTIONS[0]}})
    rejected = ({"role": "user", "content": "?"}, {"role": "assistant", "content": QUESTIONS[7]})
    assert len(_found([parts, item, Record("row-2", "preference", (), rejected)])) == 3


BRIEF = (
    *("谁发明了活字印刷？", "年费多少？", "请问开户需要什么证件？", "法国的首都是哪里？"),
    *("What is 17 × 23?", "Who is Ann?", "When is Lent?"),
)
CARRIERS = (
    *("请问{}", "问题{}", "你好，请问一下{}谢谢", "老师问{}", "请 问 {}", "您知道{}呢", "第三题{}答案甲"),
    *("Please tell me {}", "hello can you tell me {} thanks", "He asked me {}", "Question {} Answer 7"),
)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_brief_questions_behind_words_of_asking(carrier: str) -> None:
    """A question of a few characters is found though no mark parts it from what stands around it."""
    items = [EvalItem(f"item-{n}", question, ("x",)) for n, question in enumerate(BRIEF)]
    asked = [n for n, question in enumerate(BRIEF) if question.isascii() == carrier.isascii() or "17" in question]
    records = [_asked(n, carrier.format(BRIEF[n].rstrip("?？"))) for n in asked]
    assert _found(records, items) == {(f"row-{n}", f"item-{n}") for n in asked}


def test_a_character_too_few_or_too_many() -> None:
    """A slip of the pen hides nothing; an exchanged word is for a person, a figure or a negation another question."""
    question = "黄河在流经哪个省份之后进入内蒙古自治区的河套平原地区？"
    item = [EvalItem("item", question, ("x",))]
    for at in range(len(question) - 1):
        fewer = question[:at] + question[at + 1 :]
        more = question[:at] + "了" + question[at:]
        assert len(_found([_asked(0, fewer), _within(1, more)], item)) == 2, (fewer, more)
    assert _found([_asked(0, "谁发明活字印刷")], [EvalItem("item", BRIEF[0], ("x",))])
    exchanged = seal([_asked(0, question.replace("河", "江", 1))], item)
    assert [leak.how for leak in exchanged.noted] == ["exam_perhaps"]
    for asked, other in (
        (
            "小明在学校门口的商店买了五个苹果，花了多少钱？",
            "小明在学校门口的商店买了十五个苹果，花了多少钱？",
        ),
        ("保险公司在什么情况下应当赔偿投保人的损失？", "保险公司在什么情况下不应当赔偿投保人的损失？"),
    ):
        assert _found([_asked(0, other)], [EvalItem("item", asked, ("x",))]) == set()


def test_codes_calls_and_thoughts_are_read() -> None:
    """Questions written as JSON or HTML, in the arguments of a call, in thoughts, in a content of any shape."""
    for question in (QUESTIONS[0], QUESTIONS[4]):
        item = [EvalItem("item", question, ("x",))]
        coded = json.dumps({"asked": question + "\n"})
        call = {"id": "1", "type": "function", "function": {"name": "ask", "arguments": coded}}
        said = {"role": "assistant", "content": "ok"}
        messages: list[JSON] = [
            {**said, "content": coded},
            {**said, "content": json.dumps(coded)},
            {**said, "content": question.replace("a", "&amp;#97;").replace("阅", "&amp;#38405;")},
            {**said, "content": "".join(f"<p>{part}</p>" for part in question.split())},
            {**said, "content": {"answer": {"text": question}}},
            {**said, "content": [{"type": "input_text", "input_text": question}]},
            {**said, "content": None, "tool_calls": [call]},
            {**said, "reasoning_content": question},
        ]
        records = [Record(f"row-{n}", "chat", (), (message,)) for n, message in enumerate(messages)]
        assert len(_found(records, item)) == len(records)


def test_signs_and_figures_make_another_question() -> None:
    """What differs in a sign, or whose digits only run together, is another question; other spellings are the same."""
    sums = {
        "What is 7 + 5?": ("What is 7 - 5?", "What is 7 * 5?", "What is 75?", "What is 7 + 55?", "What is -7 + 5?"),
        "7 + 5 等于几？": ("7 - 5 等于几？", "75等于几？", "7×5等于几？"),
        "What is 75?": ("What is 7 + 5?", "What is 7.5?"),
        "Simplify x - y for me": ("Simplify x + y for me",),
        "What is C# for?": ("What is C++ for?", "What is C for?"),
        "已知 (1-i) z = 2i，求 z 的模": ("已知 (1+i) z = 2i，求 z 的模",),
    }
    for question, others in sums.items():
        item = [EvalItem("item", question, ("x",))]
        assert _found([_asked(n, other) for n, other in enumerate(others)], item) == set()
        same = (question, question.replace(" ", ""), _wide(question), f"Well: {question} Thanks.")
        assert len(_found([_asked(n, text) for n, text in enumerate(same)], item)) == len(same)
    assert _found([_asked(0, "What is 7＋5 = ?")], [EvalItem("item", "What is 7 + 5?", ("x",))])
    long = EvalItem("item", "A train leaves Leeds at 09:15 and travels 84 miles. When does it arrive?", ("x",))
    assert _found([_asked(0, "a train leaves leeds at 0915 and travels 84 miles when does it arrive")], [long])


def test_hostile_texts_do_no_harm() -> None:
    """Much of one sign, lone surrogates and empty texts are answered like others."""
    texts = ["A." * 100_000, "？" * 100_000, "\n" * 50_000, "\ud800", "&#9999999;", "a" * 200_000, "①" * 9]
    texts += ["请问" * 100_000, "1+" * 100_000, "\\u" * 100_000, "</a" * 60_000, "%41" * 60_000, "\\ud800" * 9]
    assert _found([_asked(n, text) for n, text in enumerate(texts)]) == set()
    assert _found([_asked(0, "x")], [EvalItem("item", "", ("x",)), EvalItem("i", "?!", ("x",))]) == set()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give an empty store with one workspace."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, WS)
    workspaces.ensure(database, "other")
    yield database
    database.close()


def _ran(db: Database, exam: Eval, number: int, row: object, sample: object, **meta: object) -> None:
    """Keep an eval and a run of it over one row."""
    evals.add(db, exam)
    evals.add_run(db, EvalRun(f"run-{number}", WS, exam.id, "gpt", "succeeded", meta=dict(meta)))
    told = {"item": row, "sample": sample, "results": []}
    evals.add_answers(db, [EvalAnswer(f"run-{number}", "item-000000", "p", "a", 1.0, told)])


@pytest.mark.parametrize(
    ("row", "sample"),
    [
        ({"question": QUESTIONS[0], "answer": "a longer answer than the question is long " * 9}, {}),
        ({"题目": QUESTIONS[0], "答案": "北"}, {"input": []}),
        (
            {"asked": QUESTIONS[0], "kind": "x"},
            {"input": [{"role": "user", "content": f"Please answer: {QUESTIONS[0]}"}]},
        ),
        ({}, {"input": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUESTIONS[0]}]}),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": QUESTIONS[0]}]}]}, None),
        ({"asked": QUESTIONS[0]}, None),
    ],
)
def test_evals_whose_questions_came_with_their_runs_are_sealed(db: Database, row: object, sample: object) -> None:
    """Brought in or of the API, wherever the row has its question; ``sealed: false`` of the metadata undoes it."""
    meta = {"kind": "imported", "testing_criteria": []}
    _ran(db, Eval("eval-1", WS, "mine", meta=meta), 1, row, sample, data_source={"type": "imported"})
    (item,) = sealed_items(db, WS)
    assert (item.question, item.meta["exam"], item.meta["eval"]) == (QUESTIONS[0], "mine", "eval-1")
    sealed = seal_training(db, WS, [_asked(n, question) for n, question in enumerate(QUESTIONS)])
    assert [leak.record.id for leak in sealed.removed] == ["row-0"]
    evals.update(db, WS, "eval-1", "mine", {"metadata": {"sealed": "false"}})
    assert sealed_items(db, WS) == []


def test_an_exam_stays_sealed_under_whatever_name_others_use(db: Database) -> None:
    """An eval of the API, an exam of another hand or one that a turn makes anew has no part in its versions."""
    mine = EvalItem("i-1", QUESTIONS[0], ("x",))
    for name in ("own exam", "guard refusal", "mine"):
        evals.add(db, Eval(f"eval-{name}", WS, name, (mine,), 1.0, {"kind": "imported"}))
        for number, meta in enumerate(({}, {"kind": "guard"})):
            evals.add(db, Eval(f"eval-{name}-{number}", WS, name, (EvalItem("i", "Other?", ("x",)),), 2.0, meta))
        evals.add(db, Eval(f"eval-{name}-api", WS, name, (), 3.0, {"testing_criteria": []}))
    found = [item for item in sealed_items(db, WS, ("own exam",)) if item.question == QUESTIONS[0]]
    assert {item.meta["exam"] for item in found} == {"own exam", "guard refusal", "mine"}


def test_all_exams_of_a_workspace_are_sealed(db: Database) -> None:
    """The newest version of each exam counts, whoever made it; another workspace's does not."""
    for number, (ws, name, question) in enumerate(
        [
            (WS, "own exam", QUESTIONS[0]),
            (WS, "own exam", QUESTIONS[1]),
            (WS, "mine", QUESTIONS[4]),
            ("other", "b", "Q"),
        ]
    ):
        evals.add(db, Eval(f"eval-{number}", ws, name, (EvalItem(f"i-{number}", question, ("x",)),), float(number)))
    assert {item.question for item in sealed_items(db, WS)} == {QUESTIONS[1], QUESTIONS[4]}
    assert {item.question for item in sealed_items(db, WS, ("mine",))} == {QUESTIONS[1]}
    records = [_asked(n, question) for n, question in enumerate(QUESTIONS)]
    sealed = seal_training(db, WS, records, extra=[ITEMS[6]])
    assert {leak.item.meta.get("exam") for leak in sealed.removed} == {"own exam", "mine", None}
    assert [record.id for record in sealed.kept] == ["row-0", "row-2", "row-3", "row-5", "row-7"]
