"""Personal data is found: structured kinds, disguises, lookalikes, presidio's English; one text at a time or many."""

from __future__ import annotations

import pytest
from bench.personal import english, families
from bench.personal.compare import OTHERS, chinese
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.personal import KINDS, Finder

ALL = Finder(frozenset(KINDS), 0.0)
MIXED = st.text(alphabet="1234567890 -.@:王李张省市路号电话a AbJohn京\u200b１一\0\n", max_size=80)


def found(text: str) -> list[tuple[str, str]]:
    """Return kinds and values that the finder finds with its defaults."""
    return [(span.kind, text[span.start : span.end]) for span in Finder().find(text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("身份证１１０１０５１９４９１２３１００２Ｘ。", "RESIDENT_ID", "１１０１０５１９４９１２３１００２Ｘ"),
        ("打一三八零零一三八零零零给我", "PHONE", "一三八零零一三八零零零"),
        ("电话1\u200b3\u200b800138000", "PHONE", "1\u200b3\u200b800138000"),
        ("手机 1 3 8 0 0 1 3 8 0 0 0", "PHONE", "1 3 8 0 0 1 3 8 0 0 0"),
        ("座机（0591）67889880", "PHONE", "（0591）67889880"),
        ("卡号 4111 1111 1111 1111 12/27", "CARD", "4111 1111 1111 1111"),
        ("车牌京A·12345停在门口", "PLATE", "京A·12345"),
        ("新能源粤BD12345", "PLATE", "粤BD12345"),
        ("护照号E12345678", "PASSPORT", "E12345678"),
        ("香港身份证 A123456(3)", "REGION_ID", "A123456(3)"),
        ("税号91110000802100433B", "CREDIT_CODE", "91110000802100433B"),
        ("fe80::1ff:fe23:4567:890a is up", "IP", "fe80::1ff:fe23:4567:890a"),
        ("MAC 00:1B:44:11:3A:B7", "MAC", "00:1B:44:11:3A:B7"),
        ("password=Hx72!kdk9;", "SECRET", "Hx72!kdk9"),
        ("key AKIAIOSFODNN7EXAMPLE", "SECRET", "AKIAIOSFODNN7EXAMPLE"),
        ("孩子2011-03-09生", "BIRTHDAY", "2011-03-09"),
        ("我住在北京市朝阳区建国路88号3号楼1502室。", "ADDRESS", "北京市朝阳区建国路88号3号楼1502室"),
        ("收件人：欧阳小明，", "NAME", "欧阳小明"),
        ("I live at 12 Rosewood Lane, Harwick.", "ADDRESS", "12 Rosewood Lane, Harwick"),
    ],
)
def test_disguises_hide_nothing(text: str, kind: str, value: str) -> None:
    """Each kind is found at its place in the text as it was written."""
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "订单号 202401011234567，共 3 件，合计 1,299.00 元",
        "ISBN 978-7-111-12345-6，定价 45.00 元",
        "软件版本 10.2.3.4 已于 2024-01-31 16:25:00 发布",
        "《民法典》第一百二十三条，国发〔2020〕12号",
        "身份证号110105194912310021校验位不对",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
        "commit 3f2a9c1d8e7b6a5f4c3d2e1f0a9b8c7d6e5f4a3b",
        "圆周率约为3.14159265358979323846",
    ],
)
def test_lookalikes_are_left(text: str) -> None:
    """Orders, prices, books, versions, laws, wrong check sums and rows of figures are nobody's data."""
    assert found(text) == []


@pytest.mark.parametrize("family", families.FAMILIES)
def test_structured_kinds_in_chinese_texts(family: str) -> None:
    """Of made texts with known truth: recall at least 0.98, precision at least 0.95 over all structured kinds."""
    counts = chinese(families.samples(120, 99, (family,)))
    structured = {*counts.true, *counts.found} - set(OTHERS)
    assert counts.recall(structured) >= 0.98
    assert counts.precision(structured) >= 0.95


@pytest.mark.skipif(not english.DATA.is_dir(), reason=f"no English data at {english.DATA}")
def test_english_is_better_than_presidio() -> None:
    """F1 on presidio-research's small set is above 0.75; presidio's own was 0.585 with the same convention."""
    texts, truth = english.texts_and_truth()
    assert english.tally(texts, truth, english.ours(texts), 0.5).f1(english.ENTITIES) > 0.75


@given(st.lists(MIXED, max_size=6))
@settings(max_examples=150, deadline=None)
def test_texts_of_a_batch_do_not_touch(texts: list[str]) -> None:
    """What is found in a text does not depend on the texts beside it, and stands within it, in order."""
    together = ALL.find_all(texts)
    assert together == [ALL.find(text) for text in texts]
    for text, spans in zip(texts, together, strict=True):
        edges = [edge for span in spans for edge in (span.start, span.end)]
        assert edges == sorted(edges)
        assert not edges or (edges[0] >= 0 and edges[-1] <= len(text))


@given(st.text(st.characters(), max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_can_be_searched(text: str) -> None:
    """Surrogates, other scripts and control characters raise nothing."""
    assert ALL.find(text + "\ud800") == ALL.find(text + "\ud800")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["eyJ", "://a:", "www.a", "a[at]", "1-", "password=", "路1号", "\u200b1"])
def test_no_pattern_goes_back_and_forth(part: str) -> None:
    """Texts made to be hard take work that grows with their length: a quadratic pattern would take minutes."""
    text = part * (300_000 // len(part))
    assert all(0 <= span.start < span.end <= len(text) for span in ALL.find(text))
