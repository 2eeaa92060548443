"""Spam that was put before, behind or between the lines of a page: adult, gambling and link lists, keyword salads.

This module knows the words of such lists and that they come as lists, not as sentences: an article about gambling is
no spam. It does not know site furniture.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from feilun.curation.repair.characters import Joined, measured, table_of
from feilun.curation.repair.sieve import Sieve, matches
from feilun.curation.seam import Mended, Note

_HARD = (
    "无码|無碼|毛片|人妻|熟女|少妇|少婦|精品视频|久久精品|久久久|久久综合|色综合|亚洲精品|亚洲综合|欧美激情"
    "|日韩精品|国产精品|国产自拍"
    "|偷拍|自拍偷|嫩草|一区二区|二区三区|中文字幕|av片|av在线|在线看片|成人片|成人网|成人电影|黄片|黄色网|黄网站"
    "|三级片|激情网|色情"
    "|裸聊|约炮|一夜情|萝莉|高潮|巨乳|潮喷|撸|伊人|乱码一区|乱伦|做爱|性爱|色婷婷|午夜福利|福利视频|免费观看视频|麻豆"
    "|博彩|彩票网|时时彩|六合彩|北京赛车|pk10|百家乐|老虎机|真人娱乐|真人荷官|棋牌|娱乐城|赌场|澳门新|威尼斯人|葡京"
    "|金沙|太阳城|开户送"
    "|注册送|返水|投注|下注|足彩|买球|bet365|必博|亚博|开云体育|米兰体育|华体会|乐鱼|九游|爱游戏|雷火电竞|皇冠体育"
    "|体育平台|体育官网|彩金"
    "|代开发票|办证|刻章|代孕|私服|外挂|贷款秒|黑户贷|刷单|增粉|站群|主站蜘蛛池|蜘蛛池|快排|代写论文|论文代写"
    "|一分快三|幸运飞艇|分分彩|购彩|pg电子|麻将胡了|赏金女王|电玩城|电子游艺|真票|黑户|白户|强制下款|先开后付|不成功不收费"
    "|友情链接|友情連結"
    "|casino|slots?\\b|poker|betting|jackpot|roulette|baccarat|viagra|cialis|levitra|tramadol|xanax|porn|xxx|milf"
    "|escorts?\\b|hookup"
    "|sex (?:cam|chat|video|dating)|payday loans?|forex signals|replica (?:watch|bag|rolex)|rolex replica|cheap "
    "(?:jerseys|nike|uggs?|oakley)"
    "|louis vuitton|backlinks?|seo services?|essay writing|buy essays?|crypto giveaway|online pharmacy|weight loss "
    "pills"
)
_SOFT = (
    "国产|國產|亚洲|亞洲|欧美|日韩|精品|在线|免费|视频|成人|激情|午夜|综合|黄色|大片|不卡|高清|官网|平台|下载"
    "|注册|登录|app|体育|娱乐|开户"
)
_SOFT_EN = "|free|best|cheap|online|buy|bonus|discount|order|deposit|price|pills|bet\\b"
_HARD_WORD = re.compile(_HARD)  # of lower-case text: alternatives that all begin with a letter are found fast
_ANY_WORD = re.compile(f"{_HARD}|{_SOFT}{_SOFT_EN}")
_SPLIT = re.compile("[|｜丨_\\-–—»>·•,，;；、/\t]+|\\s{1,}")
_HARD_SPLIT = re.compile("[|｜丨»•\t]+| {2,}|(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])|, ?|，")
_SENTENCE = re.compile("[。！？!?…]|\\.(?:\\s|$)|[的了是在](?=[^|]{4,}[。！？])")
_START = re.compile("(?:主站蜘蛛池|友情链接|友情連結|蜘蛛池)[^\n]{0,8}[:：]|(?:[|｜丨][^|｜丨\n]{2,40}){6,}")
_FREQUENT = frozenset(
    [
        "onli",
        "buy",
        "",
        "seo",
        "",
        "weig",
        "cryp",
        "国产",
        "亚洲",
        "欧美",
        "日韩",
        "中文",
        "在线",
        "体育",
        "免费",
        "投注",
    ]
) | {"buy ", "seo "}
# An advertisement says where to go and why: with a word of the trade, one line of it is enough.
_REACHED = re.compile("https?://|www\\.|\\.com\\b|whatsapp|telegram|加微|加薇|微信|扣扣|qq群|q群|客服号")
_LURE = re.compile(
    "bonus|click here|sign up|join now|free|win\\b|promo|best|limited|deposit|领取|彩金|优惠|红包|注册|限时|点击|返现"
    "|首存|开户|赠送|福利"
)
# A forger's line says what he sells and how to reach him by a message, or by the telephone that he carries about.
_NAMED = re.compile("(?:qq|扣扣|微信|薇信|加薇|加微|威信|vx)[号:：\\s]{0,3}[a-z0-9_-]{5,20}")
_MOBILE = re.compile("(?<!\\d)1[3-9]\\d{9}(?!\\d)")
_OFFER = re.compile(
    "代开|开票|发票|普票|专票|真票|点数|放款|下款|贷款|网贷|黑户|白户|征信|毕业证|学历证|资格证|文凭|高价回收|包过|保真"
    "|先开后付|不成功不收费|不看征信"
)
_LINKS = re.compile("友情(?:链接|連結)[:：]")
# Who warns of spam, forbids it or punishes it uses its words.
_WARNS = re.compile(
    "请勿|切勿|谨防|警惕|举报|防范|诈骗|骗局|严禁|禁止|不得|违法|违规|犯罪|刑|罚款|打击|取缔|查处|整治|反诈"
    "|beware|scam|fraud|illegal|prohibit|forbidden|not allowed|must not|report (?:it|them|such)"
)
_MAY_BE = re.compile(f"{_HARD}|代开|{_NAMED.pattern}")
_LEAST = 2  # words that only spam has


def _covered(text: str) -> float:
    letters = sum(char.isalnum() for char in text)
    return sum(len(match[0]) for match in _ANY_WORD.finditer(text)) / max(1, letters)


def is_spam(line: str) -> bool:
    """Tell whether a line is a list of spam: words of the trade, hardly anything else, no sentences."""
    line = line.lower()
    hard = {match[0] for match in _HARD_WORD.finditer(line)}
    if not hard:
        return _is_offer(line) or is_salad(line)
    if _WARNS.search(line):
        return False
    if len(line) <= 200 and _REACHED.search(line) and len({match[0] for match in _LURE.finditer(line)}) >= 2:
        return True
    if _is_offer(line) or (_LINKS.match(line) and len(line.split()) >= 3):
        return True
    pieces = [piece for piece in _HARD_SPLIT.split(line) if piece.strip()]
    sentences = len(_SENTENCE.findall(line))
    if sentences > max(1, len(pieces) // 6):
        return False
    many = len(_HARD_WORD.findall(line))
    if len(pieces) >= 4 and many >= 3:
        listed = sum(_HARD_WORD.search(piece) is not None for piece in pieces)
        if 10 * listed >= 3 * len(pieces):
            return True
    if any(mark in line for mark in "，。；") and len(hard) < 3:
        return False
    covered = _covered(line)
    return (len(hard) >= _LEAST and covered >= 0.4) or (covered >= 0.55 and many >= 2) or covered >= 0.75


def _is_offer(line: str) -> bool:
    """Tell whether a line offers forged papers or loans to anybody, and says how to reach who does."""
    offers = {match[0] for match in _OFFER.finditer(line)} if len(line) <= 200 else set()
    if len(offers) < 2 or _WARNS.search(line):
        return False
    return _NAMED.search(line) is not None or ("代开" in offers and _MOBILE.search(line) is not None)


def is_salad(line: str) -> bool:
    """Tell whether a line is a heap of key words: many short pieces, most of which hold the same two stems."""
    if len(line) < 40:
        return False
    pieces = [piece.strip() for piece in re.split("[|｜丨_,，\t]+|\\s+(?=[\u4e00-\u9fff])", line) if piece.strip()]
    if len(pieces) < 8 or sum(map(len, pieces)) > 30 * len(pieces) or _SENTENCE.search(line):
        return False
    endings = Counter(piece[-2:] for piece in pieces)
    if 2 * max(endings.values()) >= len(pieces):
        return False
    stems: Counter[str] = Counter()
    for piece in pieces:
        words = piece.casefold().split()
        parts = words if piece.isascii() else [piece[i : i + 2] for i in range(len(piece) - 1)]
        stems.update({part for part in parts if len(part) > 1})
    common = [stem for stem, count in stems.items() if 10 * count >= 6 * len(pieces)]
    sells = (
        len({match[0] for match in _ANY_WORD.finditer(line)}) >= 2
    )  # clubs of one city and fields of research do not
    return sells and len(common) >= 2 and 2 * sum(map(_has_digit, pieces)) <= len(pieces)


def _has_digit(piece: str) -> bool:
    return any(char.isdigit() for char in piece)


@dataclass(frozen=True, slots=True)
class Spam:
    """Cuts spam. The note says at which character of the text before, and how the cut begins."""

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Return the texts without spam; None where there was none."""
        del langs
        words, spots = _sieve().spots(texts)
        heaps = measured(texts, _heaps).tolist()
        found: list[Mended | None] = [None] * len(texts)
        for place, (text, word, heap) in enumerate(zip(texts, words, heaps, strict=True)):
            if word or heap >= 7:
                hard = _has_hard(text, spots[place])
                if hard or heap >= 7:
                    found[place] = self._one(text, hard)
        return found

    def _one(self, text: str, hard: bool) -> Mended | None:
        kept: list[str] = []
        notes: list[Note] = []
        place = 0
        lines = text.split("\n")
        for line in lines:
            left, start = _cut(line, hard) if hard or _is_heap(line) else (line, 0)
            if left == line:
                kept.append(line)
            else:
                kept += [left] if left.strip() else []
                cut = len(line) - len(left)
                where = f"at character {place + start} of {len(text)}, {cut} characters"
                notes.append(Note("spam", f"{where}: {line[start : start + 40]}"))
            place += len(line) + 1
        if not notes:
            return None
        return Mended("\n".join(kept).strip("\n"), tuple(notes))


