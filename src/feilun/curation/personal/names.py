"""People's names where a text gives them as names, in Chinese and English.

This module knows the words beside names and how names are built. It does not know who exists: a word of a list is a
weak sign, a form's field or a title a strong one. Not found: names in running text without any sign and in no list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from feilun.curation.personal.naming import COMPOUND, FIRST, FOLLOWS, GIVEN, LAST, SURNAMES
from feilun.curation.personal.signs import At
from feilun.curation.personal.spans import Span, words

_H = "\u4e00-\u9fff"
# Words after which a name stands in forms and letters, and those after which it often does.
_STRONG = words("""
目击者 市民 新人 居民 群众 嘉宾 家属 举报人
我叫 名叫 姓名 户名 名字 联系人 收件人 收货人 寄件人 发件人 持卡人 开户人 申请人 经办人 法定代表人 法人代表 法人
监护人 投保人 被保险人 受益人 委托人 代理人 借款人 担保人 当事人 紧急联系人 负责人 签名 签字 署名 称呼 原告 被告
证人 嫌疑人 受害人 公证人 班主任 承租人 出租人 被告人 上诉人 报案人 投诉人 领取人 取件人 預約人 預订人 预约人
预订人 入住人 乘车人 乘客 旅客 住客 车主 业主 租客 房东 户主 店主 机主 主治医生 主治医师 责任护士 客户经理 患者
病人 学生 学员 家长 顾客 客户 会员 用户 买家 卖家 收款人 付款人 汇款人 持有人 登记人 填表人 本人 姓名是
""")
_WEAK = words("""
我是 叫做 认识 联系 医生 护士 老师 同学 同事 朋友 司机 店员 职员 员工 妈妈 爸爸 母亲 父亲 妻子 丈夫 儿子 女儿
爷爷 奶奶 哥哥 弟弟 姐姐 妹妹 老公 老婆 邻居 室友 经理 主任 教授 律师 师傅 队长 校长 院长
""")
_HONORIFICS = words("""
先生 女士 小姐 老师 医生 大夫 主任 经理 同学 教授 律师 师傅 护士 院长 校长 警官 法官 阿姨 叔叔 大爷 大妈 同志
工程师 博士 會計 先生您好
""")
_GREETINGS = ("您好", "你好")
_LINK = re.compile(
    r"(?:来[电访函院信](?=[:：]))?(?:姓名|名字|名)?(?:是|为|叫|叫做)?[\"“'：:|\t /]{0,3}(?:是|叫|为)?\s{0,2}"
)
_LINKS = frozenset("姓名是为叫来")
_MINORITY = re.compile(rf"[{_H}]{{2,6}}[·•][{_H}]{{2,8}}(?:[·•][{_H}]{{2,6}})?")
_THEN = re.compile(
    rf"(?P<name>[{_H}]{{2,4}})(?:[\s，,、（(：:|/]{{1,3}}|\s?的?)(?:男|女|[，,、 ])*(?:本人)?的?(?:联系"
    rf"|预留|绑定|手机|移动|办公)?(?:电话|手机|联系方式|身份证|居民身份证|证件|护照|银行卡|卡号|账号|邮箱"
    rf"|号码|车牌)?(?:号码|号|为|是)?[\s：:（(为是]{{0,3}}$"
)
_BEHIND = re.compile(rf"[)）]?[\s，,、（(/|]{{1,2}}(?P<name>[{_H}]{{2,4}})(?=[\s，,。；;、）)（(/|!！]|\Z|\0)")
_NO_GIVEN = frozenset(
    words("""
