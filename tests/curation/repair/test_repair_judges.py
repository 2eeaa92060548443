"""Languages, spun and stuffed texts: what is told and flagged, and what is not."""

from __future__ import annotations

import pytest

from feilun.curation.repair import OPERATORS
from feilun.curation.repair.language import Language
from feilun.curation.seam import Judge, Row, Surroundings


def row(text: str) -> Row:
    """Return a text as a row."""
    return Row("1", "s", "n", "", ("text",), (text,))


def judge(name: str) -> Judge:
    """Return an operator with its defaults."""
    operator = next(each for each in OPERATORS if each.name == name)
    made: Judge = operator.make(Surroundings(), **{key: each.default for key, each in operator.parameters.items()})
    return made


def flagged(name: str, text: str) -> bool:
    """Tell whether an operator flags a text."""
    return any(ruling.action == "flag" for ruling in judge(name).judge([row(text)])[0])


@pytest.mark.parametrize(
    ("text", "lang", "variant"),
    [
        ("这是一段简体中文，里面有 GPU 和 API。", "zh", "zh-Hans"),
        ("這是一段繁體中文，裡面有資料與軟體。", "zh", "zh-Hant"),
        ("佢哋琴日去咗邊度食飯呀？我唔知喎，你問吓佢啦。", "zh", "yue"),
        ("The cat sat on the mat and looked at the rain.", "en", None),
        ("昨日は東京で友達と会いました。", "ja", None),
        ("어제 서울에서 친구를 만났습니다.", "ko", None),
        ("Der Zug ist nicht gekommen und wir haben lange gewartet.", "de", None),
        ("Le train est en retard et nous avons attendu dans la gare.", "fr", None),
        ("El tren no llegó y esperamos en la estación por una hora.", "es", None),
        ("Вчера мы были в городе и видели реку.", "ru", None),
        ("ذهبنا أمس إلى المدينة القديمة", "ar", None),
        ("How do I open a savings account? Visit a branch.", "en", None),
        ("Is a fee due? No fee.", "en", None),
        ("Do teachers have a lunch break? A long one.", "en", None),
        ("A transfer takes three days abroad.", "en", None),
        ("Ela foi a casa a pé.", "pt", None),
        ("Non ho i soldi.", "it", None),
        ("वह कल शहर गया था", "hi", None),
    ],
)
def test_languages_are_told(text: str, lang: str, variant: str | None) -> None:
    """By script, by the characters of Chinese variants, by small words."""
    (told,) = Language().judge([row(text)])[0]
    assert (told.action, told.meta["lang"], told.meta.get("variant")) == ("note", lang, variant)


def test_rows_without_words_are_of_no_language_and_unwanted_ones_are_flagged() -> None:
    """Digits say nothing; ``only`` flags what is not wanted."""
    assert Language().judge([row("12 + 30 = 42"), row("")]) == [(), ()]
    actions = [
        [ruling.action for ruling in found] for found in Language(("zh",)).judge([row("你好吗"), row("the end of it")])
    ]
    assert actions == [["note"], ["note", "flag"]]


SPUN = (
    (
        "巨匠都晓得，家养智能的睁开离不开数据，良多守业公司在这个规"
        "模缔造了新的机缘 ，但每一每一也会泛起患上不偿失的下场。"
        "专家展现，若何让机械进修真正落地，仍是一个未知数 ，企业理当依据自己的能耐抉择倾向，至关于重新钻研一套体例。"
        "咱们以为，如斯大的投入未必能带来甚么收益，惟独磨炼出适宜的模子，能耐把价钱揭示进去 。"
    ),
    (
        "经由过程对年夜量用户的阐发，研讨职员发明手艺公司的办事愈来愈首要，今朝较着的题目是收集平安与用户休会。"
        "是以，当局该当增强办理，晋升机能，赐与企业更多的供给，如许才能阐扬新手艺的感化，并且增进经济成长。"
        "颠末多年的扶植，很多年夜学已经领会到进修的体例产生了变更，可是毛病仍然良多，操纵起来很是轻易堕落。"
    ),
)
CLEAN = (
    (
        "大家都知道，人工智能的发展离不开数据，很多创业公司在这个领域创造了新的机会，但往往也会出现得不偿失的问题。"
        "专家表示，如何让机器学习真正落地，仍是一个未知数，企业应当根据自己的能力选择方向，相当于重新研究一套方法。"
    ),
    (
        "我打江南走过，那等在季节里的容颜，早已随着雨水散了。瓦上的霜，灯下的影，桥头的旧船，都不肯说出名字。"
        "风从渡口来，吹熄一盏灯，又吹亮一盏灯；岸上的人把衣襟掖紧，把没有说完的话，留给明年的桃花汛。"
    ),
    (
        "侬今朝哪能介晚才来啦？阿拉老早就等辣海了，小菜也冷脱了。伊讲伊屋里厢有点事体，走勿开，叫阿拉先吃起来。"
        "隔壁阿婆讲，今年个蟹勿贵，礼拜天去买两斤转来，大家一道吃吃老酒，讲讲闲话，蛮开心个。"
    ),
    (
        "甚么是幸福？他奈何不了自己的脾气，惟独在深夜里读书的时候才平静。适才那封信，他颇为珍惜，看了又看，"
        "如斯反复数遍，才折好放进抽屉。窗外的雨下得很急，巷子里没有一个人，只有卖馄饨的梆子声远远地响着。"
    ),
    "苹果 5 元，梨 4 元，香蕉 3 元；豆浆 2 元，油条 1.5 元；小笼包一笼 12 元，外带另收盒费 1 元。" * 3,
)


