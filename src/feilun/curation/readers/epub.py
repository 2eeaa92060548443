"""EPUB -> blocks: the chapters of a book in their order, each read as HTML.

This module knows the package of a book (OCF and OPF, EPUB 2 and 3). It does not know what its pages look like.
"""

from __future__ import annotations

import posixpath
from urllib.parse import unquote
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from feilun.curation.documents import MAX_CHARACTERS, Block, Unreadable
from feilun.curation.readers.encodings import decode
from feilun.curation.readers.html import html_blocks
from feilun.curation.readers.office.ooxml import Package, child, value
from feilun.curation.readers.packages import DAMAGE, check_zip

_CONTAINER = "META-INF/container.xml"
_LOCKS = "META-INF/encryption.xml"
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_PAGES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml"}


def read_epub(data: bytes, notes: list[str]) -> list[Block]:
    """Return the blocks of every chapter; the table of contents is left out. Raise Unreadable for protected books."""
    check_zip(data, _CONTAINER)
    try:
        return _chapters(Package(data), notes)
    except (ET.ParseError, *DAMAGE) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _chapters(book: Package, notes: list[str]) -> list[Block]:
    if _locked(book.xml(_LOCKS)):
        raise Unreadable("encrypted")
    main = value(book.xml(_CONTAINER), "rootfiles", "rootfile", name="full-path")
    package = book.xml(main)
    manifest = child(package, "manifest")
    if package is None or manifest is None:
        raise Unreadable("damaged", "Its list of parts is missing.")
    items = {item.get("id", ""): item for item in manifest}
    blocks: list[Block] = []
    for number, entry in enumerate(package.iter("itemref"), 1):
        item = items.get(entry.get("idref", ""))
        if item is None or item.get("media-type") not in _PAGES or "nav" in item.get("properties", "").split():
            continue
        part = posixpath.normpath(posixpath.join(posixpath.dirname(main), unquote(item.get("href", ""))))
        if part not in book:
            notes.append(f"the chapter {number} is missing")
            continue
        blocks += html_blocks(decode(book.read(part), notes), notes, f"chapter {number}")
        if sum(len(block.text) for block in blocks) > MAX_CHARACTERS:
            notes.append(f"only the first {number} chapters were read")
            break
    return blocks


def _locked(locks: Element | None) -> bool:
    """Tell whether more than fonts is encrypted."""
    methods = () if locks is None else [value(data, "EncryptionMethod", name="Algorithm") for data in locks]
    return any(method not in _FONTS for method in methods)
