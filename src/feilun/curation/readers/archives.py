"""ZIP, TAR and compressed files -> the files within, each by itself or with the reason why it is refused.

This module knows what archives can do to those who open them: bombs (by ratio, total and number), names that lead
outside, links, devices, doubled names, passwords, damage. It does not know what the files within say. It writes nothing
to the disk.
"""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, cast

from feilun.curation.documents import MAX_BYTES, Skip, Unreadable, skip
from feilun.curation.readers.confined import Budget, Member
from feilun.curation.readers.encodings import encoding_of
from feilun.curation.readers.mail import mail_members, mbox_members

MAX_TOTAL = 1 << 30
MAX_WASTED = 1 << 30  # what is unpacked of bombs before the rest of an archive is not looked at any more
MAX_MEMBERS = 10_000
MAX_DEPTH = 2
RATIO = 200
HARMLESS = 16 << 20  # what may be unpacked however well it was packed: small texts of one kind pack better than 200:1
MAX_NAME = 1_000
PERMISSION_FILES = frozenset({"feilun.permissions.yaml", "feilun.permissions.yml"})
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".gz", ".bz2", ".xz"})
MAIL = frozenset({".eml", ".msg", ".mbox"})
_TARS = re.compile(r"(?i)\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)$")
TEMPORARY = re.compile(r"(?i)^(\.|~|thumbs\.db$|desktop\.ini$|__macosx$)|\.(tmp|temp|bak|swp|part|crdownload)$|~$")
_CHUNK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    NotImplementedError,
)


def whole_budget() -> Budget:
    """Return what may be unpacked from one file of a folder, with everything that is within."""
    return Budget(MAX_TOTAL, MAX_MEMBERS, MAX_DEPTH)


def ending(name: str) -> str:
    """Return the last ending of a name, in lower case."""
    return PurePosixPath(name).suffix.casefold()


def is_container(name: str) -> bool:
    """Tell by its name whether a file holds other files."""
    return ending(name) in ARCHIVES | MAIL


def members(name: str, data: bytes, budget: Budget) -> Iterator[Member | Skip]:
    """Yield the files within ``data`` and those that are refused; raise Unreadable if it cannot be opened at all.

    Permissions files come first, so that whoever asks knows the rules before the files that they speak about.
    """
    kind = ending(name)
    if kind == ".mbox":
        yield from mbox_members(data, budget)
    elif kind in MAIL:
        yield from _Gate(budget, 0).passing(mail_members(kind, data))
    elif budget.depth <= 0:
        raise Unreadable("too_deep")
    elif kind == ".zip":
        yield from _zip(data, _Gate(budget, len(data)))
    elif _TARS.search(name):
        yield from _tar(data, budget, rules=True)
        yield from _tar(data, budget, rules=False)
    else:
        stem = PurePosixPath(name).name[: -len(kind)] or "content"
        with _opened(data) as stream:
            yield from _Gate(budget, len(data)).take(stem, stream, "", len(data))


@dataclass(slots=True)
class _Gate:
    """What every file within passes: its name, its size, what was unpacked so far. ``packed`` is the archive's size."""

    budget: Budget
    packed: int
    taken: int = 0
    wasted: int = 0
    count: int = 0
    seen: set[str] = field(default_factory=set)

    def passing(self, found: Iterator[Member | Skip]) -> Iterator[Member | Skip]:
        """Let through what is unpacked already (attachments)."""
        for each in found:
            if isinstance(each, Skip):
                yield each
            else:
                yield from self.take(each.name, io.BytesIO(each.data), each.modified, len(each.data) or 1)

    def take(self, name: str, stream: IO[bytes], modified: str, packed: int) -> Iterator[Member | Skip]:
        """Yield one file, or why it is refused; ``packed`` is its size in the archive."""
        reason = self.refusal(name)
        if reason:
            yield skip(shown(name), reason)
            return
        name = _plain(name)
        left = min(self.budget.bytes, max(HARMLESS, RATIO * self.packed)) - self.taken if self.packed else MAX_BYTES
        allowed = min(left, max(HARMLESS, RATIO * packed))
        try:
            data = _read(stream, min(allowed, MAX_BYTES) + 1)
        except (RuntimeError, *_DAMAGE) as error:
            yield skip(name, "encrypted" if "password" in str(error) else "damaged")
            return
        if len(data) > min(allowed, MAX_BYTES):
            self.wasted += len(data)
        else:
            self.taken += len(data)
        if len(data) > allowed:
            yield skip(name, "zip_bomb")
        elif len(data) > MAX_BYTES:
            yield skip(name, "too_big")
        elif not data:
            yield skip(name, "empty")
        else:
            self.count += 1
            yield Member(name, data, modified)

    def refusal(self, name: str) -> str:
        """Return why a file is refused by its name or because of those before it, or nothing."""
        plain = _plain(name)
        if not plain:
            return "outside"
        if any(TEMPORARY.search(part) for part in plain.split("/")):
            return "hidden"
        if plain in self.seen:
            return "same_name"
        self.seen.add(plain)
        if self.taken >= self.budget.bytes or self.wasted > MAX_WASTED:
            return "zip_bomb"
        return "too_many" if self.count >= self.budget.members else ""


def _plain(name: str) -> str:
    """Return the name of a member as a relative path, or nothing if it leads elsewhere or is none."""
    name = name.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or len(name) > MAX_NAME:
        return ""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts or any(ord(char) < 32 or ord(char) == 127 for char in name):
        return ""
    return "/".join(parts)