@cache
def _sieve() -> Sieve:
    """Return what finds the beginnings of hard words; some that sound texts are full of come with others anyway."""
    return Sieve(filter(None, (re.sub(r"[(\\\[?].*", "", word) for word in (*_HARD.split("|"), "代开"))), _FREQUENT)


def _has_hard(text: str, spots: Sequence[int]) -> bool:
    if not spots:
        return False
    lowered = text.lower()
    if len(lowered) != len(text):
        return _MAY_BE.search(lowered) is not None
    return any(matches(_MAY_BE, lowered, spots))


def _heaps(joined: Joined) -> np.ndarray:
    """Return for each text how many signs it has that part key words."""
    parts = table_of("|｜丨_\t,，")[joined.codes]
    han = joined.codes > 0x2FFF
    spaced = han[:-2] & (joined.codes[1:-1] == 32) & han[2:]
    return np.asarray(np.maximum(joined.count(parts), joined.count(spaced)))


def _is_heap(line: str) -> bool:
    """Tell whether a line may be a heap of key words: hardly any sentence, many pieces."""
    if len(line) < 40 or "。" in line or ". " in line:
        return False
    return len(_PARTS.findall(line)) >= 7


_PARTS = re.compile("[|｜丨_\t,，]|(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")


def _cut(line: str, hard: bool) -> tuple[str, int]:
    """Return a line without its spam and where that began; ``hard`` tells whether its text has words of the trade."""
    if len(line) < 6 or not ((hard and _MAY_BE.search(line.lower())) or _is_heap(line)):
        return line, 0
    is_bad = is_spam if hard else _is_salad_in_any_case
    starts = [match.start() for match in _START.finditer(line)]
    starts += [match.end() for match in re.finditer("[。！？!?](?=.)", line)][-1:]
    for start in starts:
        if start and is_bad(line[start:]) and not is_bad(line[:start]):
            return line[:start].rstrip(), start
    return ("", 0) if is_bad(line) else (line, 0)


def _is_salad_in_any_case(line: str) -> bool:
    return is_salad(line.lower())
