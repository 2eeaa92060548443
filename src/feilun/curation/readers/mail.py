"""Mail -> its text with its headers, and what is attached: EML (RFC 5322, MIME), MSG (Outlook), MBOX (RFC 4155).

This module knows messages, their parts and the encodings that they declare wrongly. It does not know how attachments
are read; they are files of their own.
"""

from __future__ import annotations

import email
import io
import itertools
import re
import struct
from collections.abc import Iterable, Iterator
from email.errors import HeaderParseError, MessageError
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime

from oxmsg import Message as Outlook
from oxmsg.attachment import Attachment
from oxmsg.domain.constants import PID_HTML

from feilun.curation.documents import Block, Skip, Unreadable, skip
from feilun.curation.readers.confined import Budget, Member
from feilun.curation.readers.encodings import declared
from feilun.curation.readers.html import read_html
from feilun.curation.readers.text import capped, decode

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SHOWN = ("From", "To", "Cc", "Date", "Subject")
_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]+')
_BEGIN = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]*\d{4}[^\r\n]*\r?\n")
_ENDINGS = {
    "application/pdf": ".pdf",
    "message/rfc822": ".eml",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
}
_PARTS = 1_000
_NO_BODIES = {"calendar", "x-amp-html", "css", "rtf"}
_NOTICE = 400  # characters: a plain part that only says that there is HTML is shorter
_SHOWS_NO_HTML = re.compile(
    r"(?i)(?:不支持|无法|不能|請使用|请使用|in order to|to view|to see|support|display|enable)[^\n]{0,60}html"
    r"|html[^\n]{0,60}(?:不支持|无法|不能|viewer|client|capable|enabled|not support)"
)
_LINK = re.compile(r"(?:https?|mailto):\S+")
_OUTLOOK = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, struct.error)


def read_eml(data: bytes, notes: list[str]) -> list[Block]:
    """Return a message as a block of headers and the blocks of its body; attachments are left to ``mail_members``."""
    message = _message(data)
    headers = {name: _header(message, name) for name in _SHOWN}
    return list(_blocks(headers, _day(headers["Date"]), _bodies(message, notes), notes))


def read_msg(data: bytes, notes: list[str]) -> list[Block]:
    """Return an Outlook message in the same way."""
    outlook = _outlook(data)
    try:
        sent = outlook.sent_date
        people = [" ".join(each for each in (r.name, f"<{r.email_address}>") if each) for r in outlook.recipients]
        headers = {
            "From": outlook.sender or "",
            "To": ", ".join(people),
            "Date": sent.isoformat() if sent else outlook.message_headers.get("Date", ""),
            "Subject": outlook.subject or "",
        }
        html = outlook.properties.binary_prop_value(PID_HTML) or (outlook.html_body or "").encode()
        plain = outlook.body or ""
    except _OUTLOOK as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    day = sent.date().isoformat() if sent else _day(headers["Date"])
    return list(_blocks(headers, day, [(plain, _text(html))], notes))


def mail_members(kind: str, data: bytes) -> Iterator[Member | Skip]:
    """Yield what is attached to a message of the ``kind`` ``.eml`` or ``.msg``."""
    if kind == ".msg":
        yield from _outlook_members(data)
        return
    message, number = _message(data), 0
    day = _day(_header(message, "Date"))
    for part in _leaves(message):
        name = _file_name(part)
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload(0) if part.is_multipart() else None
            number += 1
            if isinstance(inner, Message):
                yield Member(_named(name or _header(inner, "Subject"), number, ".eml"), inner.as_bytes(), day)
        elif _attached(part, name):
            number += 1
            content = _content(part)
            content_type = part.get_content_type()
            yield Member(
                _named(name, number, _ENDINGS.get(content_type, f".{part.get_content_subtype()}")),
                content,
                day,
            )


