"""The compound files (OLE, [MS-CFB]) of the years before 2007.

This module knows olefile and translates what it raises. It does not know what the streams say.
"""

from __future__ import annotations

import io

import olefile

from feilun.curation.documents import MAX_BYTES, Unreadable

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def open_ole(data: bytes) -> olefile.OleFileIO:
    """Return the opened file; raise Unreadable for what is none, for a damaged one, and for an encrypted new one."""
    if not data.startswith(MAGIC):
        raise Unreadable("wrong_name")
    try:
        ole = olefile.OleFileIO(io.BytesIO(data))
    except (OSError, ValueError, IndexError, TypeError, RecursionError, MemoryError) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    if ole.exists("EncryptedPackage"):
        ole.close()
        raise Unreadable("encrypted")
    return ole


def stream_of(ole: olefile.OleFileIO, name: str) -> bytes:
    """Return the bytes of a stream; raise Unreadable if there is none (it is another kind of file)."""
    if not ole.exists(name):
        raise Unreadable("wrong_name")
    if ole.get_size(name) > MAX_BYTES:
        raise Unreadable("too_big")
    data: bytes = ole.openstream(name).read()
    return data
