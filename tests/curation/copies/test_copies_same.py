"""Exact and near copies: what is found, what is kept, and that batches change nothing."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from feilun.curation.copies.exact import ExactCopies
from feilun.curation.copies.fold import GAP, fold
from feilun.curation.copies.near import NearCopies
from feilun.curation.copies.operators import OPERATORS
from feilun.curation.copies.semantic import SemanticCopies
from feilun.curation.seam import Compare, Row, Ruling, Surroundings

HAN = "山川湖海春夏秋冬东南西北前后左右早晚高低远近大小多少新旧快慢轻重冷热干湿开关进出上下来去买卖问答读写听说行走坐立"


def row(number: int, *texts: str, roles: Sequence[str] = ("text",)) -> Row:
    """Return a row."""
    return Row(f"row-{number:08x}", "source", "notes.jsonl", f"line {number}", tuple(roles), texts)


def dropped(operator: Compare, rows: Sequence[Row], batch: int = 3) -> dict[int, str]:
    """Return the numbers of dropped rows, and the id of the row that each yields to."""
    parts = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    sketches = [pickle.loads(pickle.dumps(operator.sketch(part))) for part in parts]
    decided = pickle.loads(pickle.dumps(operator.decide(sketches)))
    found: dict[int, str] = {}
    for start, part in zip(range(0, len(rows), batch), parts, strict=True):
        for place, rulings in enumerate(operator.apply(part, decided)):
            for ruling in rulings:
                assert isinstance(ruling, Ruling)
                if ruling.action == "drop":
                    found[start + place] = ruling.note.detail.split()[0]
    return found


def page(rng: random.Random, chinese: bool, sentences: int) -> list[str]:
    """Return sentences of words drawn at random."""
    if chinese:
        return ["".join(rng.choices(HAN, k=rng.randint(10, 24))) + "。" for _ in range(sentences)]
    words = ["".join(rng.choices("aeioubcdfglmnprst", k=rng.randint(2, 8))) for _ in range(400)]
    return [" ".join(rng.choices(words, k=rng.randint(6, 14))).capitalize() + ". " for _ in range(sentences)]


def mistyped(rng: random.Random, text: str, times: int) -> str:
    """Return a text with letters exchanged."""
    chars = list(text)
    for _ in range(times):
        chars[rng.randrange(len(chars))] = rng.choice("xq錯误")
    return "".join(chars)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Hello, World!", "ＨＥＬＬＯ  world", True),
        ("今天 天气，很好。", "今天天气很好", True),
        ("café", "cafe\u0301", True),
        ("now here", "nowhere", False),
        ("1.5 kg", "15 kg", False),
        ("it is -5 degrees", "it is 5 degrees", False),
        ("a + b", "a = b", False),
        ("good 👍", "good 👎", False),
        ("!!!", "???", False),
        ("體育", "体育", False),
        ("\ud800 x", "x", True),
        ("हिन्दी", "हन्द", False),
        ("温度设定为-5度", "温度设定为5度", False),
        ("The balance is -$5.00", "The balance is $5.00", False),
        ("费率为.5%", "费率为5%", False),
        ("blood group O-", "blood group O", False),
        ("written in C#", "written in C", False),
        ("x!=5", "x=5", False),
        ("10⁵ cells", "105 cells", False),
        ("é, 10⁵ cells", "é, 105 cells", False),
        ("é, 10⁵ cells", "é, 10⁵ cells", True),
        ("2^3", "2 3", False),
        ("★★★☆☆", "★★★★★", False),
        ("✗ harbour ✓ valley", "✓ harbour ✗ valley", False),
        ("■是 □否", "□是 ■否", False),
        ("turn by 10°", "turn by 10", False),
        ("a well-known co-operative", "a well known co operative", True),
        ("• one - two", "one, two", True),
    ],
)
def test_what_is_the_same(one: str, other: str, same: bool) -> None:
    """Blanks, marks, case and width do not count; signs that change what is said do."""
    assert bool(dropped(ExactCopies(), [row(1, one), row(2, other)])) is same


def test_a_text_does_not_lend_its_signs_to_the_next() -> None:
    """Texts are folded together: what stands at the end of one is not before what begins the next."""
    alone = [fold([text]).chars.tolist() for text in ("grade A", "-5", "5")]
    folded = fold(["grade A", "-5", "5"])
    bounds = folded.bounds.tolist()
    together = [folded.chars[a:b].tolist() for a, b in pairwise(bounds)]
    assert together == alone
    assert alone[1] != alone[2]


def test_scripts_can_count_as_one() -> None:
    """Traditional and Simplified Chinese are the same where that is asked for."""
    assert dropped(ExactCopies(scripts=True), [row(1, "體育館開門"), row(2, "体育馆开门")]) == {1: "row-00000001"}


def test_folded_words_keep_their_gaps() -> None:
    """A word after a word says so; Han characters never do; texts do not run into each other."""
    folded = fold(["ab cd", "中 文", "", "ef"])
    assert folded.bounds.tolist() == [0, 4, 6, 6, 8]
    assert np.flatnonzero(folded.chars & GAP).tolist() == [2]


def test_roles_and_labels_count() -> None:
    """The same text with another label is a contradiction, not a copy; a swapped preference as well."""
    labelled = [
        row(1, "very nice", "good", roles=("text", "label")),
        row(2, "very nice", "bad", roles=("text", "label")),
    ]
    long = [
        "the old bridge was closed for repairs until the spring",
        "nobody knows why the ferry left before noon today",
    ]
    roles = ("prompt", "chosen", "rejected")
    swapped = [row(1, "why?", *long, roles=roles), row(2, "why?", *long[::-1], roles=roles)]
    for operator in (ExactCopies(), NearCopies()):
        assert dropped(operator, labelled) == {}
        assert dropped(operator, swapped) == {}


def test_the_first_stays_and_is_named() -> None:
    """Of many copies the first row stays, in whatever batches they come."""
    rows = [row(n, text) for n, text in enumerate(["one thing", "Other", "one  thing!", "ONE THING", "other", "last"])]
    for batch in (1, 2, 6):
        assert dropped(ExactCopies(), rows, batch) == {2: "row-00000000", 3: "row-00000000", 4: "row-00000001"}


@pytest.mark.parametrize("chinese", [False, True])
def test_near_copies_are_found_and_others_kept(chinese: bool) -> None:
    """Typing errors, moved, added and left-out sentences are near; pages that share a half or a subject are not."""
    rng = random.Random(5)
    rows: list[Row] = []
    copies: dict[int, str] = {}
    for number in range(60):
        sentences = page(rng, chinese, 14)
        text = "".join(sentences)
        first = len(rows)
        moved = sentences[5:] + sentences[:5]
        fewer = sentences[:6] + sentences[8:]
        more = [*page(rng, chinese, 1), *sentences, *page(rng, chinese, 1)]
        half = sentences[:7] + page(rng, chinese, 7)
        versions = [text, mistyped(rng, text, len(text) // 80), "".join(moved), "".join(fewer), "".join(more)]
        rows += [row(first + place, version) for place, version in enumerate([*versions, "".join(half)])]
        copies |= {first + place: f"row-{first:08x}" for place in range(1, 5)}
        assert len(rows) == 6 * (number + 1)
    found = dropped(NearCopies(), rows, 25)
    assert len(found.keys() & copies.keys()) >= 0.99 * len(copies)
    assert {number: kept for number, kept in found.items() if copies.get(number) != kept} == {}
    order = list(range(len(rows)))
    rng.shuffle(order)
    shuffled = dropped(NearCopies(), [rows[number] for number in order], 7)
    assert len(shuffled) >= 0.99 * len(copies)


LOAN = (
    "For this loan the bank asks for a yearly rate of 3.9 percent over at most 36 months. The customer brings a "
    "passport and proof of income to any branch, where an officer checks the papers and answers within two working "
    "days. Early repayment is possible at any time, and nobody pays a penalty for it. The first instalment is due in "
    "the next month."
)
PAPERS = (
    "办理贷款需携带本人有效身份证件和收入证明到网点左侧柜台填写申请表，年利率为3.9%，可以提前还款，逾期按日计收罚息。"
)


@pytest.mark.parametrize(
    ("text", "old", "new", "same"),
    [
        (LOAN, "3.9", "9.3", False),
        (LOAN, "36", "48", False),
        (LOAN, "is possible", "is not possible", False),
        (LOAN, "is possible", "isn't possible", False),
        (LOAN, "passport", "pasport", True),
        (LOAN, "The customer", "Knot The customer", True),
        (LOAN, "The first", "Ask us for the 12 other offers, none of which costs more. The first", True),
        (PAPERS, "3.9", "9.3", False),
        (PAPERS, "可以提前", "不可以提前", False),
        (PAPERS, "左侧", "右侧", False),
        (PAPERS, "填写申请表", "填写申请表格", True),
    ],
)
def test_what_decides_tells_texts_apart(text: str, old: str, new: str, same: bool) -> None:
    """A figure, a denial, the other side: two facts, however alike; a slip, or a sentence more, is the same fact."""
    assert old in text
    rows = [
        row(number, "How?", each, roles=("user", "assistant"))
        for number, each in enumerate((text, text.replace(old, new)))
    ]
    assert bool(dropped(NearCopies(0.8), rows)) is same


def test_batches_change_nothing() -> None:
    """Sketches of other batches lead to the same decision."""
    rng = random.Random(2)
    texts = ["".join(page(rng, n % 2 == 0, 6)) for n in range(30)]
    rows = [row(n, mistyped(rng, text, 2)) for n, text in enumerate([*texts, *texts[::-1]])]
    found = dropped(NearCopies(), rows, 60)
    assert len(found) >= 28
    assert dropped(NearCopies(), rows, 1) == dropped(NearCopies(), rows, 17) == found


def test_short_rows_with_other_figures_stay() -> None:
    """In short rows another figure is another fact; in brief answers another word is."""
    rows = [row(n, f"The meeting room on floor {n} seats twelve people and has a screen") for n in range(1, 6)]
    assert dropped(NearCopies(), rows) == {}
    asked = "Is the reading room of the town library open to visitors on the first Sunday of every month?"
    chats = [row(n, asked, answer, roles=("user", "assistant")) for n, answer in enumerate(["Yes.", "No.", "Yes"])]
    assert dropped(NearCopies(), chats) == {2: "row-00000000"}


def test_many_copies_of_one_row() -> None:
    """A row that stands there a thousand times stays once, and does not keep others from being found."""
    rng = random.Random(9)
    text, other = "".join(page(rng, False, 8)), "".join(page(rng, True, 8))
    rows = [row(n, text + f" {'x' * (n % 3)}") for n in range(1000)]
    rows += [row(1000, other), row(1001, mistyped(rng, other, 2))]
    found = dropped(NearCopies(), rows, 100)
    assert sorted(found) == [*range(1, 1000), 1001]


@pytest.mark.parametrize("operator", [ExactCopies(), NearCopies()])
def test_odd_texts(operator: Compare) -> None:
    """Nothing breaks at empty rows, surrogates, emoji, right-to-left and a megabyte of one letter."""
    odd = ["", " ", "\ud800", "\U0001f600", "שלום עולם", "\u202eabc", "a", "中", "\x00", "🇩🇪" * 3, "ﷺ" * 50]
    rows = [row(n, text) for n, text in enumerate(odd)] + [
        row(90, "a" * 1_000_000),
        row(91, "ab " * 300_000),
        row(92, roles=()),
    ]
    found = dropped(operator, rows)
    assert not {len(odd), len(odd) + 1} & found.keys()
    assert operator.decide([]) is not None
    assert dropped(operator, []) == {}


def _vectors(texts: Sequence[str]) -> np.ndarray:
    """Return unit vectors by the words of texts, whatever their order."""
    found = np.zeros((len(texts), 64), np.float32)
    for number, text in enumerate(texts):
        for word in text.lower().split():
            found[number, sum(word.encode()) % 64] += 1
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_copies_by_meaning() -> None:
    """Rows with nearly the same vector are copies; without a model each row is told that nobody looked."""
    rows = [row(1, "the shop opens at nine"), row(2, "at nine opens the shop"), row(3, "bring a coat")]
    assert dropped(SemanticCopies(_vectors), rows) == {1: "row-00000001"}
    blind = SemanticCopies(None)
    told = blind.apply(rows, blind.decide([blind.sketch(rows)]))
    assert [[ruling.note.reason for ruling in each if isinstance(ruling, Ruling)] for each in told] == [
        ["no_embedding"]
    ] * 3


def test_operators_are_whole() -> None:
    """Every operator makes its worker from its defaults, and says all in both languages."""
    assert [operator.name for operator in OPERATORS] == [
        "exact_copies",
        "near_copies",
        "semantic_copies",
        "old_versions",
        "decontaminate",
    ]
    for operator in OPERATORS:
        operator.make(Surroundings(), **{name: each.default for name, each in operator.parameters.items()})
        words = [operator.about, *operator.reasons.values(), *(each.help for each in operator.parameters.values())]
        assert all(english.isascii() and not chinese.isascii() for english, chinese in words)
