"""Words near a number that say what it is: the nearest cue before it decides, else one directly behind it.

This module knows words of Chinese and English forms and letters. It does not know the shapes of numbers.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Not behind a number, or not before one, that names a person: signs of amounts.
NO_MEASURE = r"(?!\s?[次元个件人万本台条位年月度张册份名页天岁亿千百吨米公平斤克kKmM%％])"
# What follows amounts of things; unlike above, no sign with which a sentence about a phone may go on.
AMOUNT = (
    r"(?!\s?(?:[美欧日港英]?元(?![旦宵])|人民币|[万亿][元吨人次股份户件美]|吨|人(?![工员民事])|户(?![主名口籍])|次|件(?!件)|股(?!东)|平方|立方"
    r"|公[里斤顷]|千[瓦克米]|桶|块|港币|美金|[kK]g\b|km\b|kWh\b|(?:ton(?:ne)?|dollar|euro|unit|share)s?\b|yuan\b"
    r"|people\b|RMB\b|CNY\b|USD\b|EUR\b|[%％]))"
)
MONEY = r"(?<![¥￥$€£])(?<![¥￥$€£] )"
_IDS = frozenset({"RESIDENT_ID", "REGION_ID"})
# What a cue speaks for; a number of any other kind is less likely. OTHER speaks for nothing personal.
_SPEAKS = {
    "PHONE": frozenset({"PHONE"}),
    "RESIDENT": _IDS,
    "PAPERS": _IDS | {"PASSPORT", "PERMIT", "LICENCE"},
    "PASSPORT": frozenset({"PASSPORT"}),
    "PERMIT": frozenset({"PERMIT", "RESIDENT_ID"}),
    "LICENCE": frozenset({"LICENCE", "RESIDENT_ID"}),
    "CARD": frozenset({"CARD", "IBAN", "ACCOUNT"}),
    "CREDIT": frozenset({"CREDIT_CODE"}),
    "SOCIAL": frozenset({"SSN"}),
    "NET": frozenset({"IP", "MAC"}),
    "OTHER": frozenset({"-"}),
}
_CUES = re.compile(
    r"""(?aix)  # "a": a Chinese character is no letter, so words may stand directly behind it
    (?P<CREDIT>统一社会信用代码|社会信用代码|信用代码|税号|开票(?:信息|资料)?|纳税人识别号|组织机构代码|\buscc\b
        |\bcredit[ ]code|\btax(?:payer)?[ ]id)
  | (?P<LICENCE>档案编号|驾驶证(?:号码|编号|号)?|驾照(?:号码|编号|号)?|驾证号?|\bdriv(?:er|ing|ers|er's
        |er’s)(?:[ ]?'?s)?[ -]*licen[cs]e|\blicen[cs]e[ ](?:no|num|\#)|\bdl[ ]?(?:no|\#))
  | (?P<PERMIT>通行证(?:号码|编号|号)?|回乡证号?|台胞证(?:号码|号)?|居住证(?:号码|号)?|往来港澳|港澳证
        |\btravel[ ]permit|\bpermit[ ](?:no|num))
  | (?P<PASSPORT>护照(?:号码|编号|号)?|\bpassport)
  | (?P<SOCIAL>\bssn\b|\bsocial[ ]security|社会保障号)
  | (?P<CARD>银行卡(?:号码|卡号|号)?|(?:信用|借记|储蓄|储值|工资)卡(?:号码|卡号|号)?|银行账[号户]|收款账[号户]
        |付款账[号户]|转账|汇款|尾款|打款|卡号|账号|帐号|账户|帐户|开户行
        |\b(?:credit|debit|bank)[ -]?cards?\b|\bcards?\b|\bvisa\b|\bmastercard|\bunionpay|\bamex\b|\biban\b|\baccount\b
        |\bacct\b)
  | (?P<RESIDENT>(?:居民|公民)?身份(?:证件?)?(?:号码|编号|号|件)?|公民身份号码|身分證(?:字號|號碼)?
        |身份證(?:號碼)?|\bhkid\b|\bidentity[ ]card|\b(?:national|resident|identity|citizen)[ ]id|\bid[ -]?card
        |\bid[ ](?:no|number|num)\b)
  | (?P<PAPERS>证件(?:号码|编号|号)?|证号)
  | (?P<NET>\bip(?![a-z])|\bmac(?![a-z])|登录来源|网关|服务器|主机|登录地|\bdns\b|\bping\b|\bhost\b|\bserver\b|来源地址)
  | (?P<PHONE>(?:联系|办公|家庭|移动|固定|客服|咨询|服务|报警|预留|绑定)?(?:电话|手机|手機|電話)(?!银行|版|端
        |应用|软件|壳|型号|游戏|app|费|店|会议)(?:号码|號碼|号|机)?|联系|聯繫|(?:来|致|回|去)电|座机|热线
        |联系方式|拨打|手机尾号|短信|微信|热線|传真|話|这个号|\bcall(?:ed|s|ing)?(?:[ ]me)?\b|\bring[ ]me|\bphone
        |\btel(?:ephone)?(?![a-z])|\bmobile\b|\bcell\b|\bfax|\bwhats?app|\bhotline|\btext[ ](?:me|us)\b
        |\breach[ ](?:me|us|him|her|them)|\bcontact\b|\bdesk\b|\boffice\b|\bhome\b|\bwork[:：]|\bsms\b|\bdial(?:ing)?\b)
  | (?P<OTHER>订单(?:编号|号)?|單號|单号|编号|流水|运单|快递|物流|货号|型号|批号|批次|\bisbn|\bissn|条形?码|合同
        |发票|票号|案号|金额|价格|总价|余额|合计|版本|序列号|编码|代码|学号|工号|病历|门诊号|住院号|会员号|房号
        |群号|文号|字号|校验|哈希|件号|凭证|流水号|交易号|参考号|受理号|申请号|注册号|备案|设备|条款|固件|内核
        |驱动|\bqq(?![a-z.])|\bgb/t|群聊|商品|时间戳|\btimestamp|\bfirmware|\brelease|\bsoftware|\bv(?=[0-9])|\bv\.?\s?$
        |第\s?$
        |\border[ ]?(?:no|num|id|\#|:)|\bpurchase[ ]order|\binvoice|\btracking|\bserial|\bversion
        |\bref(?:erence)?\b|\bsku\b|\bcase[ ](?:no|num|id|\#)|\bticket|\bmodel[ ](?:no|num)|\bproduct|\bbatch
        |\bbarcode|\bdoi\b|\bcommit\b|\btransaction|\bparcel|\buuid\b|\bimei\b|\bpart[ ](?:no|num)|\bbuild\b
        |\bprice|\btotal)
    """
)
# Between a number and the cue behind it, and what makes a cue one of the next number: that its own stands there.
_BEHIND = re.compile(r"[\s(（,，]*(?P<said>是|为|is|as)?\s?(?:我的|他的|她的|my |his |her |the )?")
_NEXT = re.compile(r"[^,，。;；、()（）\n0-9]{0,10}[0-9]")
_BEFORE, _AFTER = 36, 24
_LONG = re.compile(r"[0-9](?:[ \-]?[0-9]){5,}")
# What takes a cue of OTHER from a later number: a short number of its own, or the end of the clause.
_TAKEN = re.compile(r"[，。；;！？!?]|[0-9][,.]?[0-9][0-9,.]*[^\s0-9.,\-·()/_]|[0-9]\.[0-9]{1,3}(?:\s|,$)|[0-9]{2}\n")
# Addresses of mailboxes and web pages: words in them say nothing of a number behind them.
_ADDRESS = re.compile(
    r"(?a)[\w.%+\-/:?=&#~]*(?:@|://|www\.|\.(?:com|cn|net|org)\b)[\w.%+\-/:?=&#~]*+(?=[^\w.%+\-/:?=&#~])"
)
_AND = re.compile(r"(?:\s|[、,，/;；和或及与]|and|or|以及|还有|&){1,8}")


@lru_cache(maxsize=65536)
def _spoken(before: str, after: str) -> tuple[frozenset[str], bool]:
    if "." in before:
        before = _ADDRESS.sub(" ", before)
    cues = list(_CUES.finditer(before))
    last = cues[-1] if cues else None
    if last and last.lastgroup:
        numbers = list(_LONG.finditer(before, last.end()))
        if numbers and not _AND.fullmatch(before, numbers[-1].end()):
            return frozenset(), True
        other = last.lastgroup == "OTHER"
        return _SPEAKS[last.lastgroup], bool(numbers or (other and _TAKEN.search(before, last.end())))
    return _said_behind(after), False


def _said_behind(after: str) -> frozenset[str]:
    """Return what the cue speaks for that stands directly behind a number and is not the next number's."""
    link = _BEHIND.match(after)
    first = _CUES.match(after, link.end()) if link else None
    if link is None or first is None or not first.lastgroup or _NEXT.match(after, first.end()):
        return frozenset()
    if first.lastgroup == "OTHER" and not link["said"] and "(" not in link[0] and "（" not in link[0]:
        return frozenset()
    return _SPEAKS[first.lastgroup]


def spoken(text: str, start: int, end: int) -> tuple[frozenset[str], bool]:
    """Return the kinds that the nearest cue speaks for (empty: none does), and whether it was said of another number.

    A cue that was said of another number speaks for this one only in an enumeration.
    """
    before = text[max(0, start - _BEFORE) : start].rpartition("\0")[2]
    return _spoken(before, text[end : end + _AFTER].partition("\0")[0])


def sureness(text: str, kind: str, start: int, end: int, sure: tuple[float, float, float]) -> float:
    """Return how sure a number is of its kind; ``sure``: with no cue, with one for the kind, with one for another."""
    kinds, used = spoken(text, start, end)
    bare, cued, miscued = sure
    glued = start > 0 and (text[start - 1] == "_" or (text[start - 1].isascii() and text[start - 1].isalpha()))
    if not kinds:
        return bare * (0.6 if glued else 1)
    if kind in kinds:
        return cued - 0.1 if used else cued
    if used or kinds != _SPEAKS["OTHER"]:
        return bare if used else (bare + miscued) / 2
    return miscued