def gives_rules(name: str) -> bool:
    """Tell whether a file holds permissions, by its name in any case, as on disks that tell no cases apart."""
    return PurePosixPath(name).name.casefold() in PERMISSION_FILES


def shown(name: str) -> str:
    """Return a refused name as it can be shown to people."""
    return "".join(char if char.isprintable() else "?" for char in name)[:200] or "?"


def _read(stream: IO[bytes], most: int) -> bytes:
    data = bytearray()
    while len(data) < most and (chunk := stream.read(min(_CHUNK, most - len(data)))):
        data += chunk
    return bytes(data)


def _zip(data: bytes, gate: _Gate) -> Iterator[Member | Skip]:
    if not data.startswith(b"PK"):
        raise Unreadable("wrong_name")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = archive.infolist()
    except _DAMAGE as error:
        raise Unreadable("damaged") from error
    names = _zip_names(infos)
    order = sorted(infos, key=lambda info: not gives_rules(names[id(info)]))
    with archive:
        for info in order[: 2 * MAX_MEMBERS]:
            name, mode = names[id(info)], info.external_attr >> 16
            reason = ""
            if info.is_dir() or name.endswith("\\"):
                continue
            if stat.S_ISLNK(mode):
                reason = "link"
            elif stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
                reason = "not_a_file"
            elif info.flag_bits & 1:
                reason = "encrypted"
            if reason:
                yield skip(shown(name), reason)
                continue
            try:
                stream = archive.open(info)
            except (RuntimeError, *_DAMAGE):
                yield skip(shown(name), "damaged")
                continue
            with stream:
                yield from gate.take(name, stream, _zip_day(info), info.compress_size)
    if len(order) > 2 * MAX_MEMBERS:
        yield skip("…", "too_many")


def _zip_names(infos: list[zipfile.ZipInfo]) -> dict[int, str]:
    """Return the name of each member; those without the mark of UTF-8 are in whatever their writer used.

    Chinese Windows writes GBK there, which Python shows as code page 437.
    """
    raw: dict[int, bytes] = {}
    for info in infos:
        with suppress(UnicodeEncodeError):
            if not info.flag_bits & 0x800 and not info.filename.isascii():
                raw[id(info)] = info.filename.encode("cp437")
    return {
        id(info): decoded[id(info)] if id(info) in raw else info.filename
        for decoded in [_decoded(raw)]
        for info in infos
    }


def _decoded(raw: dict[int, bytes]) -> dict[int, str]:
    if not raw:
        return {}
    try:
        encoding = encoding_of(b"\n".join(raw.values()))
    except Unreadable:
        encoding = "cp437"
    encoding = "gb18030" if encoding not in {"utf-8", "gb18030", "cp950", "big5hkscs"} else encoding
    return {key: value.decode(encoding, errors="replace") for key, value in raw.items()}


def _zip_day(info: zipfile.ZipInfo) -> str:
    try:
        return dt.date(*info.date_time[:3]).isoformat()
    except ValueError:
        return ""


class _Counted(io.RawIOBase):
    """A decompressed stream that ends with an error when it gives more than it may."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left = stream, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(len(buffer))
        self._left -= len(chunk)
        if self._left < 0:
            raise Unreadable("zip_bomb")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _opened(data: bytes) -> IO[bytes]:
    """Return the decompressed stream of ``data`` by its first bytes; the bytes themselves if they are not packed."""
    stream = io.BytesIO(data)
    if data.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if data.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(stream))
    if data.startswith(b"\xfd7zXZ\0"):
        return cast(IO[bytes], lzma.LZMAFile(stream))
    if data[257:262] == b"ustar" or not data.strip(b"\0"):
        return stream
    try:
        tarfile.TarInfo.frombuf(data[:512], "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise Unreadable("wrong_name") from error
    return stream


def _tar(data: bytes, budget: Budget, rules: bool) -> Iterator[Member | Skip]:
    """Yield the permissions files of a TAR, or (``rules`` false) everything else."""
    gate = _Gate(budget, len(data))
    most = min(budget.bytes, max(HARMLESS, RATIO * len(data))) + (16 << 20)
    found = 0
    try:
        with _opened(data) as stream, tarfile.open(fileobj=io.BufferedReader(_Counted(stream, most)), mode="r|") as tar:
            for info in tar:
                found += 1
                name = _tar_name(info.name)
                if info.isdir() or rules is not gives_rules(name):
                    continue
                if info.issym() or info.islnk():
                    yield skip(shown(name), "link")
                elif not info.isfile() or (content := tar.extractfile(info)) is None:
                    yield skip(shown(name), "not_a_file")
                else:
                    # Nothing is known of one file's packed size; the stream as a whole is bounded.
                    yield from gate.take(name, content, _day(info.mtime), max(info.size, 1))
                if gate.count >= budget.members or found > 2 * MAX_MEMBERS:
                    yield skip("…", "too_many")
                    return
    except Unreadable as problem:
        if not found:
            raise
        if not rules:
            yield skip("…", problem.reason)
    except _DAMAGE as error:
        if not found:
            raise Unreadable("damaged") from error
        if not rules:
            yield skip("…", "damaged")


def _tar_name(name: str) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("gb18030", errors="replace")


def _day(seconds: float) -> str:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).date().isoformat()
    except (OSError, ValueError, OverflowError):
        return ""
