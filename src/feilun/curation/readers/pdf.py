"""PDF -> blocks, one text block per page.

This module knows pypdf and translates what it raises. It does not know what the text means.
"""

from __future__ import annotations

import io
import logging
import re
import time
import warnings

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

from feilun.curation.documents import MAX_CHARACTERS, MAX_PAGES, Block, Unreadable

SECONDS = 120.0
_PAGE_NUMBER = re.compile(r"\A\s*(?:page |第 ?)?\d{1,4}(?: ?页| ?(?:/|of) ?\d{1,4})?[ \t]*(?:\n|\Z)", re.IGNORECASE)
# What pypdf is seen to raise on damaged files besides its own errors.
_PDF_ERRORS = (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, ArithmeticError)
_PDF_DEEP = (RecursionError, NotImplementedError, AssertionError, MemoryError, EOFError)


def read_pdf(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per page; raise Unreadable for encrypted, damaged, slow or text-free files."""
    if b"%PDF-" not in data[:1024]:
        raise Unreadable("wrong_name")
    blocks: list[Block] = []
    size, began = 0, time.monotonic()
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise Unreadable("encrypted")
            for number, page in enumerate(reader.pages, 1):
                if number > MAX_PAGES or size > MAX_CHARACTERS:
                    notes.append(f"only the first {number - 1} pages were read")
                    break
                if time.monotonic() - began > SECONDS:
                    raise Unreadable("too_slow")
                text = _PAGE_NUMBER.sub("", page.extract_text())
                size += len(text)
                if text.strip():
                    blocks.append(Block("text", f"page {number}", text=text))
    except (FileNotDecryptedError, DependencyError) as error:
        raise Unreadable("encrypted") from error
    except (*_PDF_ERRORS, *_PDF_DEEP) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    if not blocks:
        raise Unreadable("no_text")
    return blocks
