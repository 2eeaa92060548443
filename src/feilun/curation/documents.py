"""What a file turns into: a document of blocks, or a reason why it could not be read.

This module knows the shape of a document and the plain words (English and Chinese) of every reason. It does not know
any file format; the readers fill these shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from feilun.errors import BadSource

MAX_BYTES = 200 * 1024 * 1024
MAX_ROWS = 200_000
MAX_COLUMNS = 200
MAX_CELL = 20_000
MAX_PAGES = 2_000
MAX_CHARACTERS = 20_000_000

SKIPS: dict[str, tuple[str, str]] = {
    "missing": ("There is no such file or folder.", "没有这个文件或文件夹。"),
    "unreadable": ("The file may not be read, or reading it failed.", "没有读取权限，或读取失败。"),
    "empty": ("The file holds no text.", "文件没有内容。"),
    "too_big": ("The file is larger than 200 MB. Split it.", "文件超过 200 MB，请拆分。"),
    "encrypted": ("The file is protected by a password. Save it without one.", "文件有密码保护，请去掉密码后再保存。"),
    "wrong_name": ("The content does not fit the name's ending.", "文件内容与扩展名不符。"),
    "damaged": ("The file is damaged and cannot be opened.", "文件已损坏，无法打开。"),
    "zip_bomb": (
        "Unpacked, the file would be far too large (over 500 MB, or 200 times its size).",
        "解压后体积过大（超过 500 MB 或 200 倍），已拒绝打开。",
    ),
    "unsupported": (
        (
            "This kind of file is not read. Save it as DOCX, XLSX, PPTX, PDF, PNG, HTML, EPUB, EML, Markdown, text, "
            "CSV, JSON or Parquet."
        ),
        "不支持这种文件，请另存为 DOCX、XLSX、PPTX、PDF、PNG、HTML、EPUB、EML、Markdown、文本、CSV、JSON 或 Parquet。",
    ),
    "no_text": (
        "No text was found, not in its pictures either.",
        "没有找到文字，图片中也没有。",
    ),
    "no_ocr": (
        "Its text is a picture, and text recognition is not installed. Run: pip install 'feilun[ocr]'",
        "文字是图片，而文字识别没有安装。请运行：pip install 'feilun[ocr]'",
    ),
    "link": ("Links are not followed. Copy the file itself.", "不跟随链接，请复制文件本身。"),
    "not_a_file": ("This is a device or pipe, not a file.", "这是设备或管道，不是文件。"),
    "hidden": ("Hidden and temporary files are left out.", "隐藏文件和临时文件不读取。"),
    "too_slow": ("Reading took more than two minutes and was given up.", "读取超过两分钟，已放弃。"),
    "too_large_inside": (
        "Reading the file needed more memory or gave more text than is allowed. Split it.",
        "读取该文件所需的内存或得到的文字超过限额，请拆分。",
    ),
    "changing": (
        "The file kept changing while it was read. Import it again later.",
        "文件在读取时一直在变化，请稍后再导入。",
    ),
    "outside": (
        "The name leads outside the archive, or is no name of a file.",
        "压缩包内的文件名指向包外或不合法，已拒绝。",
    ),
    "same_name": (
        "Another member of the archive has this name; only the first is read.",
        "压缩包内有同名文件，只读取第一个。",
    ),
    "too_deep": ("Archives within archives are opened to a depth of two.", "压缩包最多打开两层。"),
    "too_many": ("The archive holds too many files; the rest was left out.", "压缩包内文件过多，其余未读取。"),
    "bad_rules": (
        "The permissions file inside cannot be read, so nothing beside it is used.",
        "包内的权限文件有误，因此其中的文件都不使用。",
    ),
    "robots": ("The site asks programs not to read this page (robots.txt).", "网站的 robots.txt 不允许程序读取此页。"),
    "elsewhere": ("The page leads to another site or kind of address.", "该页面指向其他网站或地址类型。"),
    "not_fetched": ("The page could not be fetched.", "无法获取该页面。"),
    "forbidden": ("The permissions of the file forbid this use.", "文件权限不允许此用途。"),
}


class Unreadable(BadSource):
    """A file that cannot be used; ``reason`` is a key of SKIPS."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Put the reason's plain words and, if there is one, the detail into the message."""
        super().__init__(f"{SKIPS[reason][0]} {detail}".strip())
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Skip:
    """A file that was left out, with the reason's code and its plain words in both languages."""

    name: str
    reason: str
    en: str
    zh: str


def skip(name: str, reason: str, detail: str = "") -> Skip:
    """Return the note about a file that is left out for ``reason`` (a key of SKIPS)."""
    en, zh = SKIPS[reason]
    return Skip(name, reason, f"{en} {detail}".strip(), f"{zh} {detail}".strip())


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document in reading order.

    ``text``: the paragraphs under one ``heading``, lines kept. ``table``: ``rows`` of cells. ``turns``: a conversation
    as (``user`` or ``assistant``, text) pairs, or (``context``, text) for an answer that stands there but must not be
    learned; ``pair``: the same for one written question and answer. ``place`` says
    where it stands, for people: ``page 3``, ``sheet FAQ``. ``day`` is the block's own date (ISO), if it has one.
    ``parts`` are texts that belong to it in other roles, as (role, text): ``system`` (what a conversation began with),
    ``rejected`` (the worse answer, where the last turn is the better one), ``label`` (of a text or an answer).
    """

    kind: Literal["text", "table", "turns", "pair"]
    place: str = ""
    heading: str = ""
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    turns: tuple[tuple[str, str], ...] = ()
    day: str = ""
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A source that was read. ``modified`` is the file's day (ISO), ``mask`` its permission to be masked throughout.

    ``notes`` say which cap was met. A document that could not be read has a ``problem`` and no blocks.
    """

    source: str
    name: str
    blocks: tuple[Block, ...]
    modified: str = ""
    mask: bool = False
    notes: tuple[str, ...] = ()
    problem: Skip | None = None
