"""Exams in rows: found however they are hidden; what only reads like an exam stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from opencc import OpenCC

from feilun.curation.copies.contamination import Decontaminate
from feilun.curation.seam import Row

QUESTION = "图书馆的阅览室在每个月的第一个星期日几点向本镇居民开放，闭馆之前最后入场的时间是什么时候？"
CHOICES = ("上午九点开放，下午四点停止入场", "上午八点开放，下午三点停止入场", "中午开放，晚上停止入场", "全天不开放")
ENGLISH = "Which of the two ferries that leave the northern harbour before noon carries bicycles without a ticket?"
PASSAGE = (
    "The mill by the river was built in the year of the great flood and has been rebuilt twice since then. "
    "Its wheel came from a shipyard on the coast, its stones from a quarry that nobody remembers. "
)
BRIEF = "谁建了桥？"
MARKED = [f"{letter}. {choice}" for letter, choice in zip("ABCD", CHOICES, strict=True)]
ITEM = "\n".join([QUESTION, *MARKED])
EXAMS = (ITEM, ENGLISH, PASSAGE + "Who paid for it?", BRIEF)
AROUND = "以下内容来自培训部门的练习资料，请各位同事在周末之前看完并且交回自己的答案。"


def rulings(texts: Sequence[str], exams: Sequence[str] = EXAMS) -> list[str]:
    """Return action and reason for each text, joined; nothing for rows that stay."""
    rows = [Row(f"row-{n}", "s", "n", "", ("text",), (text,)) for n, text in enumerate(texts)]
    found = Decontaminate(exams).judge(rows)
    return [f"{each[0].action} {each[0].note.reason}" if each else "" for each in found]


@pytest.mark.parametrize(
    ("hidden", "reason"),
    [
        (ITEM, "exam_item"),
        (AROUND + ITEM + AROUND, "exam_contained"),
        (OpenCC("s2t").convert(ITEM), "exam_item"),
        ("".join(ITEM.split()), "exam_item"),
        (" ".join(ITEM), "exam_item"),
        ("\n".join([QUESTION, *(f"{a}、{b}" for a, b in zip("ABCD", CHOICES[::-1], strict=True))]), "exam_"),
        (QUESTION, "exam_item"),
        (ENGLISH.upper(), "exam_item"),
        (ENGLISH.replace(" ", ""), "exam_item"),
        (f"Note: {ENGLISH} Answer: the second.", "exam_contained"),
        (PASSAGE[20:170], "exam_part"),
        (f"第一题\n{BRIEF}\n答案：村民", "exam_item"),
    ],
)
def test_hidden_items_are_found(hidden: str, reason: str) -> None:
    """Verbatim, inside other text, in another script, without blanks, with choices reordered, in part, in a list."""
    assert rulings([hidden])[0].startswith(f"drop {reason}")


def test_reordered_short_choices() -> None:
    """Choices too short to tell are still the same question when reordered, and another question when exchanged."""
    item = "2加2等于几？\nA. 三\nB. 四\nC. 五\nD. 六"
    assert rulings(["2加2等于几？ (A) 六 (B) 五 (C) 三 (D) 四"], [item]) == ["drop exam_options"]
    assert rulings(["3加2等于几？ (A) 六 (B) 五 (C) 三 (D) 四"], [item]) == [""]


def test_other_rows_stay() -> None:
    """Texts on the same subject, with the item's common words, or a brief item within a sentence, stay."""
    asked = [f"下列关于{topic}的说法，正确的是哪一项？" for topic in ("河流", "桥梁", "阅览室", "渡船", "风车")]
    kept = [
        "阅览室向居民开放，周末人很多，第一个星期日有讲座，晚上停止借书。",
        "The ferries leave the harbour at noon. Bicycles need a ticket, dogs do not.",
        "没有人知道谁建了桥？老人们说法不一。",
        "下列关于天气的说法，正确的是哪一项？",
        "",
        "？？",
    ]
    assert rulings(kept, [*EXAMS, *asked]) == [""] * len(kept)
    assert rulings(["anything"], []) == [""]
    assert rulings(["anything"], ["", " "]) == [""]


def test_common_words_of_a_long_text_do_not_add_up() -> None:
    """A long text that has all parts of an item somewhere does not contain it."""
    parts = [QUESTION[start : start + 9] for start in range(0, len(QUESTION), 4)]
    spread = "".join(part + f"别的内容第{n}段写着完全不同的事情，" * 6 for n, part in enumerate(parts))
    assert rulings([spread], [QUESTION]) == [""]
    assert rulings([spread + QUESTION + spread], [QUESTION]) == ["drop exam_contained"]


def test_half_an_item_is_for_a_person() -> None:
    """A row with a good half of an item is flagged, and names it."""
    half = PASSAGE[:110]
    item = (
        half + "Farmers from the hills brought their grain on carts each autumn, and paid the miller with a tenth part."
    )
    row = Row("row-1", "s", "n", "", ("user", "assistant"), (AROUND + half + AROUND * 9, "yes"))
    (ruling,) = Decontaminate([item]).judge([row])[0]
    assert (ruling.action, ruling.note.reason) == ("flag", "exam_perhaps")
    assert ruling.note.detail.startswith("The mill by the river")


def test_another_figure_is_for_a_person() -> None:
    """What is asked of another plan or year is another question: it is flagged, or stays as it is."""
    items = [
        "What does plan 3 cost each month for members of the northern region?",
        "2023年第3档会员每月的费用是多少元？",
    ]
    asked = [items[0].replace("3", "4"), items[1].replace("2023", "2024"), items[1].replace("3档", "5档")]
    assert rulings(asked, items) == ["flag exam_perhaps", "", ""]
    held = [f"Please say: {items[0].lower()} It costs 40.", f"请问{items[1]}答：40元。", items[1].replace("3", "３")]
    assert [each.split(" ")[0] for each in rulings(held, items)] == ["drop"] * 3


def test_meaning_is_compared_where_a_model_is_given() -> None:
    """A paraphrase is flagged by its vector."""

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if "bicycle" in text.lower() else [0.0, 1.0] for text in texts], np.float32)

    rows = [
        Row(f"row-{n}", "s", "n", "", ("text",), (text,)) for n, text in enumerate(["Free bicycle boats", "Tea time"])
    ]
    found = Decontaminate([ENGLISH], embed=embed).judge(rows)
    assert [[(r.action, r.note.reason) for r in each] for each in found] == [[("flag", "exam_meaning")], []]


def test_adversarial_texts_do_no_harm() -> None:
    """A megabyte of marks of choices, or of one character, is answered like others."""
    assert rulings(["A." * 500_000, "①" * 300_000, "\n" * 300_000, "\ud800", "1)" * 1500, BRIEF * 100_000]) == [""] * 6
