"""Which files of a folder can be read, and how each is read.

This module knows folders, file endings and first bytes. It does not know the store, nor what a document says.
Nothing is read from a file before its kind and size were checked.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feilun.curation.documents import MAX_BYTES, Block, Document, Skip, Unreadable, skip
from feilun.curation.exams import is_exam, read_exam_lines
from feilun.curation.readers.archives import PERMISSION_FILES, TEMPORARY, gives_rules, is_container
from feilun.curation.readers.database import ENDING, read_table
from feilun.curation.readers.epub import read_epub
from feilun.curation.readers.html import read_html
from feilun.curation.readers.mail import read_eml, read_msg
from feilun.curation.readers.office.old_sheets import read_xls
from feilun.curation.readers.office.old_word import read_doc
from feilun.curation.readers.office.sheets import read_xlsx
from feilun.curation.readers.office.slides import read_pptx
from feilun.curation.readers.office.word import read_docx
from feilun.curation.readers.paged.pdf import read_pdf
from feilun.curation.readers.paged.pictures import read_picture
from feilun.curation.readers.shapes import read_json
from feilun.curation.readers.tabular import read_calamine, read_csv, read_parquet
from feilun.curation.readers.text import read_markdown, read_text
from feilun.curation.rules import Rule, read_rules, values_of
from feilun.errors import BadSource
from feilun.records import Permissions

READERS: dict[str, Callable[[bytes, list[str]], list[Block]]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": read_text,
    ".text": read_text,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".xlsx": read_xlsx,
    ".xlsm": read_xlsx,
    ".docx": read_docx,
    ".doc": read_doc,
    ".docm": read_docx,
    ".dotx": read_docx,
    ".dotm": read_docx,
    ".pptx": read_pptx,
    ".pptm": read_pptx,
    ".ppsx": read_pptx,
    ".potx": read_pptx,
    ".pdf": read_pdf,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif"), read_picture),
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".epub": read_epub,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".xls": read_xls,
    ".xlt": read_xls,
    ".et": read_xls,
    ".xlsb": read_calamine,
    ".ods": read_calamine,
    ".parquet": read_parquet,
    ENDING: read_table,
    ".eml": read_eml,
    ".msg": read_msg,
}
_BINARY = (
    b"PK\x03\x04",
    b"\xd0\xcf\x11\xe0",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"\x1f\x8b",
    b"MZ\x90",
    b"\x7fELF",
    b"%PDF-",
)
# Endings of files that hold nothing but text.
_PLAIN = {".md", ".markdown", ".txt", ".text", ".csv", ".tsv", ".html", ".htm", ".json", ".jsonl", ".ndjson"}
_TRIES = 4  # how often a file is read that changes meanwhile
_TICK = 20_000_000  # nanoseconds


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be read: where it is, its name within the organisation's folder, what is permitted, its day.

    ``said`` is what the rules say themselves: the rest of what is permitted is the workspace's to say.
    """

    path: Path
    name: str
    permissions: Permissions
    modified: str = ""
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Survey:
    """What stands below some paths: readable files by name, those left out, and the rules in force."""

    found: list[Found]
    skipped: list[Skip]
    rules: list[Rule]

    def idle(self, paths: Iterable[Path]) -> list[str]:
        """Return a note for every rule that fits none of ``paths``."""
        known = list(paths)
        idle = [rule for rule in self.rules if not any(rule.fits(path) for path in known)]
        return [f"The permission rule {rule.pattern!r} fits no file; check its spelling." for rule in idle]


def scan(paths: list[Path]) -> tuple[list[Found], list[Skip], list[str]]:
    """Return the readable files below ``paths``, sorted by name; those left out; notes for people.

    Raises BadSource for a path that does not exist and for a broken permissions file.
    """
    survey = look(paths)
    return survey.found, survey.skipped, survey.idle(file.path for file in survey.found)


