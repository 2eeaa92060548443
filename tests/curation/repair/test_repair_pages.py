"""Pages of our own, Chinese and English: furniture and spam go, articles, poems, lists and code stay."""

from __future__ import annotations

import pytest

from feilun.curation.repair import OPERATORS, mend_document
from feilun.curation.repair.page.furniture import Furniture
from feilun.curation.repair.page.spam import Spam, is_spam
from feilun.curation.seam import Mending, Row

ZH = (
    "老茶馆里的新手艺",
    "清晨六点，巷口的茶馆已经坐满了人，跑堂的小伙子端着铜壶在桌子之间穿行，热气一路跟着他。",
    "店主姓方，祖父那一辈就在这里卖茶，他说：“水要自己挑，火要自己看，别的都可以学。”",
    "去年冬天，他请木匠重做了三十二张方桌，又把漏雨的屋顶换了一遍，一共花了十一万六千元。",
    "参考资料：",
    "1.《城南街巷志》，地方志办公室；",
    "生意好不好，他并不着急，只说茶客走的时候脸上带笑，这一天就算没有白忙。",
)
EN = (
    "The lighthouse that learned to whistle",
    "Every evening at half past six the keeper climbed the ninety-one steps, counted them aloud, and lit the lamp.",
    "In the winter of the great fog the lamp was no use at all, so she carried up an old steam whistle from the bay.",
    "Related work on other coasts had failed, she wrote, because nobody had thought about the wind.",
    "Fishermen still say that they find their way home by a tune which nobody has ever managed to write down.",
)
ZH_PAGE = "\n".join(
    (
        "首页 | 资讯 | 生活 | 人物 | 专题",
        "您现在的位置：首页 > 生活 > 老街",
        ZH[0],
        "2024-03-05 09:12 来源：老街周刊 责任编辑：小周",
        "阅读 3021 次 评论(12)",
        *ZH[1:],
        "责任编辑：小周",
        "本文首发于老街周刊，未经授权禁止转载。",
        "点赞",
        "上一篇：河边的钟表铺",
        "下一篇：一碗面的讲究",
        "相关阅读",
        "屋檐下的鸟窝",
        "裁缝老陈的账本",
        "网友评论",
        "匿名网友 2楼 昨天 10:21",
        "写得真好，想起小时候跟爷爷去喝茶的日子，那时候一碗茶才两分钱，现在都变了。",
        "关于我们 | 联系我们 | 网站地图 | 隐私政策",
        "Copyright © 2024 老街周刊 版权所有 京ICP备00000000号",
    )
)
EN_PAGE = "\n".join(
    (
        "Skip to main content",
        "Home > Coast > Stories",
        "Subscribe",
        "We use cookies to improve your experience. By continuing you accept our cookie policy.",
        EN[0],
        "Posted by J. Harrow on 3 May 2023",
        "5 min read",
        *EN[1:],
        "Share this article",
        "Facebook",
        "Twitter",
        "Related articles",
        "Ten harbours you should see before they silt up",
        "What the gulls know",
        "3 comments",
        "Anna says: lovely, my grandfather told us the same story when we were small and could not sleep.",
        "Reply",
        "Privacy policy | Terms of service | Contact us | Sitemap",
        "© 2023 Harbour Letters. All rights reserved.",
    )
)
POEM = "\n".join(
    ("雨落在瓦上", "也落在瓦下的人心里", "我把灯移近一点", "再近一点", "", "关于远方", "没有更多", "雨落在瓦上")
)
PRICES = "\n".join(
    ("早点价目", "豆浆 | 3元", "油条 | 2元", "小笼包 | 12元", "馄饨 | 10元", "地址：南门巷4号", "电话：010-00000000")
)
CODE = "\n".join(
    (
        "import search",
        "",
        "def share(comments):",
        '    """Return the comments that everybody may read, newest first, at most ten of them at a time."""',
        "    if not comments:",
        "        return []",
        "    return sorted(comments)[:10]  # the newest come first, because that is what people look for",
        "",
        "print(share(search.home))",
    )
)
NUMBERS = (
    "第三季度营业收入为 12.4 亿元，同比增长 8.3%，其中海外业务占 31.6%，毛利率由 27.1% 升至 29.5%。\n"
    "公司在 AWS 和 Kubernetes 上部署了 API 网关，QPS 峰值达到 48,000，P99 延迟为 35 ms。\n\n"
    "截至 2023 年 9 月 30 日，员工 5,218 人，研发人员占 46%，全年预算 3.2 亿元，较上年多 4,100 万元。"
)