def mbox_members(data: bytes, budget: Budget) -> Iterator[Member | Skip]:
    """Yield each message of a mailbox as an EML file of its own, named by its number."""
    starts = [match.span() for match in _BEGIN.finditer(data)]
    if not starts or starts[0][0] != 0:
        raise Unreadable("wrong_name", "It is no mailbox.")
    ends = [start for start, _ in starts[1:]] + [len(data)]
    for number, ((_, begin), end) in enumerate(zip(starts, ends, strict=True), 1):
        if number > budget.members:
            yield skip("…", "too_many")
            return
        # Lines that begin like a separator were marked when the mailbox was written (mboxrd).
        body = re.sub(rb"(?m)^>(>*From )", rb"\1", data[begin:end])
        day = _day(_header(email.message_from_bytes(body[:65_536]), "Date"))
        yield Member(f"{number:06}.eml", body, day) if body.strip() else skip(f"{number:06}.eml", "empty")


def _message(data: bytes) -> Message:
    try:
        message = email.message_from_bytes(data.lstrip(b"\r\n"))
    except (MessageError, ValueError, RecursionError, LookupError) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    if not message.keys():
        raise Unreadable("wrong_name", "It has no headers of a message.")
    return message


def _text(raw: bytes) -> str:
    try:
        return decode(raw) if raw else ""
    except Unreadable:
        return raw.decode("ascii", "replace")


def _header(message: Message, name: str) -> str:
    """Return a header as people see it: encoded words decoded, bare bytes in the encoding that they look like."""
    # Raw items: the library's own header objects raise on what broken mailers write.
    value = next((v for key, v in message.raw_items() if key.casefold() == name.casefold()), "")
    raw = (
        str(value).encode("ascii", "surrogateescape")
        if _is_ascii(str(value))
        else str(value).encode("utf-8", "replace")
    )
    if not raw.isascii():
        return _one_line(_text(raw))
    try:
        parts = decode_header(raw.decode("ascii"))
    except (HeaderParseError, ValueError):
        return _one_line(raw.decode("ascii"))
    return _one_line("".join(part if isinstance(part, str) else _charset(part, charset) for part, charset in parts))


def _is_ascii(value: str) -> bool:
    return all(ord(char) < 128 or 0xDC80 <= ord(char) <= 0xDCFF for char in value)


def _one_line(value: str) -> str:
    return " ".join(value.split())


def _charset(raw: bytes, charset: str | None) -> str:
    """Decode as declared; what does not fit is told by its bytes."""
    text = declared(raw, charset or "ascii")
    return _text(raw) if text is None else text


def _day(value: str) -> str:
    try:
        return parsedate_to_datetime(value).date().isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts that hold content; a message within the message is one part."""
    waiting, given = [message], 0
    while waiting and given < _PARTS:
        part = waiting.pop()
        given += 1
        payload = part.get_payload() if part.is_multipart() else None
        if part.get_content_type() != "message/rfc822" and isinstance(payload, list):
            waiting.extend(each for each in reversed(payload) if isinstance(each, Message))
        else:
            yield part


def _content(part: Message) -> bytes:
    """Return the bytes of a part; the library raises where its charset is a codec that decodes no texts."""
    try:
        content = part.get_payload(decode=True)
    except ValueError:
        part.del_param("charset")
        content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename() or ""
    except (ValueError, TypeError, LookupError, AttributeError):
        return "attachment"
    raw = name.encode("utf-8", "surrogateescape")
    if raw.isascii() and "=?" in name:
        try:
            return "".join(p if isinstance(p, str) else _charset(p, c) for p, c in decode_header(name))
        except (HeaderParseError, ValueError):
            return name
    return _text(raw)


def _attached(part: Message, name: str) -> bool:
    kind = part.get_content_maintype()
    if kind in {"text", "multipart"}:
        return "attachment" in str(part.get("Content-Disposition", "")).casefold() or bool(name)
    return True


def _named(name: str, number: int, ending: str) -> str:
    """Return a plain file name for what is attached; those without one are numbered."""
    name = _NAMES.sub("_", name).strip(". ")[-150:]
    if not name:
        return f"attachment {number}{ending}"
    return name if "." in name else f"{name}{ending}"


def _bodies(message: Message, notes: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what the message says, part by part, each as plain text and as HTML; one of them may be empty."""
    for group in _groups(message):
        plain: list[str] = []
        html: list[str] = []
        for part in group:
            kind = part.get_content_subtype()
            if part.get_content_maintype() != "text" or _attached(part, _file_name(part)):
                continue
            if kind in _NO_BODIES:
                notes.append(f"a part of the type text/{kind} was left out")
                continue
            charset = part.get_content_charset()
            text = _charset(_content(part), charset)
            if text.strip():
                (html if kind == "html" else plain).append(text)
        if plain or html:
            yield "\n\n".join(plain), "\n".join(html)


