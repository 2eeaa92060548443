"""Sensitive terms: found in disguise, explained, weighed by what stands around, and never silently dropped."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.quality.figures.folding import fold
from feilun.curation.quality.figures.matching import Matcher, Sieve, words_of
from feilun.curation.quality.sensitive import CATEGORIES, SENSITIVE
from feilun.curation.seam import Row, Ruling, Surroundings

COLD = Path(__file__).parents[4] / "shared" / "data" / "coldataset" / "COLDataset" / "dev.csv"


def judged(*texts: str, terms: tuple[str, ...] = (), action: str = "flag") -> list[list[Ruling]]:
    """Return what the operator says of texts."""
    operator = SENSITIVE.make(Surroundings(terms=terms), action=action, lowest=0.5, categories=())
    rows = [Row(f"r{n}", "s", "f", "", ("text",), (text,)) for n, text in enumerate(texts)]
    return [list(found) for found in operator.judge(rows)]


def reasons(text: str, *terms: str) -> list[str]:
    """Return the categories that are flagged."""
    return [ruling.note.reason for ruling in judged(text, terms=terms)[0]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("你这个傻逼，什么都不懂", "insult"),
        ("you are an idiot and an asshole", "insult"),
        ("那帮黑鬼又来了", "hate"),
        ("河南人没有一个好东西，都是骗子", "hate"),
        ("all immigrants are vermin and they should die", "hate"),
        ("真人荷官在线发牌，首存送彩金", "gambling"),
        ("best online casino, free spins today", "gambling"),
        ("低价出售冰毒，可代购大麻", "drugs"),
        ("buy cocaine with fast shipping", "drugs"),
        ("我要杀了你全家", "violence"),
        ("高清无码片，约炮加微信", "sexual"),
        ("代开发票，办假证", "fraud"),
        ("我真的不想活了", "self_harm"),
    ],
)
def test_each_category_is_found(text: str, reason: str) -> None:
    """Plain cases of every category, in both languages."""
    assert reason in reasons(text)


@pytest.mark.parametrize(
    "text",
    [
        "你这个傻*逼",
        "你这个傻 逼",
        "你这个傻\u200b逼",
        "你这个賤人",
        "you are an i d i o t, a$$hole",
        "ＡＳＳＨＯＬＥ",
        "аsshоle",
    ],
)
def test_disguises_are_taken_off(text: str) -> None:
    """Gaps, stars, invisible characters, traditional writing, full width, digits and other alphabets hide nothing."""
    assert reasons(text) == ["insult"]


def test_the_ruling_explains_itself() -> None:
    """The detail names the category in both languages, the term, and the original words around, disguise and all."""
    ((ruling,),) = judged("昨天有人骂他是个大大的傻*逼然后就走了")[:1]
    assert "insults / 辱骂: 傻逼" in ruling.note.detail
    assert "[傻*逼]然后" in ruling.note.detail


@pytest.mark.parametrize(
    "text",
    [
        "被告人贩卖冰毒，法院依照刑法判处有期徒刑三年。",
        "海洛因依赖患者的药物治疗应当由医生指导。",
        "请不要用“傻逼”这样的话骂人，尊重他人。",
        "The court convicted him of selling cocaine under the criminal code.",
        "The clinical study describes treatment after an overdose of heroin.",
        "The Class Assassin is a classic novel of Scunthorpe; Essex and Sussex are counties.",
        "他在上海大众工作，骑自行车上班。",
        "The assembly passed the assessment of cocktail glasses.",
        "",
    ],
)
def test_sober_texts_are_left_alone(text: str) -> None:
    """Law, medicine, protest, and words that only hold a term within them, are not flagged."""
    assert reasons(text) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("我们医院的保安是个傻逼，滚蛋吧", "insult"),
        ("患者家属骂护士婊子", "insult"),
        ("法院判了，你这个傻逼", "insult"),
        ("My doctor is an asshole", "insult"),
        ("医院门口出售冰毒，加微信", "drugs"),
        ("请到医院，想自杀怎么死最快", "self_harm"),
    ],
)
def test_a_hospital_excuses_nothing(text: str, reason: str) -> None:
    """Insults, sales of drugs and somebody's own despair are flagged whatever house is named."""
    assert reason in reasons(text)