@pytest.mark.parametrize(("page", "article"), [(ZH_PAGE, ZH), (EN_PAGE, EN)])
def test_furniture_goes_and_articles_stay(page: str, article: tuple[str, ...]) -> None:
    """What is left of a page is its article, each line of it, and a line of date at most."""
    left = [line for line in mend_document([page])[0].text.split("\n") if line]
    assert [line for line in left if line in article] == list(article)
    assert len([line for line in left if line not in article]) <= 1


@pytest.mark.parametrize("text", [POEM, PRICES, CODE, NUMBERS, "\n".join(ZH), "\n".join(EN), "评论", "", "\n\n"])
def test_sound_texts_stay_as_they_are(text: str) -> None:
    """Poems, price lists, code, numbers and clean articles are not touched at all."""
    assert mend_document([text])[0].text == text


SPAM = (
    "老虎机 真人荷官 百家乐 时时彩 注册送彩金 六合彩特码 北京赛车计划",
    "无码在线观看|人妻熟女一区二区|国产精品毛片|久久久中文字幕|少妇高潮视频|免费成人网站",
    "best online casino | free slots | poker bonus | jackpot city | sports betting | roulette",
    "buy viagra online, cheap cialis, levitra price, online pharmacy, tramadol no prescription",
)


@pytest.mark.parametrize("spam", SPAM)
@pytest.mark.parametrize("article", [ZH, EN])
def test_spam_is_cut_before_behind_and_at_the_end_of_lines(spam: str, article: tuple[str, ...]) -> None:
    """The article is left, and the note says where the cut was made."""
    text = "\n".join(article)
    for dirty, place in ((f"{spam}\n{text}", 0), (f"{text}\n{spam}", len(text) + 1)):
        found = Spam().mend([dirty], [""])[0]
        assert found is not None
        assert found.text == text
        assert found.notes[0].detail.startswith(f"at character {place} of {len(dirty)}, {len(spam)} characters")


def test_spam_behind_a_sentence_is_cut_from_its_line() -> None:
    """Only what follows the last sentence goes."""
    found = Spam().mend([ZH[1] + "主站蜘蛛池模板: " + SPAM[1]], [""])[0]
    assert found is not None
    assert found.text == ZH[1]


@pytest.mark.parametrize(
    "text",
    [
        "警方提醒：网络博彩和所谓的真人荷官都是骗局，参与赌博可能构成违法，请不要点击陌生链接。",
        "The casino opened in 1931; poker, roulette and slot machines made up most of its income until the war.",
        "该片由日韩两国合拍，中文字幕由国内团队翻译，在亚洲多个电影节放映。",
        "北京大学 清华大学 复旦大学 浙江大学 南京大学 武汉大学 中山大学 四川大学 厦门大学 山东大学",
        "国产芯片 | 欧美市场 | 日韩企业 | 亚洲供应链",
    ],
)
def test_texts_about_such_things_are_no_spam(text: str) -> None:
    """Sentences about gambling or films, and plain lists, stay."""
    assert not is_spam(text)
    assert Spam().mend([text], [""]) == [None]


def rows(texts: list[str]) -> list[Row]:
    """Return documents as rows."""
    return [Row(str(i), "s", f"{i}.txt", "", ("text",), (text,)) for i, text in enumerate(texts)]


