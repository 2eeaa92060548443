"""The parts of an Office Open XML package (ECMA-376, and ISO 29500 strict) and how they point at each other.

This module knows zip, XML and relationships. It does not know what the parts say. A part with a document type is
refused before it is parsed: no entity is ever expanded, and nothing outside the package is ever opened.
"""

from __future__ import annotations

import contextlib
import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from feilun.curation.documents import Unreadable
from feilun.curation.readers.packages import MAX_PART

_PROLOG = 1 << 16
_RELATION = "officeDocument/2006/relationships"
_STRICT_RELATION = "ooxml/officeDocument/relationships"


@dataclass(frozen=True, slots=True)
class Relation:
    """What a part points at: ``kind`` is the last word of the type; the target is a part, or an address outside."""

    kind: str
    target: str
    outside: bool


def parse_xml(data: bytes) -> Element:
    """Return the root of an XML text; tags and attributes have no namespaces, but ``r:id`` and its like keep ``r:``.

    Raises Unreadable (``damaged``) for a text with a document type, ParseError for what is no XML.
    """
    check_prolog(data)
    root = ET.fromstring(data)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if any(key[0] == "{" for key in element.attrib):
            named = {_attribute(key): value for key, value in element.attrib.items()}
            element.attrib.clear()
            element.attrib.update(named)
    return root


def check_prolog(data: bytes) -> None:
    """Raise Unreadable if an XML text has a document type; it could define entities, and no honest part has one."""
    # UTF-16 becomes readable without its NUL bytes; no prolog of an honest part is long.
    prolog = data[:_PROLOG].replace(b"\0", b"")
    start = re.search(rb"<[^\s?!<>\x00-\x40]", prolog)
    if start is None or b"<!DOCTYPE" in prolog[: start.start()]:
        raise Unreadable("damaged", "Its XML has a document type.")


def _attribute(key: str) -> str:
    space, _, name = key.rpartition("}")
    return f"r:{name}" if space.endswith((_RELATION, _STRICT_RELATION)) else name


class Package:
    """An opened package of sane size (``check_zip`` goes before)."""

    def __init__(self, data: bytes) -> None:
        """Open the zip; raises what zipfile raises."""
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        # Some writers use other cases, or backslashes, than the relationships say.
        self._names = {_plain(name): name for name in self._zip.namelist()}

    def __contains__(self, part: str) -> bool:
        """Tell whether there is such a part."""
        return _plain(part) in self._names

    def read(self, part: str) -> bytes:
        """Return the bytes of a part; raise KeyError if there is none, Unreadable if it is far too large."""
        info = self._zip.getinfo(self._names[_plain(part)])
        if info.file_size > MAX_PART:
            raise Unreadable("zip_bomb")
        return self._zip.read(info)

    @contextlib.contextmanager
    def stream(self, part: str) -> Iterator[IO[bytes]]:
        """Open a part that is too large to be held at once; raise KeyError if there is none."""
        check_prolog(self._zip.open(self._names[_plain(part)]).read(_PROLOG))
        with self._zip.open(self._names[_plain(part)]) as opened:
            yield opened

    def xml(self, part: str) -> Element | None:
        """Return the root of a part, or None if there is no such part or it is no XML."""
        if part not in self:
            return None
        try:
            return parse_xml(self.read(part))
        except ET.ParseError:
            return None

    def main(self) -> str:
        """Return the name of the main part (the document, the presentation, the workbook)."""
        found = [link.target for link in self.relations("").values() if link.kind == "officeDocument"]
        if not found or found[0] not in self:
            raise Unreadable("damaged", "Its main part is missing.")
        return found[0]

    def relations(self, part: str) -> dict[str, Relation]:
        """Return id -> what a part points at; of the package itself for an empty name."""
        folder, name = posixpath.split(part)
        root = self.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
        found = {}
        for link in () if root is None else root.iter("Relationship"):
            outside = link.get("TargetMode") == "External"
            target = link.get("Target", "")
            if not outside:
                target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            found[link.get("Id", "")] = Relation(link.get("Type", "").rpartition("/")[2], target, outside)
        return found

    def related(self, part: str, kind: str) -> str:
        """Return the first part of this kind that a part points at, or an empty name."""
        links = self.relations(part).values()
        return next((link.target for link in links if link.kind == kind and not link.outside), "")


def _plain(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").casefold()


def child(element: Element | None, *path: str) -> Element | None:
    """Return the descendant at the end of a path of tags, or None."""
    for tag in path:
        element = None if element is None else element.find(tag)
    return element


def value(element: Element | None, *path: str, name: str = "val", default: str = "") -> str:
    """Return an attribute of the descendant at the end of a path, or the default."""
    found = child(element, *path)
    return default if found is None else found.get(name, default)


def on(element: Element | None, *path: str) -> bool:
    """Tell whether a switch is there and not off (a switch without a value is on)."""
    found = child(element, *path)
    return found is not None and found.get("val", "1") not in {"0", "false", "off"}


def whole(text: str, most: int = 10_000) -> int:
    """Return a whole number that a file gives, at most ``most``; 0 for what is none."""
    return min(int(text), most) if text.isdecimal() and len(text) < 10 else 0
