"""Spellings, encodings and scripts: what is damaged is mended, what is sound stays letter for letter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.repair import OPERATORS, mend_document
from feilun.curation.repair.mojibake import Mojibake
from feilun.curation.repair.normalise import Normalise
from feilun.curation.repair.script import Script
from feilun.curation.seam import Surroundings

SOUND = "我们今天去公园散步，天气很好；记录了3次（约2小时），用的是Python与GPU。"


def mended(operator: Mojibake | Normalise | Script, text: str) -> str:
    """Return a text mended."""
    found = operator.mend([text], [""])[0]
    return text if found is None else found.text


@pytest.mark.parametrize(
    ("written", "read"),
    [("utf-8", "latin-1"), ("gbk", "latin-1"), ("utf-8", "gb18030"), ("big5", "gb18030"), ("gbk", "cp950")],
)
def test_misread_chinese_is_read_again(written: str, read: str) -> None:
    """Each way of misreading that loses nothing is undone; in a line of its own among sound lines too."""
    sound = "資料編碼測試：我們今天去公園散步，天氣很好" if written == "big5" else "中文编码测试我们今天天气很好"
    wrong = sound.encode(written).decode(read)
    assert mended(Mojibake(), wrong) == sound
    assert mended(Mojibake(), f"{SOUND}\n{wrong}\n{SOUND}") == f"{SOUND}\n{sound}\n{SOUND}"


def test_what_cannot_be_read_again_is_marked() -> None:
    """Bytes that were replaced stay lost and are noted, the others come back."""
    wrong = SOUND.encode().decode("gbk", "replace")
    found = Mojibake().mend([wrong], [""])[0]
    assert found is not None
    assert "天气很好" in found.text
    assert "\ufffd" in found.text
    assert {note.reason for note in found.notes} == {"wrong_encoding", "lost"}
    assert mended(Mojibake(), "你好锟斤拷锟斤拷世界") == "你好\ufffd世界"


def test_western_text_is_read_again() -> None:
    """UTF-8 read as Windows-1252, in French, German and English."""
    for sound in ("L’été à Besançon coûte cher", "Größe und Übermut", "I paid £5 — that’s all"):
        assert mended(Mojibake(), sound.encode().decode("cp1252", "ignore")) == sound


@pytest.mark.parametrize(
    "text",
    [
        "魑魅魍魉，囧囧有神，饕餮与貔貅",
        "ÄÖÜ äöü ÀÁÂÃÄÅ",
        "CAFÉ» «É»",
        "著名的乱码“锟斤拷”从哪里来",
        "São Paulo, Zürich, Ångström",
        "Łódź żółć",
        SOUND,
    ],
)
def test_sound_text_is_not_read_again(text: str) -> None:
    """Rare characters, capitals with accents and texts about encodings stay."""
    assert Mojibake().mend([text], [""]) == [None]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
        ),
        min_size=4,
    )
)
def test_every_misreading_of_common_text_is_undone_and_no_sound_one_touched(letters: list[str]) -> None:
    """For any text of everyday characters: sound it stays, misread as Latin-1 it comes back."""
    sound = "".join(letters)
    assert mended(Mojibake(), sound) == sound
    assert mended(Mojibake(), sound.encode().decode("latin-1")) == sound


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_any_text_can_be_mended_and_batches_do_not_matter(texts: list[str]) -> None:
    """No operator breaks on any text, and each text is mended as if it were alone."""
    together = mend_document(texts)
    assert together == [mend_document([text])[0] for text in texts]
    for operator in OPERATORS:
        made = operator.make(Surroundings(), **{name: each.default for name, each in operator.parameters.items()})
        if operator.name in {"normalise", "mojibake", "anticopy", "script", "spam"}:
            assert made.mend(texts, [""] * len(texts)) == [made.mend([text], [""])[0] for text in texts]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    """What is in one form already stays."""
    once = mended(Normalise(), text)
    assert mended(Normalise(), once) == once


def test_spellings_become_one() -> None:
    """Line ends, invisible characters, radicals, full-width letters, accents and needless spaces."""
    assert mended(Normalise(), "a\r\nb\rc\u2028d") == "a\nb\nc\nd"
    assert mended(Normalise(), "中\u200b文\ufeff，ok\u00ad\x07") == "中文，ok"
    assert mended(Normalise(), "⽂字 ＡＢＣ１２３，Cafe\u0301 ｶﾀｶﾅ") == "文字 ABC123，Café カタカナ"
    assert mended(Normalise(), "\u3000\u3000段落  里  有\u00a0空格 \n") == "段落 里 有 空格\n"
    assert mended(Normalise("all"), "（好！）") == "(好!)"
    assert mended(Normalise("keep"), "ＡＢ") == "ＡＢ"


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x  # two",
        "a   b   c\n1   2   3",
        "👨‍👩‍👧 family",
        "\u200fשלום",
        "می\u200cخواهم",
        "क्\u200dष",
        "",
    ],
)
def test_indents_columns_emoji_and_other_scripts_stay(text: str) -> None:
    """Marks and spaces that have work to do are not taken out."""
    assert mended(Normalise(), text) == text


def test_mechanical_and_mixed_texts_become_one_script() -> None:
    """A letter-by-letter conversion goes back, a mixed text takes its majority, a real Traditional one stays."""
    mechanical = "這個軟件基于云計算,用戶可以在家里注冊,之后采用新的游戲,關于服務和后臺的問題請咨詢,范圍包括復雜的網絡"
    assert mended(Script(), mechanical).startswith("这个软件基于云计算,用户可以在家里注册,之后采用新的游戏")
    by_hand = (
        "這個軟體是基於雲端運算的，使用者可以在家裡註冊，之後採用新的遊戲，關於後臺的問題請諮詢，範圍包括複雜的網路。"
    )
    assert mended(Script(), by_hand) == by_hand
    mixed = "我们在這里讨论数据的問題，这些资料來自不同的网站，質量也不一样，需要统一處理。"
    assert mended(Script(), mixed) == "我们在这里讨论数据的问题，这些资料来自不同的网站，质量也不一样，需要统一处理。"


def test_quotations_japanese_and_plain_texts_keep_their_script() -> None:
    """A Traditional line among Simplified ones is a quotation; Japanese is no mixture."""
    for text in (
        f"{SOUND}\n原文：道可道，非常道；無名天地之始，萬物之母。\n{SOUND}",
        "国会で発表された経済の話を聞いて、東京へ帰った。",
        SOUND,
    ):
        assert Script().mend([text], [""]) == [None]
    assert mended(Script("traditional", "always"), "头发和发展") == "頭髮和發展"
    assert mended(Script("simplified", "always"), "忙著看著名的書，乾隆年間") == "忙着看著名的书，乾隆年间"
