"""Marks against copying, in many styles, and glosses that stay; gaps that are flagged."""

from __future__ import annotations

import pytest

from feilun.curation.repair.marks import Anticopy, Lost, lost_places
from feilun.curation.seam import Row

PLAIN = "我们国家的经济发展很快，城市和乡村都有了新的变化。"
SAID = [
    "wǒ",
    "men",
    "guó",
    "jiā",
    "de",
    "jīng",
    "jì",
    "fā",
    "zhǎn",
    "hěn",
    "kuài",
    ",",
    "chéng",
    "shì",
    "hé",
    "xiāng",
    "cūn",
    "dōu",
    "yǒu",
    "le",
    "xīn",
    "de",
    "biàn",
    "huà",
    ".",
]
SAID = [said for said in SAID if said not in {",", "."}]


def marked(style: str, every: int = 1) -> str:
    """Return the plain text with a reading in ``style`` behind every so many characters."""
    readings = iter(SAID)
    parts = []
    for place, char in enumerate(PLAIN):
        said = next(readings) if char not in "，。" else ""
        parts.append(char + (style.format(said) if said and place % every == 0 else ""))
    return "".join(parts)


def without(text: str) -> str:
    """Return a text without marks."""
    found = Anticopy().mend([text], [""])[0]
    return text if found is None else found.text


@pytest.mark.parametrize("style", ["({})", "（{}）", "[{}]", "【{}】", "{}", " ({})", "/{}/", "<{}>", "{{{}}}"])
@pytest.mark.parametrize("every", [1, 3])
def test_readings_of_every_style_go(style: str, every: int) -> None:
    """Bracketed or bare, behind all characters or some."""
    assert without(marked(style, every)) == PLAIN


def test_other_marks_go() -> None:
    """Digits for tones, no tones, words in one bracket, Zhuyin, a Traditional text, a single reading in a sentence."""
    assert without("国guo2家jia1的jing1经ji4济") == "国家的jing1经ji4济"
    assert without("我国guo家jia的经jing济发fa展zhan很快") == "我国家的经济发展很快"
    assert without("中国（zhōngguó）经济（jīngjì）发展（fāzhǎn）很快") == "中国经济发展很快"
    assert without("我ㄨㄛˇ國ㄍㄨㄛˊ經ㄐㄧㄥ濟ㄐㄧˋ好") == "我國經濟好"
    assert without("發(fā)展國(guó)產(chǎn)晶片與軟體") == "發展國產晶片與軟體"
    assert without("我国(guó)经济很好") == "我国经济很好"


@pytest.mark.parametrize("sign", ["*", "_", "·", "-", " ", "丨", "~", "\u200b"])
def test_signs_between_all_characters_go(sign: str) -> None:
    """The same sign between all characters of a stretch is no writing."""
    assert without(sign.join("国家经济发展很快很好") + "。") == "国家经济发展很快很好。"


def test_lookalike_letters_become_one_alphabet() -> None:
    """Cyrillic letters within Latin words; scientific words stay."""
    assert without("pаypаl аccount") == "paypal account"
    assert without("α-helix, μm, Δx, Москва") == "α-helix, μm, Δx, Москва"


@pytest.mark.parametrize(
    "text",
    [
        "囧（jiǒng）：本义是光明。槑（méi）：同“梅”。靐（bìng）：雷声。",
        "大模型(model)的训练(train)需要数据(data)，推理(inference)需要显存(memory)。",
        "百度(Baidu)、华为(Huawei)与李明(Li Ming)签了约。",
        "学习（xuéxí）study；老师（lǎoshī）teacher；学生（xuéshēng）student",
        "这里的“行”读音是háng，不是xíng；“重（chóng）新”的重是多音字。",
        "他还（huán）了书，又借走一本。",
        "饕餮（tāotiè）是传说中的凶兽，貔貅（píxiū）能守财。",
        "他(he)她(she)我(me)是(is)",
        "红-黄-蓝-绿，A-B-C，1 2 3，甲、乙、丙",
        "梅拉妮·米歇尔 与 安娜·卡列尼娜",
        "价格：3 元（sān yuán）起",
    ],
)
def test_glosses_stay(text: str) -> None:
    """Readings of rare or ambiguous characters, English words, names and vocabulary lists are no marks."""
    assert without(text) == text


def test_halves_of_characters_are_joined() -> None:
    """A reading that was put into the bytes of two characters is taken out, and what follows is read again."""
    raw = "我們在各自的道路上都走了很遠".encode("gbk")
    place = raw.index("們".encode("gbk")) + 2
    broken = raw[:place].decode("gbk") + "?cè)" + (raw[place + 1 :]).decode("gb18030", "ignore")
    text = f"這是國(guó)內(nèi)數(shù)據(jù)發(fā)展的結(jié)果。\n{broken}。"
    assert "們在各自的道路上都走了很" in without(text)


@pytest.mark.parametrize(
    "text",
    [
        "他说\ufffd的话",
        "今天的□气很好",
        "高??科研机构",
        "受到封锁、的情况下，大家，，都在在想办法",
        "见（）第三章《》，的的确是",
        "锟斤拷锟斤拷",
    ],
)
def test_gaps_are_flagged(text: str) -> None:
    """Signs that stand for a character, doubled and stranded marks."""
    row = Row("1", "s", "n", "", ("text",), (text,))
    flagged = Lost().judge([row])[0]
    assert [ruling.action for ruling in flagged] == ["flag"]
    assert flagged[0].note.detail


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "真的吗？他问。是的！她答……我们的目的的确是这样，现在在家。",
        "见 https://a.example/?q=1&b=2 和 f(x)?a:b，函数 g() 无参数。",
        "☐ 买菜 □ 洗衣",
        "Is it true?! Yes... (see above), and so on.",
    ],
)
def test_sound_texts_have_no_gaps(text: str) -> None:
    """Questions, addresses, check boxes and code are no gaps."""
    assert lost_places(text)[0].total() == 0


@pytest.mark.parametrize(
    "piece", ["国(", "国g", "(guó", "a\u0430", "？?", "国 ", "锛", "国guó", "[](", "| a ", "首页 > ", "Ã"]
)
def test_a_megabyte_of_anything_comes_through(piece: str) -> None:
    """No pattern takes more than linear time; a text of one repeated piece would show it by never ending."""
    text = piece * (300_000 // len(piece))
    assert Anticopy().mend([text, PLAIN], ["", ""])[1] is None
    lost_places(text)