def _groups(message: Message) -> Iterator[list[Message]]:
    """Yield the parts that hold content, those together that say the same (multipart/alternative)."""
    waiting, given = [message], 0
    while waiting and given < _PARTS:
        part = waiting.pop()
        given += 1
        payload = part.get_payload() if part.is_multipart() else None
        if isinstance(payload, list) and part.get_content_type() not in {"message/rfc822", "multipart/alternative"}:
            waiting.extend(each for each in reversed(payload) if isinstance(each, Message))
        else:
            yield list(_leaves(part))


def _blocks(headers: dict[str, str], day: str, bodies: Iterable[tuple[str, str]], notes: list[str]) -> Iterator[Block]:
    subject = headers.get("Subject", "")
    said = "\n".join(f"{name}: {value}" for name, value in headers.items() if value)
    if said:
        yield Block("text", "headers", text=said, day=day)
    for is_rich, group in itertools.groupby(
        ((plain, _rich(plain, html, notes)) for plain, html in bodies), key=lambda body: bool(body[1])
    ):
        if not is_rich:
            plain = "\n\n".join(plain for plain, _ in group if plain.strip())
            if plain:
                yield Block("text", "body", subject, text=capped(plain.replace("\r\n", "\n"), notes), day=day)
            continue
        for block in itertools.chain.from_iterable(rich for _, rich in group):
            place = f"body {block.place}".strip()
            yield Block(block.kind, place, block.heading or subject, block.text, block.rows, block.turns, day)


def _rich(plain: str, html: str, notes: list[str]) -> list[Block]:
    """Return the blocks of the HTML if it says more than the plain text: by its tables, or by much more text."""
    if not html.strip():
        return []
    blocks = read_html(b'<meta charset="utf-8">' + html.encode("utf-8", "replace"), notes)
    has_table = any(block.kind == "table" for block in blocks)
    written = sum(_weight(block.text) + sum(map(_weight, map("".join, block.rows))) for block in blocks)
    if len(plain) < _NOTICE and _SHOWS_NO_HTML.search(plain):
        return blocks
    return blocks if written >= (0.5 if has_table else 1.5) * _weight(plain) else []


def _weight(text: str) -> int:
    return sum(map(len, _LINK.sub("", text).split()))


def _outlook(data: bytes) -> Outlook:
    if not data.startswith(_OLE):
        raise Unreadable("wrong_name", "It is no Outlook message.")
    try:
        return Outlook.load(io.BytesIO(data))
    except (*_OUTLOOK, RecursionError) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _outlook_members(data: bytes) -> Iterator[Member | Skip]:
    try:
        attached: tuple[Attachment, ...] = _outlook(data).attachments
    except _OUTLOOK as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    for number, each in enumerate(attached, 1):
        try:
            name = _named(each.file_name or "", number, _ENDINGS.get(each.mime_type or "", ".bin"))
            content = each.file_bytes
        except _OUTLOOK:
            yield skip(f"attachment {number}", "damaged")
            continue
        # A message within the message, or a link to a file elsewhere, has no bytes of its own.
        yield Member(name, content) if content else skip(name, "unsupported")
