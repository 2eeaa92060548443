"""The packages of Office files and books: a zip of sane size that holds what its name promises.

This module knows the zip format and its bombs. It does not know what the parts say.
"""

from __future__ import annotations

import io
import zipfile
import zlib

from feilun.curation.documents import Unreadable

MAX_UNPACKED = 500 * 1024 * 1024
MAX_PART = 100 * 1024 * 1024
MAX_RATIO = 200
MAX_PARTS = 10_000
_SMALL_PART = 10 * 1024 * 1024
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# What the libraries are seen to raise on damaged packages (XML errors are SyntaxErrors).
DAMAGE = (
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OSError,
    EOFError,
    RecursionError,
    NotImplementedError,
    MemoryError,
)


def check_zip(data: bytes, part: str) -> None:
    """Raise Unreadable unless ``data`` is a zip of sane size that holds ``part``; nothing is unpacked for this.

    Python's zip reader never unpacks more than the declared size, so a lying declaration cannot exceed the limits.
    """
    if data.startswith(_OLE):
        locked = "EncryptedPackage".encode("utf-16-le") in data
        raise Unreadable("encrypted") if locked else Unreadable("wrong_name", "It is an old Office file.")
    if not data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise Unreadable("wrong_name")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError) as error:
        raise Unreadable("damaged") from error
    total = sum(info.file_size for info in parts)
    large = [info for info in parts if info.file_size > _SMALL_PART]
    if (
        len(parts) > MAX_PARTS
        or total > MAX_UNPACKED
        or any(info.file_size > max(info.compress_size, 1) * MAX_RATIO for info in large)
        or any(info.file_size > MAX_PART for info in parts if info.filename.endswith((".xml", ".rels")))
        or total > max(len(data), _SMALL_PART) * MAX_RATIO
    ):
        raise Unreadable("zip_bomb")
    if any(info.flag_bits & 1 for info in parts):
        raise Unreadable("encrypted")
    if part not in {info.filename for info in parts}:
        raise Unreadable("wrong_name")
