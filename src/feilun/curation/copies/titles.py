"""Titles of documents and what they say about age: dates, version numbers, drafts and revisions.

This module knows how people mark versions in Chinese and English. It does not know texts, nor which documents are
compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from feilun.records import normalise_text

_HEAD = 1200  # characters of a document in which its age is told
_TITLE = 80
_YMD = (
    r"(?P<y>(?:19|20)\d\d)(?:\s*[-/._年]\s*(?P<m>0?[1-9]|1[0-2])(?!\d)"
    r"(?:\s*[-/._月]\s*(?P<d>[0-3]?\d)(?!\d)\s*[日号]?|月)?|年)?"
)
_COMPACT = re.compile(r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>[0-3]\d)(?!\d)")
_DATE = re.compile(rf"(?<![\d.]){_YMD}(?![\d.]*\d)")
_HAN_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九十")}
_VERSION = re.compile(
    r"(?i)(?<![a-z0-9])(?:version|ver|rev(?:ision)?|v|r)[\s._-]{0,2}(\d{1,6}(?:\.\d{1,6}){0,3})(?![\d.]*\d)(?![a-z])"
    r"|第\s?([一二三四五六七八九十]|\d{1,4})\s?(?:版|次修[订正])|版本\s?[:：]?\s?(\d{1,6}(?:\.\d{1,6}){0,3})"
    r"|(?<![\d.])(\d{1,4}(?:\.\d{1,4}){0,3})\s?版"
)
_REVISED = re.compile(
    r"(?i)修[订正改](?!案)[本版稿]?|新版|最终[版稿]?|定稿|正式[版稿]|终稿"
    r"|(?<![a-z])(?:revised|final|updated|new|amended)(?![a-z])"
)
_DRAFT = re.compile(
    r"(?i)征求意见稿|送审稿|讨论稿|草案|草稿|初稿|试行|暂行|旧版|原版"
    r"|(?<![a-z])(?:draft|old|bak|backup|provisional|interim)(?![a-z])"
)
_COPY = re.compile(r"(?i)副本|(?<![a-z])copy(?![a-z])|[-—]\s?复制|[(（]\d{1,2}[)）]$")
_CUES = re.compile(
    r"(?i)通过|修[订正改]|公布|发布|施行|实施|生效|印发|更新|版本|日期"
    r"|effective|revised|amended|updated|version|issued|dated|date\b|as of"
)
_RULES = "条例|办法|规定|规则|细则|制度|规范|指南|手册"
_ENGLISH_RULES = "policy|policies|procedures?|rules?|regulations?|guidelines?|manual|handbook|guide"
_KIND = re.compile(rf"关于|中华人民共和国|管理|的|{_RULES}|方案|\b(?:the|a|of|for|on|{_ENGLISH_RULES})\b")
_PERIODIC = re.compile(
    r"(?i)[年季月周日]报|报告|报表|总结|纪要|会议记录|简报|通讯(?!录)|快讯|对?账单|发票|收据|流水|工资|考勤|台账|排班"
    r"|(?<![a-z])(?:reports?|minutes|summary|statements?|invoices?|receipts?|newsletters?|bulletin|payroll|digest"
    r"|results|log|diary|roster|agenda)(?![a-z])"
)
_LASTING = re.compile(rf"(?i){_RULES}|流程|模板|标准|(?<![a-z])(?:{_ENGLISH_RULES}|templates?)(?![a-z])")
_FIGURE = re.compile(r"[\d第]")  # every date and every version has one
_SENTENCE = re.compile(r"[。！？!?；;]|\.\s|\.$")
_MD = re.compile(r"^[#\s>*_=-]+|[*_#=\s]+$")
GENERIC = frozenset(
    re.findall(
        r"\S+",
        "总则 附则 目录 通知 公告 前言 说明 文档 新建文档 无标题 报告 会议纪要 readme index untitled document"
        " contents report minutes notes introduction chapter page summary 摘要 简介 正文 标题 第一章总则",
    )
)


@dataclass(frozen=True, slots=True)
class Title:
    """A title without marks of age: ``base``, and ``loose`` without words for kinds of papers; and what it says.

    ``date`` is a number like 20181229, 0 where none is told; ``stage`` is -1 for drafts, 1 for revisions. ``period`` is
    the date in the title of a paper that is written anew for each time, such as a report or an invoice.
    """

    base: str
    loose: str
    date: int = 0
    version: tuple[int, ...] = ()
    stage: int = 0
    period: int = 0


def dates(text: str) -> list[int]:
    """Return the dates of a text as numbers like 20181229; what is not told of them is 0."""
    found = []
    for match in (*_COMPACT.finditer(text), *_DATE.finditer(text)):
        month, day = int(match["m"] or 0), int(match["d"] or 0)
        if day <= 31:
            found.append(int(match["y"]) * 10000 + month * 100 + day)
    return found


def _version(text: str) -> tuple[int, ...]:
    match = _VERSION.search(text)
    if match is None:
        return ()
    told = next(part for part in match.groups() if part)
    return tuple(_HAN_DIGITS[part] if part in _HAN_DIGITS else int(part) for part in told.split("."))


def title_of(text: str) -> Title:
    """Return what a title says; ``text`` is a line or the stem of a file's name."""
    text = _MD.sub("", text[:200])[:_TITLE]
    figures = _FIGURE.search(text) is not None
    date = max(dates(text), default=0) if figures else 0
    revised, draft = _REVISED.search(text) is not None, _DRAFT.search(text) is not None
    stage = revised - draft
    version = _version(text) if figures else ()
    bare = text
    for pattern in (
        *((_COMPACT, _DATE, _VERSION) if figures else ()),
        *((_REVISED, _DRAFT) if revised or draft else ()),
        _COPY,
    ):
        bare = pattern.sub(" ", bare)
    base = normalise_text(bare).replace("中华人民共和国", "")
    words = base if base.isascii() else base.replace(" ", "")
    loose = " ".join(_KIND.sub(" ", words).split())
    periodic = _PERIODIC.search(bare) is not None and _LASTING.search(bare) is None
    return Title(words, loose if len(loose) >= 2 else words, date, version, stage, date if periodic else 0)


def name_title(name: str) -> Title:
    """Return what a file's name says."""
    return title_of(PurePosixPath(name).stem)


def first_title(text: str) -> Title | None:
    """Return what the first line of a document says, if it reads like a title."""
    first = next((line for line in text[:_HEAD].split("\n") if line.strip()), "")
    return title_of(first) if first and len(first) <= _TITLE and not _SENTENCE.search(first) else None


def head_title(text: str) -> Title:
    """Return what the beginning of a document says: its first line, and the dates and versions told below it."""
    title = first_title(text) or Title("", "")
    told, version, stage = title.date, title.version, title.stage
    lines = [line for line in text[:_HEAD].split("\n") if line.strip()]
    for line in lines[:10]:
        if len(line) > 300 or not (_FIGURE.search(line) or (not stage and _REVISED.search(line))):
            continue
        if _CUES.search(line):
            told = max([told, *dates(line)])
            version = version or _version(line)
            stage = stage or int(_REVISED.search(line) is not None)
    return Title(title.base, title.loose, told, version, stage, title.period)
