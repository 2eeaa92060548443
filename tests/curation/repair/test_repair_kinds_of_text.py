"""Kinds of text that look like something else: lessons, warnings, notices, code; and offers that hide in pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feilun.curation.clean import clean_text
from feilun.curation.recipes import Options, curate_files, find
from feilun.curation.repair import mend_document
from feilun.curation.repair.marks.lost import lost_places
from feilun.curation.repair.page.spam import is_spam

PROSE = (
    "城东社区卫生站从下个月起延长门诊时间，工作日的晚上也有医生值班，家里有老人和小孩的居民不用再请假来看病了。\n\n"
    "站长说，晚间门诊先开内科和儿科两个诊室，挂号、取药和白天在同一个窗口，医保卡可以照常使用，不另外收费。\n\n"
)


def kept(text: str) -> str:
    """Return a text as mending leaves it."""
    return mend_document([text])[0].text


@pytest.mark.parametrize(
    "text",
    [
        # Who teaches how characters are read means the readings.
        "对外汉语第一课：声调\n妈(mā)妈骑(qí)马(mǎ)，马(mǎ)慢(màn)，妈(mā)妈骂(mà)马(mǎ)。买(mǎi)和卖(mài)只差一个声调。",
        "多音字辨析\n重(zhòng)要的事要重(chóng)复说，重(zhòng)量不能读成重(chóng)量；长(cháng)短和长(zhǎng)大也要分清。",
        # A notice ends with who says it, where he is found, and when.
        PROSE + "服务电话：8321 5566\n地址：城东区文昌路18号\n城东社区卫生站\n2024年3月5日",
        # Who warns of spam uses its words.
        PROSE + "居民若收到“代开发票、办证刻章，请加微信 kx88990”的短信，请勿回复，应当向公安机关举报。",
        PROSE + "严禁在本站张贴博彩、六合彩、办证、刻章、代开发票的广告。",
        # Names that share their words are no keywords.
        PROSE + "New York Yankees, New York Mets, New York Knicks, New York Rangers, New York Jets, New York Giants, "
        "New York Liberty, New York Islanders",
    ],
)
def test_sound_texts_stay(text: str) -> None:
    """Nothing is taken from texts that only look like something else."""
    assert kept(text) == text


@pytest.mark.parametrize(
    "line",
    [
        "代开餐饮、住宿、建材发票，点数低，验证后付款，电话13800138000李经理",
        "开票加QQ：20240501 真票保真 先开后付",
        "黑户白户都能下款，当天放款，加微信 dk20240501",
        "一分快三计划 幸运飞艇走势图 腾讯分分彩 大发购彩入口",
        "友情链接：城南装修公司 城北搬家公司 城西开锁 城东月嫂",
    ],
)
def test_offers_are_cut(line: str) -> None:
    """What forgers, lenders to anybody and gambling sites leave behind an article goes, the article stays."""
    assert is_spam(line)
    assert kept(f"{PROSE}{line}").strip() == PROSE.strip()


def test_banks_are_no_spam() -> None:
    """A bank says what it lends and how to reach it, too."""
    for line in ("个人贷款咨询电话：0571-87654321，放款前请携带身份证到柜台。", "征信报告查询、贷款、网贷常见问题"):
        assert not is_spam(line)


def test_code_keeps_its_spaces() -> None:
    """Between fences indentation stays; around them spaces are tidied, also where a fence is never closed."""
    code = "```python\ndef main():\n    for name in names:\n        print(name)\n```"
    assert clean_text(f"Run   this:\n{code}\nThen  wait.") == f"Run this:\n{code}\nThen wait."
    assert clean_text("```\n  a   b") == "```\na b"


def test_joiners_stay_where_they_spell() -> None:
    """Families of emoji and Persian words keep their joiners; between Chinese characters they are marks."""
    assert clean_text("👨\u200d👩\u200d👧 می\u200cخواهم") == "👨\u200d👩\u200d👧 می\u200cخواهم"
    assert clean_text("开\u200d户\u200c费") == "开户费"


@pytest.mark.parametrize(
    "text",
    [
        "性别：□男□女　婚姻：□已婚□未婚□其他",
        "接口为 /api/search?query=fee，旧址是 index.php?page=2。",
        "什么时候出发呢??明天早上",
        "1. 下列说法正确的是（　）\nA. 开户费五元\nB. 转账费两元\n2. 《》的作者是（）\nA. 鲁迅\nB. 老舍",
    ],
)
def test_forms_and_addresses_have_no_gaps(text: str) -> None:
    """Boxes to tick, queries, blanks of exams and two question marks are there on purpose."""
    assert not lost_places(text)[0]


def test_gaps_are_seen_beside_forms() -> None:
    """A box within a word is a gap although there are boxes to tick."""
    found, _ = lost_places("性别：□男□女\n门诊时间为上□八点。")
    assert found == {"boxes": 1}


def test_the_report_names_the_tail_that_was_cut(tmp_path: Path) -> None:
    """Spam behind the comments of a page is told as spam, with its place, and not as furniture."""
    tail = "主站蜘蛛池：国产精品久久久|亚洲精品无码|日韩精品毛片|欧美激情人妻|成人网在线|偷拍自拍|麻豆视频|午夜福利"
    file = tmp_path / "page.jsonl"
    head = "无码毛片-国产精品-久久综合-在线看片"
    file.write_text(
        json.dumps({"text": f"门诊延时\n\n{head}\n\n{PROSE}专栏介绍\n上一篇：暑期门诊安排\n下一篇：疫苗接种\n{tail}"}),
        "utf-8",
    )
    for name in ("pretrain", "knowledge"):
        outcome = curate_files([file], find(name), tmp_path / name, Options(1))
        [spam] = [each for each in outcome.report["findings"] if each["operator"] == "spam"]
        assert spam["rows"] == 1
        assert [each["detail"].split(": ")[1][:8] for each in spam["examples"]] == [head[:8], tail[:8]]
