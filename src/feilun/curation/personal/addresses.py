"""Postal addresses, Chinese and English; names of places for those who ask; vehicle plates.

This module knows how addresses are put together, and plates, which begin with a province. It does not know whether a
place exists, beyond the names of ``gazetteer``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from feilun.curation.personal.gazetteer import ABROAD, COUNTRIES, REGION, STREETS
from feilun.curation.personal.signs import PLATES, At
from feilun.curation.personal.spans import Span

_H = "\u4e00-\u9fff"
_N = "[0-9〇零一二三四五六七八九十百千]"
_COUNTED = frozenset("〇零一二三四五六七八九十百千")
_UNIT = re.compile(r"(?P<n>[0-9〇零一二三四五六七八九十百][0-9\-]{0,4}[A-Za-z]?)\s?(?:号|號|弄|巷|栋|幢|单元|室|组|座)")
_ROAD = re.compile(
    r"(?:路|街|大道|道|巷|胡同|弄|条|里|段|线|村|屯|庄|坊|组|队|社区|街道|镇|乡|小区|花园|家园|新村|苑|园"
    r"|城|府|大厦|广场|公寓|中心|大院|家属院|宿舍|公馆|厂|湾|[东西南北]|期|区)$"
)
_NOT_ROAD = re.compile(
    r"(?:知道|街道办|地区|小组|项目组|课题组|车队|部队|渠道|频道|栏目|思路|线路|电路|网路|中心|专区|赛道"
    r"|报道|管道|轨道|[这那哪每某]\w{0,2})$"
)
_STOP = re.compile(
    r"住在|家住|现住|位于|地址|住址|在于|发往|送往|寄往|寄到|寄至|送到|送至|搬到|搬至|就在|是在|来自|前往"
    r"|户籍|籍贯|收货|所在地|注册地|办公地"
    r"|[在到至为是从往去于的住寄送址给把请我你他她和与及，。：:；、！？,;!?]"
)
_TAIL = re.compile(
    rf"(?:\s?(?:附?{_N}{{1,8}}(?:-[0-9]{{1,4}})?[A-Za-z]?\s?(?:号楼|号院|號樓|号|號|弄|巷|栋|幢|棟|座|单元|單元|层|層|楼|樓|室|房(?![屋产地间租])"
    rf"|户|戶|组|期|区|支弄)|[A-Za-z]{{1,2}}[0-9]{{0,3}}(?:座|栋|幢|棟|区|单元|單元|室)"
    rf"|[{_H}]{{2,10}}?(?:小区|花园|家园|新村|大厦|广场|公寓|大院|家属院|宿舍|公馆|写字楼|中心|大楼|商城"
    rf"|苑|城|园|府|湾|里|院)(?=\s?[0-9A-Za-z一二三四五六七八九十]{{1,5}}(?:-[0-9]|号|栋|幢|座|单元|室|期"
    rf"|区|层))"
    r"|[0-9]{1,4}(?:-[0-9]{1,4}){1,3}(?![0-9])|(?<=[元栋幢棟座楼樓])(?:[0-9]{2,4}(?![0-9])|[〇零一二三四五六七八九]{2,4}(?![十百千]))(?:室|房|号)?"
    rf"|之{_N}{{1,3}}(?:号|號|楼|樓)?"
    r"|(?<=[号號])[0-9]{3,4}(?!\s?[0-9年月日.元个人])(?:室|房)?))+"
)
_BUILDING = re.compile(rf"[{_H}]{{2,10}}?(?:小区|花园|家园|新村|大厦|广场|公寓|大院|家属院|宿舍|公馆|写字楼)")
_CUE = re.compile(
    r"(?:地址|住址|家住|现住址?|居住地|户籍(?:所在)?地?|户口所在地|籍贯|收货地)(?:是|为|在|：|:|\s){0,3}$"
)
_CUE_WORDS = ("地址", "住址", "家住", "现住", "居住地", "户籍", "籍贯", "住在", "寄到", "寄往", "送到", "收货")
_HOME_WORDS = frozenset({"住址", "家住", "现住", "居住地", "户籍", "住在"})
_AFTER_CUE = re.compile(rf"(?:[:：是为在于到]|\s){{0,3}}(?P<all>(?:[{_H}0-9A-Za-z\-]|[ ](?=[0-9A-Za-z])){{4,40}})")
_DISTRICT = re.compile(rf"[{_H}]{{2,4}}?[区县市旗]")
_AFTER_ALL = re.compile("[的是为，]|电话|手机|邮编|联系|收件|姓名")
_DIVISIONS = re.compile(r"[省市区县旗州盟镇乡村路街]")
_REACH = 34


def chinese_addresses(text: str, at: At) -> Iterator[Span]:
    """Yield Chinese addresses: a street, village or estate with a number, and all that stands around it."""
    done = 0
    for place in at.units:
        unit = _UNIT.search(text, max(done, place - 8), place + 2)
        if place < done or unit is None:
            continue
        first = unit.start()
        while first > done and text[first] in _COUNTED and text[first - 1] in _COUNTED:
            first -= 1
        left = _left(text, first, done)
        before = text[left:first]
        if not _ROAD.search(before) or _NOT_ROAD.search(before):
            continue
        start, region = _begin(text, left, first)
        if first - start < 2:
            continue
        tail = _TAIL.match(text, first)
        done = tail.end() if tail else unit.end()
        more = _BUILDING.match(text, done) if tail else None
        done = more.end() if more else done
        cued = bool(_CUE.search(text, max(0, start - 12), start))
        divisions = len(_DIVISIONS.findall(before))
        sure = (
            0.5
            + 0.2 * region
            + 0.2 * cued
            + 0.08 * min(divisions - 1, 2)
            + 0.07 * bool(more or (tail and tail.end() > unit.end()))
        )
        yield Span("ADDRESS", start, done, min(sure, 0.97), "chinese_address")
    yield from _stated(text, at)


def _left(text: str, end: int, done: int) -> int:
    start = end
    while start > done and end - start < _REACH:
        char = text[start - 1]
        if not (
            "\u4e00" <= char <= "\u9fff" or (char == " " and end - start > 1) or (char.isascii() and char.isalnum())
        ):
            break
        start -= 1
    return start


def _begin(text: str, left: int, end: int) -> tuple[int, bool]:
    stretch = text[left:end]
    regions = [match.start() for match in REGION.finditer(stretch)]
    stops = [match.end() for match in _STOP.finditer(stretch) if match.end() < len(stretch) - 1]
    if regions:
        # The first region of the last unbroken stretch: "从北京到上海市黄浦区" begins at Shanghai.
        after = [place for place in regions if not any(place < stop for stop in stops)]
        return left + (after[0] if after else regions[-1]), True
    start = left + (stops[-1] if stops else 0)
    while start < end and text[start] in " 0123456789":
        start += 1
    return max(start, end - 16), False


def _stated(text: str, at: At) -> Iterator[Span]:
    for word in _CUE_WORDS:
        for place in at.words.get(word, ()):
            match = _AFTER_CUE.match(text, place + len(word))
            pattern = REGION if word not in _HOME_WORDS or (match and REGION.match(match["all"])) else _DISTRICT
            region = pattern.match(match["all"]) if match else None
            if match and region:
                body = _AFTER_ALL.split(match["all"])[0]
                ends = [found.end() for found in _DIVISIONS.finditer(body) if found.end() > region.end() + 1]
                numbered = any(char.isdecimal() or char in _COUNTED for char in body[region.end() :])
                if len(body) >= 6 and (numbered or (ends and region.re is REGION)):
                    yield Span("ADDRESS", match.start("all"), match.start("all") + len(body), 0.6, "stated_address")


_W = r"[^\W\d_][\w'’.\-]{0,24}"
_STREET = re.compile(
    rf"(?i)[0-9](?<![\w\-.][0-9])[0-9]{{0,4}}[a-z]?(?: [0-9]{{1,5}})?,? (?:(?:[NSEW]\.? )?(?:{_W}"
    rf"|[0-9]{{1,3}}(?:st|nd|rd|th))[, ]{{1,2}}){{1,4}}(?:{STREETS})\b\.?(?: [NSEW]{{1,2}}\b)?"
)
_FLAT = re.compile(r"(?i)\b(?:flat|apt|apartment|unit|suite|room)\.? ?[a-z]?[0-9]{1,4}[a-z]?, $")
_REST = re.compile(
    r"(?i)(?:[, \n]{1,6}(?:(?:apt|suite|ste|unit|flat|floor|room|#)\.? ?[a-z]?-?[0-9]{1,5}[a-z]?|po box [0-9]{1,6}))?"
    r"(?-i:(?:[, \n]{1,5}(?![A-Z]{1,2}[0-9])[A-ZÀ-Þ][\w'’.\-]{1,24}"
    r"(?: (?![A-Z]{1,2}[0-9])[A-ZÀ-Þ][\w'’.\-]{1,24}){0,3})){0,3}"
    r"(?:[, \n]{1,5}(?:nan|[A-Z]{2,3})\b)?(?:[, \n]{1,4}(?:[0-9]{5}(?:-[0-9]{4})?"
    r"|[A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2})(?![\w\-]))?"
)
_NUMBERED = re.compile(
    rf"(?<![\w\-.])[0-9]{{1,4}} (?:[0-9]{{1,4}} )?(?:{_W} ){{0,4}}(?:{_W})(?: [0-9]{{1,4}}\.?)?(?![\w])"
)
_ABROAD = re.compile(
    rf"(?i)(?<!\w)(?:[^\W\d_]{{2,24}}(?:{ABROAD})|[^\W\d_]{{3,24}} (?:{ABROAD})|(?:{ABROAD}) {_W}(?: "
    rf"{_W})?) [0-9]{{1,4}}\b"
)
_GIVEN = re.compile(
    r"(?i)\b(?:address(?:es)?\b(?:[ ,:]{1,2}(?:here they are|is|to|with|book|it is|was"
    r"|below)){0,2}[?:, ]{0,3}\s{0,6}(?:it is )?|return to |located at |lives? (?:at|on) |lived (?:at|on"
    r"|in) |restaurant is at |deliver(?:ed)? to |ship(?:ped)? to |mail(?:ed)? to )"
    r"(?:[^\W\d]{1,24}[ \n]{1,6}){0,4}(?P<all>[0-9]{1,4}[^?!\0]{4,110})"
)
_GIVEN_END = re.compile(
    r"(?i)[.;](?=\s[A-Z]|\s*$)| in case | for (?:this|post|my)|, and | i |\n\s*\n|\n(?=[^\n]{0,20}(?:[0-9][ .\-]?){7})"
)
_POSTCODE = re.compile(
    r"(?i)\b(?:zip(?: ?code)?|post ?code|postal code|邮编|邮政编码)\s?(?:is|:|：|是"
    r"|为)?\s?(?P<code>[0-9]{5,6}(?:-[0-9]{4})?|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2})(?![0-9A-Za-z])"
)
_UK = re.compile(r"(?<![0-9A-Za-z])[A-Z]{1,2}[0-9][0-9A-Z]? [0-9][ABD-HJLNP-UW-Z]{2}(?![0-9A-Za-z])")
_CODE_WORDS = ("zip", "postcode", "post code", "postal", "邮编", "邮政编码")
_GIVEN_WORDS = ("address", "return to", "located at", "live", "restaurant is at", "deliver", "ship", "mail")
WORDS = (*_CUE_WORDS, *_CODE_WORDS, *_GIVEN_WORDS)


def english_addresses(text: str, at: At) -> Iterator[Span]:
    """Yield addresses as English and American letters have them, and what follows "address"."""
    for place in at.counted:
        match = _STREET.match(text, place)
        if match is None:
            continue
        rest = _REST.match(text, match.end())
        end = rest.end() if rest else match.end()
        while text[end - 1] in " .,\n":
            end -= 1
        flat = _FLAT.search(text, max(0, place - 16), place)
        yield Span("ADDRESS", flat.start() if flat else place, end, 0.7, "street")
    for place in at.of(_CODE_WORDS):
        if match := _POSTCODE.match(text, place):
            yield Span("ADDRESS", *match.span("code"), 0.55, "postcode")
    for place in at.of(_GIVEN_WORDS):
        if match := _GIVEN.match(text, place, place + 240):
            yield _given(match)


def _given(match: re.Match[str]) -> Span:
    end = _GIVEN_END.search(match["all"])
    whole = (match["all"][: end.start()] if end else match["all"]).rstrip(" .,\n")
    return Span("ADDRESS", match.start("all"), match.start("all") + len(whole), 0.6, "given_address")


_COUNTRY = re.compile(r"\b(?:" + "|".join(sorted(COUNTRIES, key=len, reverse=True)) + r")\b")
_PLACE_CUE = re.compile(
    r"\b(?:(?:lives?|lived|living|born|raised|grew up|moved(?: here)?|arrived|based|travel(?:led|ing)?"
    r"|returned|visit(?:ed|ing)?|University of|city of|town of|flew|trip)"
    r"(?: here)?(?: in| from| to| at)? |from |Where: |\bin )(?P<place>[A-ZÀ-Þ][\w'’.\-]{2,24}(?: "
    r"[A-ZÀ-Þ][\w'’.\-]{1,24}| nad| am| upon| 2){0,2})"
)
_LINE = re.compile(
    r"(?m)^[ ?]{0,6}(?P<line>[0-9]{1,4} (?:[0-9]{1,5} "
    r")?[^\W\d_][^\n\0]{3,60})$(?P<more>(?:\n\s{0,6}[^\n\0@]{0,40}$){0,5})"
)


def places(text: str, _: At) -> Iterator[Span]:
    """Yield places by name or by the words before them, and blocks of lines that look like an address."""
    for match in _COUNTRY.finditer(text):
        yield Span("PLACE", *match.span(), 0.6, "country")
    for match in _PLACE_CUE.finditer(text):
        yield Span("PLACE", *match.span("place"), 0.4, "place_cue")
    for match in _ABROAD.finditer(text):
        yield Span("PLACE", *match.span(), 0.55, "street_abroad")
    for match in _UK.finditer(text):
        yield Span("PLACE", *match.span(), 0.5, "postcode")
    for match in _LINE.finditer(text):
        more = (
            re.split(r"\n(?=[^\n]*(?:[0-9][ .\-]?){7}|\s*[A-Z]?[a-z]+:|$)", match["more"])[0] if match["more"] else ""
        )
        yield Span("PLACE", match.start("line"), match.end("line") + len(more.rstrip()), 0.45, "address_lines")


_PLATE = re.compile(
    rf"[{PLATES}][A-HJ-NP-Za-hj-np-z][ ]?[·•・.\-]?[ ]?"
    r"(?:[DFABCEGHJKdfabceghjk][A-HJ-NP-Za-hj-np-z0-9][0-9]{4}|[0-9]{5}[A-HJKa-hjk]"
    r"|[A-HJ-NP-Za-hj-np-z0-9]{5}|[A-HJ-NP-Za-hj-np-z0-9]{4}[挂学警港澳领])"
    r"(?![0-9A-Za-z])"
)
_ARMY = re.compile(
    r"(?<![0-9A-Za-z])WJ[ ]?[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]?[ ]?[·•\-]?[0"
    r"-9]{4}[0-9A-HJ-NP-Z](?![0-9A-Za-z])"
)


def plates(text: str, at: At) -> Iterator[Span]:
    """Yield Chinese vehicle plates, those of new-energy vehicles (two forms, GA 36) among them."""
    for place in at.plates:
        match = _PLATE.match(text, place)
        if match is None:
            continue
        number = match[0][2:]
        if sum(char.isdigit() for char in number) >= 2:
            yield Span("PLATE", *match.span(), 0.92 if match[0][1].isupper() else 0.7, "plate")
    for match in _ARMY.finditer(text) if at.words.get("wj") else ():
        yield Span("PLATE", *match.span(), 0.85, "police_plate")