def look(paths: list[Path]) -> Survey:
    """Return what stands below ``paths``; raise BadSource as ``scan``. Archives are not opened for this."""
    files: dict[Path, str] = {}
    skipped: list[Skip] = []
    rule_files: set[Path] = set()
    for given in paths:
        if not given.exists():
            raise BadSource(f"{given}: there is no such file or folder.", "Check the spelling of the path.")
        root = given.resolve()
        for folder in (root, *root.parents):
            rule_files.update(_rules_of(folder))
        if root.is_dir():
            for path, reason in _walk(root):
                name = written(path.relative_to(root).as_posix())
                if gives_rules(path.name):
                    rule_files.add(path)
                elif reason:
                    skipped.append(skip(name, reason))
                else:
                    files.setdefault(path, name)
        else:
            files.setdefault(root, written(root.name))
    rules = [rule for path in sorted(rule_files) for rule in read_rules(path)]
    said = {path: values_of(path, rules) for path in files}
    found = [Found(p, name, Permissions(**said[p]), _day(p), said[p]) for p, name in files.items()]
    found.sort(key=lambda file: (file.name, file.path))
    return Survey(found, sorted(skipped, key=lambda item: item.name), rules)


def _rules_of(folder: Path) -> list[Path]:
    """Return the permissions files of a folder, by whatever case; of one that cannot be listed, the usual names."""
    try:
        found = [path for path in folder.iterdir() if gives_rules(path.name)]
    except OSError:
        found = [folder / name for name in PERMISSION_FILES]
    return [path for path in found if path.is_file()]


def written(name: str | Path) -> str:
    """Return a name as text that can be kept: bytes that are no UTF-8 (old Chinese disks) are taken for GB18030."""
    raw = os.fsencode(name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("gb18030", errors="replace")


def _day(path: Path) -> str:
    try:
        return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC).date().isoformat()
    except (OSError, ValueError, OverflowError):
        return ""


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield (path, reason to leave it out or empty) for everything below ``root``; links are never followed."""
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield folder, "unreadable"
            continue
        if any(entry.name == "feilun.db" for entry in entries):
            # A home folder of ours: its reports and tables are no data of the organisation.
            yield folder, "hidden"
            continue
        for entry in entries:
            path = Path(entry.path)
            if gives_rules(path.name):
                yield path, ""
            elif entry.is_symlink():
                yield path, "link"
            elif TEMPORARY.search(entry.name):
                yield path, "hidden"
            elif entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield path, ""


def load(path: Path) -> bytes:
    """Return the bytes of a file of a known kind and sane size, as they were at one moment; raise Unreadable."""
    try:
        # A link, or a pipe that nobody writes to, may have taken the file's place since the folder was listed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            for _ in range(_TRIES):
                before, began = _state(os.fstat(file.fileno()), path), time.time_ns()
                file.seek(0)
                data = file.read(MAX_BYTES + 1)
                if before == _state(os.fstat(file.fileno()), path) and len(data) == before[0]:
                    # Within one tick of the file system's clock two changes look like one.
                    if abs(began - before[1]) > _TICK:
                        return data
                    time.sleep(_TICK / 1e9)
    except OSError as error:
        reason = "link" if error.errno == errno.ELOOP else "unreadable"
        raise Unreadable(reason, "" if reason == "link" else f"({error.strerror})") from error
    raise Unreadable("changing")


def _state(about: os.stat_result, path: Path) -> tuple[int, int, int]:
    """Return the size of an open file and when it was changed; raise Unreadable if it is not to be read."""
    if not stat.S_ISREG(about.st_mode):
        raise Unreadable("not_a_file")
    if about.st_size == 0:
        raise Unreadable("empty")
    if about.st_size > MAX_BYTES:
        raise Unreadable("too_big")
    if path.suffix.casefold() not in READERS and not is_container(path.name):
        raise Unreadable("unsupported")
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def parse(name: str, data: bytes, source: str = "", modified: str = "", mask: bool = False) -> Document:
    """Return the document that a file's bytes hold; raise Unreadable with the reason.

    ``modified`` is the file's day (ISO), for telling which of two answers is newer.
    """
    if len(data) > MAX_BYTES:
        raise Unreadable("too_big")
    if not data.strip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0"):
        raise Unreadable("empty")
    ending = Path(name).suffix.casefold()
    if ending not in READERS:
        raise Unreadable("unsupported")
    if ending in _PLAIN and data.startswith(_BINARY):
        raise Unreadable("wrong_name", "It holds binary data, not text.")
    notes: list[str] = []
    reader = read_exam_lines if ending == ".jsonl" and is_exam(name) else READERS[ending]
    blocks = tuple(reader(data, notes))
    if not any(block.text.strip() or block.heading or block.turns or any(map(any, block.rows)) for block in blocks):
        raise Unreadable("empty")
    return Document(source, name, blocks, modified, mask, tuple(notes))