def test_lines_that_many_documents_share_go_at_their_edges() -> None:
    """A slogan at every foot goes; the same legal sentence or chapter heading within the texts stays."""
    common = "本协议自双方签字之日起生效，一式两份，双方各执一份，具有同等效力，未尽事宜另行商定。"
    texts = [
        f"第{i}号来信\n第一章 总则\n{line}今天是第{i}天，天气晴，风从南边来，院子里的石榴树又开了一朵花。\n{common}\n"
        f"{line}到了傍晚，邻居送来第{i}只篮子，里面装着豆角和青椒，还有一张写得很认真的字条。\n春风信箱每日一封"
        for i, line in enumerate(ZH[1:4] * 2)
    ]
    furniture = Furniture()
    decided = furniture.decide([furniture.sketch(rows(texts)[:3]), furniture.sketch(rows(texts)[3:])])
    for text, found in zip(texts, furniture.apply(rows(texts), decided), strict=True):
        assert [each for each in found if isinstance(each, Mending)]
        mending = found[0]
        assert isinstance(mending, Mending)
        assert mending.mended.text == text.removesuffix("\n春风信箱每日一封")


def test_answers_that_many_files_share_are_no_furniture() -> None:
    """Different questions often have the same short answer; it stays, and so does what an agent says everywhere."""
    subjects = ("card", "loan", "transfer", "account", "order", "cheque", "deposit", "policy")
    texts = [f"{subject.title()} desk\n\nQ: Can a {subject} be cancelled?\nA: Yes." for subject in subjects]
    texts += [f"{subject}\n问：{subject}能取消吗？\n答：可以取消的。" for subject in subjects]
    furniture = Furniture()
    assert not any(furniture.apply(rows(texts), furniture.decide([furniture.sketch(rows(texts))])))


def test_sketches_do_not_depend_on_batches() -> None:
    """The decision is the same however the rows are split."""
    furniture = next(each for each in OPERATORS if each.name == "furniture").make(None, share=0.1)
    some = rows([ZH_PAGE, EN_PAGE, ZH_PAGE.replace("老街", "新街"), POEM] * 3)
    whole = furniture.decide([furniture.sketch(some)])
    parts = furniture.decide([furniture.sketch(some[i : i + 1]) for i in reversed(range(len(some)))])
    assert whole.tolist() == parts.tolist()
    assert len(whole) > 0


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("The fee is 4 dollars.\nShare this page · Print · Back to top", "The fee is 4 dollars."),
        ("Home > Help > Cards > Fees\nThe fee is 4 dollars.", "The fee is 4 dollars."),
        ("手续费为四元。\n上一篇：暂无　下一篇：暂无　返回顶部　打印本页　关闭窗口", "手续费为四元。"),
        ("The fee is 4 dollars.\nAsk at any branch.", "The fee is 4 dollars.\nAsk at any branch."),
        ("Back to top", "Back to top"),
        ("1. Print the form\n2. Sign it\n3. Share it with your branch", None),
        ("电话：010-5555 0100\n地址：北街 3 号", None),
    ],
)
def test_answers_lose_the_page_they_were_copied_from(answer: str, left: str | None) -> None:
    """Stock phrases at the ends of an answer go; what an answer may well say, and the only line that there is, stay."""
    row = Row("row-1", "s", "f", "", ("user", "assistant"), ("What?", answer))
    furniture = Furniture()
    found = furniture.apply([row], furniture.decide([furniture.sketch([row])]))[0]
    assert [each.mended.text for each in found if isinstance(each, Mending)] == [left] * (left not in {None, answer})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("It costs 4 dollars.\nClick here for the best casino bonus! www.spin.example", "It costs 4 dollars."),
        ("费用为四元。\n【限时优惠】加微信 abc777 领取彩金，点击 www.caijin.example", "费用为四元。"),
        ("Cards do not work in a casino.\nSee www.union.example", None),
        ("加微信 abc777，本店优惠，点击领取。", None),
    ],
)
def test_one_line_of_advertising_is_enough(text: str, left: str | None) -> None:
    """A line with a word of the trade, a place to go and two lures is cut; each of them alone is not."""
    found = Spam().mend([text], [""])[0]
    assert (found.text if found else None) == left