先生 女士 小姐 老师 医生 电话 号码 手机 身份 地址 银行 公司 学校 医院 大学 客服 经理 主任 同学 教授 师傅 师父
家属 姓名 时间 日期 信息 一下 以后 之后 如下 情况 问题 方式 联系 本人 朋友 人员 部门 中心 总部 方面 方法 方向
方案 方便 高度 高级 高中 高考 高兴 平台 平时 明天 明确 时候 时代 金额 金融 成功 成绩 成本 成员 成为 成立 安全
安排 安装 于是 和平 向上 文件 文化 文章 文字 国家 国际 石油 白色 黄色 黄金 马上 马路 包括 包装 包裹 解决 解释
解除 连接 连续 路线 路上 管理 任何 任务 任意 单位 单号 单独 项目 计划 计算 支付 支持 相关 相同 相信 全部 全国
全面 常见 常用 应该 应用 应急 江苏 江西 河南 云南 海南 宁波 宁夏 广州 查询 查看 查收 谈话 关于 关系 关注 关闭
万元 万人 季度 车辆 车牌 车主 商品 商家 商店 房间 房屋 房东 师范 党员 原因 原告 原来 满意 居民 居住 花费 花园
终于 元素 元旦 信用 信息 阳光 阳性 温度 温馨 严重 严格 别人 那么 那个 那里 严禁 许可 许多 余额 何时 何种 何人
易碎 武器 武汉 盛大 简单 简历 费用 费率 冷静 宫颈 席位 卫生 米饭 屈服 左右 左侧 农业 农村 农历 时长 司机 司法
古代 沙发 强制 强烈 位于 位置 权利 权限 来电 来访 来函 来院 来信
来源 来自 来到 来往 来回 来年 来人 来历 来临 来说 来看 来讲 来稿 来宾 来店 来校 来款
简介 简要 简称 简便 简化 简易 简述 简短 简明 简体 简直
""")
)


def _word(text: str, start: int) -> int:
    """Return the length of the Chinese name that begins at ``start``; 0 if there is none."""
    if ("·" in text[start + 2 : start + 7] or "•" in text[start + 2 : start + 7]) and (
        match := _MINORITY.match(text, start)
    ):
        return len(match[0])
    if text[start : start + 1] not in SURNAMES and text[start : start + 2] not in COMPOUND:
        return 0
    run = start
    while run < len(text) and run < start + 5 and "\u4e00" <= text[run] <= "\u9fff":
        run += 1
    size = run - start
    head = 2 if text[start : start + 2] in COMPOUND else 1
    if size <= head or (head == 1 and text[start] not in SURNAMES) or text[start : start + 2] in _NO_GIVEN:
        return 0
    if text[start + head] in FOLLOWS and text[start + head] not in GIVEN:
        return 0
    if size == head + 1 or text[start + head + 1] in FOLLOWS:
        return head + 1
    tail = text[start + head + 1 : start + head + 3]
    if tail in _TITLES or tail in _NO_GIVEN:
        return head + 1
    if size == head + 2 or text[start + head + 1] in GIVEN:
        return head + 2
    return head + 1


_TITLES = frozenset(word[:2] for word in _HONORIFICS)


def chinese_names(text: str, at: At, near: Iterable[Span] = ()) -> Iterator[Span]:
    """Yield Chinese names; ``near`` are numbers of people, before which names often stand."""
    for signs, sure in ((_STRONG, 0.85), (_WEAK, 0.4)):
        for word in signs:
            for place in at.words.get(word, ()):
                yield from _after(text, place + len(word), sure)
    for word in _HONORIFICS:
        for place in at.words.get(word, ()):
            yield from _before(text, place)
    for place in at.of(_GREETINGS):
        yield from (replace(span, confidence=span.confidence - 0.15) for span in _before(text, place))
    for span in near:
        before = text[max(0, span.start - 24) : span.start].rpartition("\0")[2]
        if (match := _THEN.search(before)) and (size := _ending(match["name"])):
            end = span.start - len(before) + match.end("name")
            yield Span("NAME", end - size, end, 0.6, "name_before_number")
        behind = _BEHIND.match(text, span.end)
        if behind and _ending(behind["name"]) == len(behind["name"]):
            yield Span("NAME", *behind.span("name"), 0.55, "name_after_number")


def _after(text: str, place: int, sure: float) -> Iterator[Span]:
    link = (
        None
        if "\u4e00" <= text[place : place + 1] <= "\u9fff" and text[place] not in _LINKS
        else _LINK.match(text, place)
    )
    start = link.end() if link else place
    size = _word(text, start)
    if not size:
        return
    end = start + size
    sign = bool(link and link[0].strip())
    ended = (
        end >= len(text)
        or not ("\u4e00" <= text[end] <= "\u9fff")
        or text[end] in FOLLOWS
        or text[end : end + 2] in _TITLES
    )
    given = start + (2 if text[start : start + 2] in COMPOUND else 1)
    plausible = all(char in GIVEN for char in text[given:end]) or "·" in text[start:end]
    confidence = sure * (1 if sign or (ended and plausible) else 0.75 if plausible else 0.6 if ended else 0.35)
    if sure < 0.5 and ended and plausible and size > 2:
        confidence = 0.55
    yield Span("NAME", start, end, confidence, "name_after_word")


def _before(text: str, place: int) -> Iterator[Span]:
    before = text[max(0, place - 4) : place]
    if not SURNAMES.intersection(before):
        return
    size = _ending(before)
    if size:
        yield Span("NAME", place - size, place, 0.7, "name_before_title")
    elif place and text[place - 1] in SURNAMES and (place < 2 or not "\u4e00" <= text[place - 2] <= "\u9fff"):
        yield Span("NAME", place - 1, place, 0.4, "surname_before_title")


def _ending(run: str) -> int:
    """Return the length of the Chinese name that ends ``run``; 0 if there is none."""
    size = len(run)
    while size and "\u4e00" <= run[size - 1] <= "\u9fff":
        size -= 1
    run = run[size:]
    for size in (4, 3, 2):
        name = run[-size:]
        head = 2 if name[:2] in COMPOUND else 1
        if (
            len(name) < size
            or size - head not in (1, 2)
            or (head == 1 and name[0] not in SURNAMES)
            or name[:2] in _NO_GIVEN
        ):
            continue
        boundary = len(run) == size or run[-size - 1] in FOLLOWS or run[-size - 1] in "由找名叫给人户生师"
        if all(char in GIVEN for char in name[head:]) and (boundary or size == 2 + head) and name[-2:] not in _NO_GIVEN:
            if size > head + 1 and name[0] in "和与及由给向于" and name[1] in SURNAMES:
                continue
            return size
    return 0


_W = r"[A-ZÀ-ÞŠŽČŁŐ][\w'’\-]{1,30}"
_NAME = rf"{_W}(?:[ ](?:(?:de|da|van|von|der|den|bin|al|el|la|le)[ ]){{0,2}}{_W}){{0,3}}"
_STOP = re.compile(
    r"(?i)the|an?|my|your|our|not|very|so|just|also|still|here|there|from|at|in|on|i|i'm|i’m|is|was|and"
    r"|or|but|for|to|of|it|he|she|we|they|you|yes|no|hello|hi|dear|please|thanks|thank|regards|"
    r"sincerely|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july"
    r"|august|september|october|november|december|"
    r"english|chinese|american|british|german|french|spanish|address|phone|email|mr|mrs|ms|dr|miss|card"
    r"|number|account|customer|service|support|team|bank|street|road|"
    r"what|when|where|who|how|why|if|this|that|these|those|can|could|would|should|will|date|name|fax|tel"
    r"|id|born|passport|order|account"
)
_KIN = words("""
kid son daughter wife husband brother sister mother father friend boss manager colleague partner uncle aunt
cousin neighbour neighbor
""")
_TWO, _THREE, _UP_TO_THREE = rf"{_W} {_W}", rf"{_W} {_W}(?: {_W})?", rf"{_W}(?: {_W}){{0,2}}"
_TITLE_WORDS = ("mr", "mrs", "ms", "miss", "dr", "prof", "professor", "sir", "madam")
_DOES = ("directed by", "written by", "starring", "says", "told", "asked", "met with")
_OF_NAME = (
    r"(?i:\b(?:my|his|her|their|full|last|first|maiden|partner's|partner’s|legal|given|family|middle|whose|the|user"
    r"|patient|member|customer|contact|client|employee|student)\s)?(?i:\bname)(?i:'s| is| was|\?|:|：| of)?[\s:：]{1,2}"
)
_LAST_FIRST = rf"{_W}, {_W}(?: (?:{_W}|[A-Z]\.?))?(?=\s*(?:\Z|[\0\n,;.)|]))"
# The word to look for, what stands before the name, the form of the name, how sure it is.
_LEADS = (
    ("name", r"(?i:\bname)\s?[:：]\s?", _LAST_FIRST, 0.86),
    ("patient", r"[Pp]atient\s?[:：]\s?", _LAST_FIRST, 0.86),
    ("name", _OF_NAME, _NAME, 0.85),
    ("name of", r"[Ii]n the name of ", _NAME, 0.85),
    ("call", r"\b[Cc]all(?:s|ed|ing)?(?: me| him| her)? ", _NAME, 0.7),
    ("i am", r"\bI am ", _THREE, 0.7),
    ("i'm", r"\bI'm ", _THREE, 0.7),
    ("i’m", r"\bI’m ", _THREE, 0.7),
    ("this is", r"\b[Tt]his is ", _THREE, 0.7),
    ("speaking with", r"\b[Ss]peaking with ", _UP_TO_THREE, 0.7),
    ("regards", r"[Rr]egards,?\s{1,3}", _TWO, 0.75),
    ("sincerely", r"[Ss]incerely,?\s{1,3}", _TWO, 0.75),
    ("thanks", r"[Tt]hanks,?\s{1,3}", _TWO, 0.6),
    ("cheers", r"[Cc]heers,?\s{1,3}", _TWO, 0.7),
    ("dear", r"\bDear ", _NAME, 0.6),
    ("signed", r"\b[Ss]igned(?: by)?[,:]?\s", _NAME, 0.7),
    ("patient", r"\b[Pp]atient:? ", _NAME, 0.6),
    *((f"{word} ", rf"(?i:\b{word}) ", _NAME, 0.5) for word in _DOES),
    *((f"{word} ", rf"(?i:\b(?:my|his|her|our|their) {word}),? ", _NAME, 0.65) for word in _KIN),
    *((f"{word}{end}", rf"\b(?i:{word})\.?\s", _UP_TO_THREE, 0.75) for end in (" ", ". ") for word in _TITLE_WORDS),
)
_SIGNS = tuple((word, re.compile(f"{lead}(?P<name>{name})"), sure) for word, lead, name, sure in _LEADS)
_SEQUENCE = re.compile(rf"(?<![\w'’.@/\-]){_W}(?: (?:[A-Z]\. )?(?:(?:de|da|van|von|der|bin|al|el) )?{_W}){{0,2}}")
_WORD = re.compile(r"[A-Z][a-zß-ÿ]+")
WORDS = (
    *_STRONG,
    *_WEAK,
    *_HONORIFICS,
    *_GREETINGS,
    *(word for word, *_ in _LEADS),
    "said ",
    "says ",
    "shouted ",
    "asked ",
    "replied ",
    "added ",
)


def english_names(text: str, at: At) -> Iterator[Span]:
    """Yield English names that a text gives as names."""
    for word, pattern, sure in _SIGNS:
        for place in at.words.get(word, ()):
            match = pattern.search(text, max(0, place - 12), place + 160)
            if match and match.start("name") >= place:
                yield from _trimmed(match.start("name"), match["name"], sure)


def _trimmed(start: int, name: str, sure: float) -> Iterator[Span]:
    words = name.split(" ")
    while words and _STOP.fullmatch(words[-1]):
        words.pop()
    whole = re.sub(r"['’]s$", "", " ".join(words)).rstrip("'’-")
    if words and not _STOP.fullmatch(words[0]) and len(whole) > 1:
        yield Span("NAME", start, start + len(whole), sure, "name_after_word")


_SUBJECT = re.compile(
    rf"(?P<name>{_NAME})(?:,? (?:said|says|shouted|whispered|lives|lived|began|works|worked|smiled|told"
    rf"|asked|replied|wrote|grew up|was born|spent|had given|moved)\b|, (?:can|could|may|would|will"
    rf"|please)\b)"
)
_SPOKE = re.compile(rf"[\"”’'!?,] ?(?:said|says|shouted|asked|replied|added|wrote) (?P<name>{_NAME})")


def subjects(text: str, at: At) -> Iterator[Span]:
    """Yield words that begin a sentence and do what only people do."""
    for place in at.openings:
        if match := _SUBJECT.match(text, place):
            yield from _trimmed(place, match["name"], 0.45)
    for place in at.of(("said ", "says ", "shouted ", "asked ", "replied ", "added ")):
        if match := _SPOKE.match(text, max(0, place - 2)):
            yield from _trimmed(match.start("name"), match["name"], 0.5)


def listed_names(text: str, at: At) -> Iterator[Span]:
    """Yield words that are frequent English first names, with the names that follow them."""
    done = 0
    for place in at.named:
        match = _WORD.match(text, place)
        if place < done or match is None or match[0].lower() not in FIRST:
            continue
        sequence = _SEQUENCE.match(text, place)
        if sequence:
            done = sequence.end()
            words = sequence[0].split(" ")
            last = re.sub(r"['’]s$", "", words[-1]).lower() in LAST
            sure = 0.42 if len(words) == 1 else 0.65 if last else 0.5
            yield from _trimmed(place, sequence[0], sure)


_CALLING = r"(?:^|[.!?,] |\b(?i:hi|hello|dear|thanks|you|sorry|welcome|mr|mrs|ms|miss)[,.]? )"
_TITLED = "(?=先生|女士|小姐|同学|阿姨|叔叔|总[，,。！!]|总您)"
_PEOPLE = 300  # of one text whose names are looked for again


def surely_named(text: str, found: Iterable[Span]) -> dict[str, float]:
    """Return the names that were surely found in a text, each with how sure."""
    return {text[s.start : s.end]: s.confidence for s in found if s.kind == "NAME" and s.confidence >= 0.5}


def repeated(text: str, sure: Mapping[str, float]) -> Iterator[Span]:
    """Yield the places in ``text`` of names that are known already; of more than a word, in capitals or small, too."""
    low = text.lower()
    for name, confidence in sorted(sure.items())[:_PEOPLE]:
        ascii_name = name.isascii()
        where, what = (low, name.lower()) if " " in name and len(low) == len(text) else (text, name)
        place = where.find(what) if len(what) > 1 else -1
        while place >= 0:
            end = place + len(what)
            if not (ascii_name and ((place and text[place - 1].isalnum()) or text[end : end + 1].isalnum())):
                yield Span("NAME", place, end, confidence * 0.95, "name_again")
            place = where.find(what, end)


def called(text: str, sure: Iterable[str]) -> Iterator[Span]:
    """Yield where somebody whose whole name is known is spoken to by a part of it."""
    for name in sorted(sure)[:_PEOPLE]:
        surname = name[: 2 if name[:2] in COMPOUND else 1] if "\u4e00" <= name[:1] <= "\u9fff" else ""
        words = [surname] if surname else name.split(" ") if " " in name else []
        for word in words:
            if word not in text or (word.isascii() and (len(word) < 3 or _STOP.fullmatch(word))):
                continue
            around = ("", _TITLED) if surname else (_CALLING, r"(?=[,.!?;:]|['’]s\b|\s*$)")
            for match in re.finditer(f"{around[0]}({re.escape(word)}){around[1]}", text):
                yield Span("NAME", *match.span(1), 0.55, "name_called")
