"""Which files of a folder can be read, what may be done with them, and how each is read.

This module knows folders, file endings, first bytes and ``feilun.permissions.yaml``. It does not know the store, nor
what a document says. Nothing is read from a file before its kind and size were checked.

Permission rules: a mapping from patterns to permissions, relative to the folder of the file that holds them::

    "policy/*.md": {train: no, retrieve: yes, leave: no, mask: none, until: 2027-01-01}
    "staff/":      {train: no}

``*`` and ``?`` stay within one folder, ``**`` crosses folders, a pattern without ``/`` fits names at any depth, and
one that ends in ``/`` (or names a folder) fits everything below it. The most specific rule that fits decides a key;
a rule that names one file exactly goes before patterns, rules of an inner folder before those of an outer one.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from feilun.curation.documents import MAX_BYTES, Block, Document, Skip, Unreadable, skip
from feilun.curation.exams import is_exam, read_exam_lines
from feilun.curation.readers.archives import PERMISSION_FILES, TEMPORARY, is_container
from feilun.curation.readers.database import ENDING, read_table
from feilun.curation.readers.html import read_html
from feilun.curation.readers.mail import read_eml, read_msg
from feilun.curation.readers.office.sheets import read_xlsx
from feilun.curation.readers.office.slides import read_pptx
from feilun.curation.readers.office.word import read_docx
from feilun.curation.readers.paged.pdf import read_pdf
from feilun.curation.readers.paged.pictures import read_picture
from feilun.curation.readers.shapes import read_json
from feilun.curation.readers.tabular import read_calamine, read_csv, read_parquet
from feilun.curation.readers.text import read_markdown, read_text
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
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".xls": read_calamine,
    ".xlt": read_calamine,
    ".et": read_calamine,
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
_KEYS = ("train", "retrieve", "leave", "mask", "until", "basis", "encrypt")
_GROUNDS = ("own", "public", "contract", "consent")
_RULES_HINT = 'Write lines such as "policy/*.md": {train: no}, or remove the file.'
_LARGEST_RULES = 1 << 20
_TRIES = 3  # how often a file is read that changes meanwhile


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
class Rule:
    """One line of a permissions file: ``values`` apply to the files below ``folder`` that ``pattern`` fits."""

    folder: Path
    pattern: str
    values: dict[str, Any]

    def fits(self, path: Path) -> bool:
        """Tell whether the rule speaks about the file ``path``."""
        if not path.is_relative_to(self.folder):
            return False
        name = _plain(path.relative_to(self.folder).as_posix())
        return re.fullmatch(_regex(_plain(self.pattern)), name) is not None

    @property
    def weight(self) -> tuple[int, bool, int]:
        """How specific the rule is, comparable with that of other rules."""
        literal = re.sub(r"[*?]", "", self.pattern)
        return len(self.folder.parts), literal == self.pattern, len(literal)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _regex(pattern: str) -> str:
    """Return the regular expression of a glob, as described at the top."""
    anchored = "/" in pattern.rstrip("/")
    body = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern.strip("/")):
        body += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
    below = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return ("" if anchored else "(?:.*/)?") + body + below


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice: the second would silently replace a restriction."""


def _strict_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _strict_mapping)


def read_rules(path: Path) -> list[Rule]:
    """Return the rules of a permissions file; raise BadSource that lists every mistake, never a lenient guess."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_RULES + 1)
    except OSError as error:
        raise BadSource(f"{path}: the permissions cannot be read: {error.strerror}", _RULES_HINT) from error
    return rules_in(data, path)


def rules_in(data: bytes, path: Path) -> list[Rule]:
    """Return the rules that the bytes of a permissions file at ``path`` give; raise BadSource as ``read_rules``."""
    hint = _RULES_HINT
    if len(data) > _LARGEST_RULES:
        raise BadSource(f"{path}: a permissions file cannot be larger than 1 MB.", hint)
    try:
        # The loader is a SafeLoader; PyYAML's one-call form cannot refuse doubled keys.
        loader = _StrictLoader(data.decode("utf-8-sig"))
        try:
            given = loader.get_single_data()
        finally:
            loader.dispose()
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise BadSource(f"{path}: the permissions cannot be read: {' '.join(str(error).split())}", hint) from error
    if not isinstance(given, dict) or not given:
        raise BadSource(f"{path}: expected a mapping from file patterns to permissions.", hint)
    mistakes: list[str] = []
    rules = [Rule(path.parent, str(pattern), _values(str(pattern), v, mistakes)) for pattern, v in given.items()]
    if mistakes:
        raise BadSource(f"{path}: " + "; ".join(mistakes), hint)
    return rules


def _values(pattern: str, given: Any, mistakes: list[str]) -> dict[str, Any]:
    """Return the checked values of one rule; what is wrong is added to ``mistakes``."""
    if not isinstance(given, dict) or not given:
        mistakes.append(f"{pattern}: expected keys among {', '.join(_KEYS)}")
        return {}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key in {"train", "retrieve", "leave", "encrypt"}:
            word = str(value).strip().casefold()
            if word not in {"yes", "no", "true", "false"}:
                mistakes.append(f"{pattern}: {key} must be yes or no, not {value!r}")
            values[key] = word in {"yes", "true"}
        elif key == "mask":
            if value not in {"none", "pseudonymise"}:
                mistakes.append(f"{pattern}: mask must be none or pseudonymise, not {value!r}")
            values[key] = value
        elif key == "basis":
            if value not in _GROUNDS:
                mistakes.append(f"{pattern}: basis must be one of {', '.join(_GROUNDS)}, not {value!r}")
            values[key] = value
        elif key == "until":
            try:
                values[key] = dt.date.fromisoformat(str(value)).isoformat()
            except ValueError:
                mistakes.append(f"{pattern}: until must be a day such as 2027-01-31, not {value!r}")
        else:
            mistakes.append(f"{pattern}: unknown key {key!r} (choices: {', '.join(_KEYS)})")
    return values


def values_of(path: Path, rules: list[Rule]) -> dict[str, Any]:
    """Return what ``rules`` say about the file ``path``, key by key; nothing where they are silent."""
    values: dict[str, Any] = {}
    for rule in sorted(rules, key=lambda rule: rule.weight):
        if rule.fits(path):
            values |= rule.values
    return values


def permissions_of(path: Path, rules: list[Rule]) -> Permissions:
    """Return what ``rules`` permit for the file ``path``."""
    return Permissions(**values_of(path, rules))


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
            rule_files.update(path for name in PERMISSION_FILES if (path := folder / name).is_file())
        if root.is_dir():
            for path, reason in _walk(root):
                name = written(path.relative_to(root).as_posix())
                if path.name.casefold() in PERMISSION_FILES:
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
            if path.name.casefold() in PERMISSION_FILES:
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
                before = _state(os.fstat(file.fileno()), path)
                file.seek(0)
                data = file.read(MAX_BYTES + 1)
                if before == _state(os.fstat(file.fileno()), path) and len(data) == before[0]:
                    return data
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
