"""Addresses of machines and mailboxes, web addresses, and what opens doors: keys, tokens, passwords.

This module knows the forms of networks and the prefixes under which well-known services issue keys. It does not know
whether a mailbox or a key exists.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Iterator

from feilun.curation.personal.cues import spoken
from feilun.curation.personal.signs import At
from feilun.curation.personal.spans import Span

_LOCAL = r"[A-Za-z0-9_%+][A-Za-z0-9_.%+\-]{0,63}"
_HOST = r"[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){0,5}\.[A-Za-z]{2,24}"
# Any letters but Chinese ones, which stand before a mailbox without a space; a mailbox of these alone is short.
_MAILBOX_END = re.compile(r"(?:[^\W\u2e80-\u9fff\uac00-\ud7af]|[.%+\-'’]){1,64}$")
_HAN_MAILBOX_END = re.compile(r"[\u4e00-\u9fff]{1,3}$")
_NO_MAILBOX = re.compile(r".*[到至给是为于向请箱邮系]", re.DOTALL)
_HOST_START = re.compile(
    rf"(?:{_HOST}|[\w\-]{{1,63}}(?:\.[\w\-]{{1,63}}){{0,4}}\.(?:中国|中國|公司|网络)"
    r"|(?:[^\W_\u2e80-\u9fff]|[\-]){1,63}(?:\.[A-Za-z0-9\-]{1,63}){0,4}\.[A-Za-z]{2,24})(?![A-Za-z0-9])"
)
_SPELT = re.compile(
    rf"(?<![A-Za-z0-9_.%+\-]){_LOCAL} ?[\[(（]at[\])）] ?[A-Za-z0-9\-]{{1,63}}(?: ?(?:\."
    rf"|[\[(（]dot[\])）]) ?[A-Za-z0-9\-]{{1,63}}){{1,5}}",
    re.IGNORECASE | re.ASCII,
)
_IPV4 = re.compile(
    r"[0-9](?<![0-9A-Za-z.\-][0-9])[0-9]{0,2}\.(?:[0-9]{1,3}\.){2}[0-9]{1,3}(?![0-9A-Za-z\-]|\.[0-9])", re.ASCII
)
# What parts of documents are called: their numbers have dots, too.
_NUMBERED = re.compile(
    r"(?i)(?:(?:\b(?:sections?|sec|chapters?|clauses?|articles?|paragraphs?|para|appendix|annex|tables?|figures?|fig|parts?"
    r"|items?|rules?|steps?|pages?|notes?|versions?|release)\b)\.?|§|第|章节?|条款?|附录|[图表]|版本)\s?$"
)
_CLAUSE = re.compile(r"\s?(?:条(?![码形款件])|章|节(?!点)|款(?!项)|项(?!目)|版(?!本))")
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:", re.ASCII)
_HEX = re.compile(
    r"(?<![0-9A-Za-z:.])[0-9A-Fa-f:]{2,39}(?:(?<=:)[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?![0-9A-Za-z:])", re.ASCII
)
_MAC = re.compile(
    r"(?<![0-9A-Za-z:\-])[0-9A-Fa-f]{2}([:\-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Za-z:\-])", re.ASCII
)
_DASHED = re.compile(r"-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-", re.ASCII)
_DOTTED_MAC = re.compile(r"(?<![0-9A-Za-z.])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![0-9A-Za-z.])", re.ASCII)
_WEB = re.compile(
    r"(?:https?|ftp)://[^\s<>\"'，。；、！？（）\u4e00-\u9fff\0]{3,2000}"
    r"|\bwww\.[A-Za-z0-9\-]{1,63}\.[^\s<>\"'，。；、！？（）\u4e00-\u9fff\0]{2,500}"
)

_B64 = r"A-Za-z0-9_\-"
# Prefix -> shape of the whole: what services document about the keys that they issue.
_KEYS = {
    "sk-": rf"sk-(?:proj-|ant-|or-|svcacct-)?[{_B64}]{{16,200}}",
    "AKIA": r"AKIA[0-9A-Z]{16}",
    "ASIA": r"ASIA[0-9A-Z]{16}",
    "LTAI": r"LTAI[0-9A-Za-z]{12,26}",
    "AKID": r"AKID[0-9A-Za-z]{28,36}",
    "ghp_": r"ghp_[0-9A-Za-z]{30,255}",
    "gho_": r"gho_[0-9A-Za-z]{30,255}",
    "ghs_": r"ghs_[0-9A-Za-z]{30,255}",
    "ghu_": r"ghu_[0-9A-Za-z]{30,255}",
    "github_pat_": r"github_pat_[0-9A-Za-z_]{22,255}",
    "glpat-": rf"glpat-[{_B64}]{{20,64}}",
    "xoxb-": r"xoxb-[0-9A-Za-z\-]{10,250}",
    "xoxp-": r"xoxp-[0-9A-Za-z\-]{10,250}",
    "xoxa-": r"xoxa-[0-9A-Za-z\-]{10,250}",
    "xoxr-": r"xoxr-[0-9A-Za-z\-]{10,250}",
    "xoxs-": r"xoxs-[0-9A-Za-z\-]{10,250}",
    "hooks.slack.com": r"hooks\.slack\.com/services/[0-9A-Za-z/]{20,100}",
    "AIza": rf"AIza[{_B64}]{{35}}",
    "ya29.": rf"ya29\.[{_B64}]{{20,400}}",
    "hf_": r"hf_[0-9A-Za-z]{30,64}",
    "npm_": r"npm_[0-9A-Za-z]{36}",
    "pypi-": rf"pypi-[{_B64}]{{50,250}}",
    "_live_": r"(?:sk|rk|pk)_live_[0-9A-Za-z]{16,128}",
    "_test_": r"(?:sk|rk|pk)_test_[0-9A-Za-z]{16,128}",
    "SG.": rf"SG\.[{_B64}]{{16,32}}\.[{_B64}]{{30,64}}",
    "eyJ": rf"eyJ[{_B64}]{{8,4000}}\.eyJ[{_B64}]{{8,8000}}\.[{_B64}]{{0,4000}}",
}
_PREFIXES = {prefix: re.compile(rf"(?<![0-9A-Za-z_\-]){shape}", re.ASCII) for prefix, shape in _KEYS.items()}
_BLOCK = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_LOGIN = re.compile(r"://[^\s:/@\0]{1,64}:(?P<value>[^\s/@\0]{3,128})@")
# A word for a secret, then a sign that it is given, then the secret itself.
_SAID = (
    "passw",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api key",
    "api-key",
    "access_key",
    "access key",
    "private_key",
    "密码",
    "口令",
    "密钥",
    "密鑰",
    "密碼",
    "passphrase",
)
_GIVEN = re.compile(
    r"(?:ord|word|code|wd|phrase|(?:[_ -]?(?:access|secret|api))?[_ -]?key|[_ -]?id)?"
    r"(?:\s?[\"']?\s{0,3}[=:：]\s{0,3}|\s{0,2}(?:是|为|設為|设为|改成|改为|重置为|is|was|set to|changed "
    r"to)\s{0,2}[:：]?\s?)[\"'“「`]?"
    r"(?P<value>[^\s\"'，。；、,;“”「」（）()<>`\0\u4e00-\u9fff]{4,200})",
    re.IGNORECASE,
)
_PLAIN_WORDS = re.compile(
    r"(?i)[a-z]+[.!?]?|none|null|true|false|\*+|x+|\[.*|\$?\{.*|%.*|[0-9]{1,5}(?:\.[0-9]+)?%?|<.*|https?:.*"
)


_SPELT_WORDS = ("[at]", "(at)", "（at）")
WORDS = (*_SAID, *map(str.lower, _PREFIXES), "-----begin", "://", "www.", *_SPELT_WORDS, "mac")


def _places(text: str, char: str) -> Iterator[int]:
    place = text.find(char)
    while place >= 0:
        yield place
        place = text.find(char, place + 1)


def mailboxes(text: str, at: At) -> Iterator[Span]:
    """Yield e-mail addresses."""
    for place in _places(text, "@"):
        after = _HOST_START.match(text, place + 1)
        if after and (start := _mailbox_start(text, place)) < place:
            yield Span("EMAIL", start, after.end(), 0.98, "mailbox")
    for place in at.of(_SPELT_WORDS):
        start = place - (text[place - 1 : place] == " ")
        while start > max(0, place - 64) and (text[start - 1].isalnum() or text[start - 1] in "_.%+-"):
            start -= 1
        if match := _SPELT.match(text, start, place + 200):
            yield Span("EMAIL", *match.span(), 0.8, "spelt_mailbox")


def _mailbox_start(text: str, end: int) -> int:
    found = _MAILBOX_END.search(text, max(0, end - 64), end)
    if found is None:
        found = _HAN_MAILBOX_END.search(text, max(0, end - 3), end)
        skip = _NO_MAILBOX.match(text, found.start(), end) if found else None
        return skip.end() if skip else found.start() if found else end
    start = found.start()
    while start < end and text[start] in ".-'’":
        start += 1
    return start


def machines(text: str, at: At) -> Iterator[Span]:
    """Yield IPv4, IPv6 and MAC addresses."""
    for place in at.dotted:
        match = _IPV4.match(text, place)
        if match is None:
            continue
        parts = match[0].split(".")
        if all(int(part) < 256 and (part == "0" or part[0] != "0") for part in parts):
            sure = 0.2 if match[0] == "0.0.0.0" else _address_sure(text, match, [int(part) for part in parts])
            yield Span("IP", *match.span(), sure, "ipv4")
    done = 0
    for match in _COLONS.finditer(text):
        if match.start() < done:
            continue
        low = max(0, match.start() - 6)
        done = match.end()
        for found in (
            _MAC.search(text, max(0, match.start() - 3), match.end() + 20),
            _hex(text, low, match.end() + 44),
        ):
            if found:
                kind = "MAC" if found.re is _MAC else "IP"
                yield Span(kind, *found.span(), 0.9, "mac" if kind == "MAC" else "ipv6")
                done = max(done, found.end())
    for match in _DASHED.finditer(text):
        if found := _MAC.match(text, max(0, match.start() - 2)):
            yield Span("MAC", *found.span(), 0.85, "mac")
    for place in at.of(("mac",)):
        if match := _DOTTED_MAC.search(text, place, place + 40):
            yield Span("MAC", *match.span(), 0.8, "dotted_mac")


def _address_sure(text: str, match: re.Match[str], parts: list[int]) -> float:
    if _NUMBERED.search(text, max(0, match.start() - 12), match.start()) or _CLAUSE.match(text, match.end()):
        return 0.3
    kinds, used = spoken(text, *match.span())
    # Numbers of versions and sections look the same, but are small.
    plain = 0.45 if max(parts) < 30 and parts[0] < 10 else 0.8
    return 0.9 if "IP" in kinds else 0.4 if kinds == frozenset("-") and not used else plain


def _hex(text: str, low: int, high: int) -> re.Match[str] | None:
    found = _HEX.search(text, low, high)
    if found is None or found[0].count(":") < 2 or not any(char.isalnum() for char in found[0]):
        return None
    try:
        ipaddress.IPv6Address(found[0])
    except ValueError:
        return None
    # Times and ratios ("::", "1::2" in code) are valid too; a real address has several groups.
    return found if sum(bool(part) for part in found[0].split(":")) >= 3 else None


def webs(text: str, at: At) -> Iterator[Span]:
    """Yield web addresses."""
    done = 0
    for place in sorted(at.of(("://", "www."))):
        start = next((place - len(w) for w in ("https", "http", "ftp") if text.startswith(w, place - len(w))), place)
        if start >= done and (match := _WEB.match(text, start)):
            done = match.end()
            yield Span("URL", start, start + len(match[0].rstrip(".,;:!?)]}")), 0.6, "web")


def secrets(text: str, at: At) -> Iterator[Span]:
    """Yield keys, tokens, passwords and blocks of private keys."""
    for prefix, pattern in _PREFIXES.items():
        done = 0
        for place in at.words.get(prefix.lower(), ()):
            match = pattern.match(text, max(0, place - 2 * prefix.startswith("_"))) if place >= done else None
            if match and _varied(match[0]):
                done = match.end()
                yield Span("SECRET", *match.span(), 0.97, "issued_key")
    for place in at.words.get("-----begin", ()):
        if match := _BLOCK.match(text, place):
            last = _BLOCK_END.search(text, match.end(), match.end() + 16384)
            yield Span("SECRET", place, last.end() if last else match.end(), 0.99, "private_key")
    for place in at.words.get("://", ()):
        if match := _LOGIN.match(text, place):
            yield Span("SECRET", *match.span("value"), 0.9, "login_in_address")
    for word in _SAID:
        done = 0
        for place in at.words.get(word, ()):
            match = _GIVEN.match(text, place + len(word)) if place >= done else None
            done = match.end() if match else done
            if match and _secret(match["value"]):
                end = match.start("value") + len(match["value"].rstrip(".,!?"))
                yield Span("SECRET", match.start("value"), end, 0.8, "given_secret")


def _varied(key: str) -> bool:
    return len(set(key)) > 7


def _secret(value: str) -> bool:
    if _PLAIN_WORDS.fullmatch(value):
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return entropy >= 1.5