@pytest.mark.parametrize("text", SPUN)
def test_spun_texts_are_flagged(text: str) -> None:
    """Two kinds of swapped words; the words are the evidence."""
    (ruling,) = judge("spun").judge([row(text)])[0]
    assert ruling.score >= 0.5
    assert len(ruling.note.detail.split("、")) >= 8


@pytest.mark.parametrize("text", CLEAN)
def test_sound_texts_are_not_flagged(text: str) -> None:
    """Articles, prose poems, dialect, old words and lists are neither spun nor stuffed."""
    assert not flagged("spun", text)
    assert not flagged("seo", text)


def test_tortured_english_is_flagged() -> None:
    """Phrases that no researcher writes, three of them; one is a slip."""
    text = (
        "In this paper we use counterfeit consciousness and profound "
        "learning to find bosom peril in pictures. Colossal information "
        "is put away in haze figuring frameworks, and irregular "
        "timberland calculations are contrasted with gullible bayes ones."
    )
    sound = (
        "In this paper we use artificial intelligence and deep "
        "learning to find breast cancer in pictures. Big data is stored in "
        "cloud computing systems, and random forests are "
        "compared with naive Bayes. The sort of errors made is discussed."
    )
    assert flagged("spun", text)
    assert not flagged("spun", sound)


STUFFED = (
    (
        "青石市管道疏通公司哪家好？青石市管道疏通公司推荐老陈管道，青石市管道疏通公司价格实惠，专业青石市管道疏通公司，"
        "服务热线24小时。找青石市管道疏通公司就找我们，青石市管道疏通公司电话欢迎咨询，正规青石市管道疏通公司，"
        "青石市管道疏通公司上门快，青石市管道疏通公司口碑好，青石市管道疏通公司排名第一，值得信赖。"
    ),
    (
        "Looking for cheap roof repair in Milltown? Our cheap roof repair "
        "in Milltown is the best. Call us for cheap roof repair in Milltown "
        "today. We offer cheap roof repair in Milltown at affordable "
        "prices. Professional, reliable cheap roof repair in Milltown near me. "
        "Contact us for a free quote on cheap roof repair in Milltown now, quality guaranteed."
    ),
)
SELLING = (
    (
        "这家维修店开了二十年，价格写在墙上，多少钱一目了然。师傅话不多，先看机器，再说毛病，能修的不劝人换新的。"
        "邻居们推荐他，不是因为便宜，而是因为他答应几点来就几点来。上门费十元，修不好不收。电话贴在门口，字已经褪色。"
        "有人劝他做品牌、搞加盟，他摇头：店大了，就顾不上每一台机器了。"
    ),
    (
        "The bakery on the corner has the best bread in town, though its "
        "prices went up twice last year. Customers queue before seven, and "
        "most of them know the baker by name. She will not sell online; "
        "quality, she says, cannot be posted. When the oven broke in March "
        "she baked at a neighbour's and gave everybody a discount, because the loaves came out a little flat."
    ),
)


@pytest.mark.parametrize("text", STUFFED)
def test_stuffed_pages_are_flagged(text: str) -> None:
    """A phrase in every sentence, and words that sell."""
    assert flagged("seo", text)


@pytest.mark.parametrize("text", SELLING)
def test_texts_about_shops_are_not(text: str) -> None:
    """Prices and praise alone are no sign."""
    assert not flagged("seo", text)


def test_operators_explain_themselves() -> None:
    """Each has reasons in both languages, an origin, and makes something that works on nothing."""
    assert len({operator.name for operator in OPERATORS}) == len(OPERATORS) == 10
    for operator in OPERATORS:
        assert operator.origin
        assert all(en and zh for en, zh in (operator.about, *operator.reasons.values()))
        made = operator.make(Surroundings(), **{key: each.default for key, each in operator.parameters.items()})
        work = getattr(made, "mend", None)
        assert (work([], []) if work else getattr(made, "judge", lambda _: [])([])) == []
