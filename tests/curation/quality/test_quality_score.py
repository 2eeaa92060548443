"""The quality score: debris goes, whatever people write stays, and the work is linear."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.quality.score import QUALITY, SIGNALS
from feilun.curation.seam import Row, Ruling, Surroundings

_LETTERS = random.Random(7)
_MASH = " ".join("".join(_LETTERS.choices("bcdfghjklmnpqrstvwxz", k=6)) for _ in range(40))
_HAN = "".join(chr(_LETTERS.randrange(0x4E00, 0x9F00)) for _ in range(300))

DEBRIS = {
    "repeated": "限时抢购，点击领取优惠券！" * 30,
    "repeated_en": "Click here to claim your prize! " * 30,
    "symbols": "@@@ ### %%% &&& ~~~ @@## %%&& ~~@@ ### &&& @@@ ~~~ %%% ### @@@ &&& ~~~",
    "junk": "本月的报表\ufffd\ufffd\ufffd已经\ufffd\ufffd发送，请\ufffd\ufffd\ufffd查收。",
    "run": "哈" * 80,
    "random_han": _HAN,
    "mash": _MASH,
    "menu": "Home\nAbout\nProducts\nServices\nBlog\nCareers\nContact\nLogin\nRegister\nHelp\nSearch\nCart",
    "teasers": "\n".join(f"The council met again on item {number}..." for number in range(12)),
    "digits": " ".join(str(number * 7919) for number in range(120)),
    "blob": "".join(_LETTERS.choices(string.ascii_letters + string.digits, k=600)),
}
GOOD = {
    "yes": "Yes.",
    "ok": "好的",
    "number": "42",
    "price": "¥1,299.00",
    "phone": "021-5555 8888",
    "cheer": "👍👍",
    "poem": "推窗见远山\n云在山腰闲\n问云何处去\n一笑过前川",
    "verse": "The kettle sings,\nthe window weeps,\na moth has wings,\nthe city sleeps.",
    "python": "def area(r):\n    if r < 0:\n        raise ValueError(r)\n    return 3.14159 * r * r\n\nprint(area(2))",
    "javascript": "const add = (a, b) => {\n  return a + b;\n};\nconsole.log(add(1, 2));",
    "sql": "SELECT name, SUM(price) FROM orders JOIN items ON orders.id = items.order_id GROUP BY name;",
    "table": "|月份|销售额|成本|\n|---|---|---|\n|1|100|80|\n|2|120|90|\n|3|130|95|\n|4|99|70|",
    "csv": "date,open,close\n2024-01-02,10.5,10.7\n2024-01-03,10.7,10.2\n2024-01-04,10.2,10.9\n2024-01-05,11,12",
    "json": '{"id": 7, "tags": ["a", "b"], "size": {"w": 10, "h": 20}}',
    "steps": "1. 打开设置\n2. 点击账户\n3. 选择退款\n4. 提交申请\n5. 等待审核",
    "bullets": "\n".join(f"- part number {number} of the order" for number in range(15)),
    "formula": "由 $a^2+b^2=c^2$ 得 $c=\\sqrt{a^2+b^2}$，代入 $a=3$，$b=4$，故 $c=5$。",
    "address": "https://example.org/guides/how-to-return-a-parcel-in-five-easy-steps-for-beginners?lang=en",
    "classical": "山中有木，木下有泉。泉声不绝，鸟语相传。樵者日来，渔者夜还。人各有事，心无所牵。",
    "german": (
        "Der Vertrag beginnt am ersten Tag des Monats und endet nach zwölf Monaten, wenn keine der Parteien ihn "
        "verlängert. Die Kündigung muss schriftlich erfolgen und spätestens drei Monate vor Ablauf zugehen. Bei Verzug "
        "sind Zinsen in gesetzlicher Höhe zu zahlen. Nebenabreden wurden nicht getroffen."
    ),
    "russian": "Договор вступает в силу с момента подписания и действует до конца года, если стороны не решат иначе.",
    "arabic": "يبدأ العقد من تاريخ التوقيع ويستمر لمدة سنة واحدة ما لم يتفق الطرفان على غير ذلك كتابة.",
    "japanese": "この契約は署名の日から有効となり、一年間継続します。更新する場合は書面で通知してください。",
    "clause": "".join(
        f"第{n}条 仓库应当在每月{n}日前向财务部提交盘点表，逾期的由负责人说明原因。" for n in range(1, 25)
    ),
}


def row(text: str, number: int = 0, role: str = "text") -> Row:
    """Return a row of one text."""
    return Row(f"row-{number}", "source-1", "file.txt", "line 1", (role,), (text,))


def judged(*texts: str, scores: bool = False) -> list[list[Ruling]]:
    """Return what the operator with its defaults says of texts."""
    operator = QUALITY.make(Surroundings(), lowest=0.35, action="drop", scores=scores)
    return [list(found) for found in operator.judge([row(text, number) for number, text in enumerate(texts)])]


@pytest.mark.parametrize("name", DEBRIS)
def test_debris_is_dropped_with_the_figure_that_sank_it(name: str) -> None:
    """Each kind of debris goes, and the note names a known figure in both languages."""
    (found,) = judged(DEBRIS[name])
    assert [ruling.action for ruling in found] == ["drop"]
    signal = found[0].note.detail.split()[0]
    assert SIGNALS[signal][0] in found[0].note.detail
    assert SIGNALS[signal][1] in found[0].note.detail
    assert found[0].meta["quality"] == found[0].score < 0.35


@pytest.mark.parametrize("name", GOOD)
def test_what_people_write_stays(name: str) -> None:
    """Short answers, poems, programs, tables, formulas, lists and other languages are not dropped."""
    assert judged(GOOD[name]) == [[]]


def test_every_score_is_noted_if_asked_for() -> None:
    """With ``scores`` each text that says something has one, between 0 and 1; an empty text has none."""
    found = judged(*GOOD.values(), "", " \n\t", scores=True)
    assert all(0.0 <= rulings[0].score <= 1.0 for rulings in found[:-2])
    assert found[-2:] == [[], []]


def test_the_row_beside_a_text_does_not_matter() -> None:
    """Alone, together and in another order texts get the same rulings."""
    texts = [*DEBRIS.values(), *GOOD.values(), "", "\ud800 broken", "a\u2028b"]
    together = judged(*texts, scores=True)
    assert together == [judged(text, scores=True)[0] for text in texts]
    assert together[::-1] == judged(*texts[::-1], scores=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=200), max_size=6), st.integers(0, 6))
def test_any_text_is_judged_in_any_batch(texts: list[str], cut: int) -> None:
    """Whatever the characters are, there is an answer for each row, and batches change nothing."""
    whole = judged(*texts, scores=True)
    assert len(whole) == len(texts)
    assert whole == judged(*texts[:cut], scores=True) + judged(*texts[cut:], scores=True)


@pytest.mark.parametrize("unit", ["a", "的", " ", "\n", "|", "- \n", "ab ", "\U0001f600", "。", "x" * 99 + "\n"])
def test_a_megabyte_of_anything_is_judged(unit: str) -> None:
    """Long texts of one pattern come to an end (the suite's time limit is the judge)."""
    assert len(judged(unit * (1_000_000 // len(unit)))) == 1


def test_rows_below_may_be_flagged_instead() -> None:
    """With ``flag`` nothing is dropped."""
    operator = QUALITY.make(Surroundings(), lowest=0.35, action="flag", scores=False)
    (found,) = operator.judge([row(DEBRIS["repeated"])])
    assert [ruling.action for ruling in found] == ["flag"]


def test_each_turn_is_judged_by_itself() -> None:
    """A sound question does not save an answer that is debris; what was rejected may be bad."""
    asked = "请问退款需要几天到账？订单是上周二在你们店里用银行卡支付的。"
    operator = QUALITY.make(Surroundings(), lowest=0.35, action="drop", scores=False)
    texts = [(asked, DEBRIS["repeated"]), (asked, "三天。")]
    rows = [Row(str(n), "s", "f", "", ("user", "assistant"), both) for n, both in enumerate(texts)]
    rows.append(Row("p", "s", "f", "", ("prompt", "chosen", "rejected"), (asked, "三天。", DEBRIS["repeated"])))
    assert [len(found) for found in operator.judge(rows)] == [1, 0, 0]