@pytest.mark.parametrize(
    "text",
    [
        "法院依法对贩卖毒品罪判处被告人有期徒刑。",
        "被告人向他人出售冰毒，法院依法判处有期徒刑七年。",
        "警方破获一起出售大麻案。",
        "患者自杀风险评估量表由医生填写。",
        "患者自述想自杀，已转精神科。",
    ],
)
def test_records_of_medicine_and_law_are_left_alone(text: str) -> None:
    """What a court or a doctor writes of such things is not flagged."""
    assert reasons(text) == []


def test_terms_of_the_workspace_are_found() -> None:
    """The workspace's own terms flag alone, folded like everything else, and only as whole words in Latin writing."""
    assert reasons("我们的项目 猎 鹰 明年上市", "猎鹰") == ["workspace"]
    assert reasons("PROJECT FALCON starts", "project falcon") == ["workspace"]
    assert reasons("mgltk 一下", "mgltk") == ["workspace"]
    assert reasons("falconry is a sport", "falcon") == []
    assert reasons("anything", "", " ") == []


def test_nothing_is_dropped_unless_asked_for() -> None:
    """The default flags; ``drop`` drops, ``note`` notes."""
    assert [judged("傻逼", action=action)[0][0].action for action in ("flag", "drop", "note")] == [
        "flag",
        "drop",
        "note",
    ]
    assert SENSITIVE.parameters["action"].default == "flag"
    assert set(CATEGORIES) == set(SENSITIVE.reasons)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=120))
def test_folding_knows_where_everything_stood(text: str) -> None:
    """Each folded character has a place in the text, in order; folding twice changes no more."""
    folded = fold(text)
    assert len(folded.text) == len(folded.places)
    assert all(0 <= place < len(text) for place in folded.places)
    assert (folded.places[1:] > folded.places[:-1]).all()


@pytest.mark.parametrize("unit", ["a ", "傻 ", "a.", "*", "傻", "黑人", "1a", "黑人a", "s1"])
def test_a_long_text_of_one_pattern_comes_to_an_end(unit: str) -> None:
    """No pattern makes the search slow (the suite's time limit is the judge)."""
    assert len(judged(unit * (400_000 // len(unit)))) == 1


@pytest.mark.skipif(not COLD.is_file(), reason="the public Chinese comments are not beside the project")
def test_comments_that_people_called_offensive() -> None:
    """On public comments most of what is flagged was called offensive by people; more than a quarter is found."""
    with COLD.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))[:2_000]
    flags = [bool(found) for found in judged(*(row["TEXT"] for row in rows))]
    right = sum(flag and row["label"] == "1" for flag, row in zip(flags, rows, strict=True))
    assert right / sum(flags) >= 0.82
    assert right / sum(row["label"] == "1" for row in rows) >= 0.25


def test_the_sieve_misses_nothing_that_the_matcher_finds() -> None:
    """Rows are judged only where the sieve tells of terms: it must tell of every find, at its place."""
    terms = ["傻", "赌场", "赌场老板", "sb", "meth", "go to hell", "k粉", "é"]
    matcher, sieve = Matcher(terms), Sieve(terms)
    draw = random.Random(4)
    pieces = [*terms, "傻a", "method", "xsb", "sb2", "go to hello", "赌", "场", " ", "\0", "\U0001f600", "\ud83d", "。"]
    finds = 0
    for _ in range(400):
        text = "".join(draw.choices(pieces, k=draw.randint(0, 12)))
        told = sieve.find(text)
        for found in matcher.find(text, words_of(text)):
            assert (found.start(), found[0]) in told, text
            finds += 1
    assert finds > 300


def test_a_row_is_judged_alike_alone_and_among_others() -> None:
    """Rows are folded together, and most are sifted out: neither may change what is said of a row."""
    texts = [
        "傻 逼 一个",
        "清净的早晨。" * 30,
        "a.s.s.h.o.l.e you",
        "",
        "我去赌场下注",
        "nothing here at all",
        "女 人都是垃圾",
    ]
    alone = [judged(text)[0] for text in texts]
    assert judged(*texts) == alone
    assert [bool(each) for each in alone] == [True, False, True, False, True, False, True]
