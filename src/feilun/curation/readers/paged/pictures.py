"""Pictures -> text by recognition (PaddleOCR's models through rapidocr, Chinese and English), line by line.

This module knows pictures and the order in which people read what lies on them. It does not know what the text means.
Recognition is an extra (``pip install feilun[ocr]``): its models are in the package, nothing is downloaded.
"""

from __future__ import annotations

import importlib
import io
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feilun.curation.documents import Block, Unreadable

SECONDS = 90.0
MAX_PIXELS = 100_000_000
MAX_FRAMES = 200
_SIDE = 2000  # pixels of the longer side that recognition is given
_SEEK = 1440  # pixels of the longer side in which text is looked for; it is read in the larger picture
_SURE = 0.5  # what recognition must be sure of a line, from 0 to 1


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of recognised text and where it lies, in pixels from the upper left."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def read_picture(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per picture or frame; raise Unreadable for damaged, huge and text-free pictures."""
    images = _optional("PIL.Image")
    turned = _optional("PIL.ImageOps").exif_transpose
    began, blocks = time.monotonic(), list[Block]()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = images.open(io.BytesIO(data))
            frames = getattr(picture, "n_frames", 1)
            for number in range(frames):
                if number >= MAX_FRAMES or time.monotonic() - began > SECONDS:
                    notes.append(f"only the first {number} pictures were read")
                    break
                picture.seek(number)
                if picture.width * picture.height > MAX_PIXELS:
                    raise Unreadable("zip_bomb")
                frame = turned(picture)
                frame.thumbnail((_SIDE, _SIDE))
                text = recognise(np.asarray(_on_white(images, frame))[:, :, ::-1])
                if text:
                    blocks.append(Block("text", f"page {number + 1}" if frames > 1 else "", text=text))
    except images.DecompressionBombError as error:
        raise Unreadable("zip_bomb") from error
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError, MemoryError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    if not blocks:
        raise Unreadable("no_text")
    return blocks


def _on_white(images: Any, frame: Any) -> Any:
    """Return the picture in colours without transparency; what shows through is white paper."""
    if frame.mode in {"RGBA", "LA", "PA"} or "transparency" in frame.info:
        layer = frame.convert("RGBA")
        paper = images.new("RGBA", layer.size, "white")
        frame = images.alpha_composite(paper, layer)
    elif frame.mode.startswith("I"):
        frame = frame.point(lambda value: value / 256).convert("L")
    return frame.convert("RGB")


def _optional(name: str) -> Any:
    """Return a module of the extra; raise Unreadable if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unreadable("no_ocr") from error


@lru_cache(maxsize=1)
def _engine() -> Any:
    # Several files are read at the same time; more threads than this only wait for each other.
    threads = min(max((os.cpu_count() or 1) // 2, 1), 4)
    return _optional("rapidocr_onnxruntime").RapidOCR(
        intra_op_num_threads=threads, inter_op_num_threads=1, det_limit_type="max", det_limit_side_len=_SEEK
    )


def recognise(image: NDArray[np.uint8]) -> str:
    """Return the text of a picture (blue, green, red) as people read it; raise Unreadable without the extra."""
    if min(image.shape[:2]) < 8:
        return ""
    found, _ = _engine()(np.ascontiguousarray(image))
    words = []
    for corners, text, sure in found or ():
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        if float(sure) >= _SURE and text.strip():
            words.append(Word(text.strip(), min(xs), min(ys), max(xs), max(ys)))
    return "\n".join(_lines(words))


def _lines(words: Sequence[Word]) -> Iterator[str]:
    """Yield the lines of a page: columns of prose one after the other, then pieces side by side as one line."""
    for part in columns(words):
        line: list[Word] = []
        for word in sorted(part, key=lambda word: (word.top + word.bottom) / 2):
            middle = (word.top + word.bottom) / 2
            if line and not any(other.top < middle < other.bottom for other in line):
                yield " ".join(each.text for each in sorted(line, key=lambda each: each.left))
                line = []
            line.append(word)
        if line:
            yield " ".join(each.text for each in sorted(line, key=lambda each: each.left))


def columns(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Yield the words of each column of prose; what crosses the gutter ends the columns above it.

    Columns are prose if their pieces are long: ten times as wide as high, as a rule. A table's are not.
    """
    ordered = sorted(words, key=lambda word: word.top)
    middle = _gutter(ordered)
    if middle is None:
        yield ordered
        return
    left: list[Word] = []
    right: list[Word] = []
    for word in ordered:
        if word.left < middle < word.right:
            yield from (part for part in (left, right) if part)
            left, right = [], []
            yield [word]
        else:
            (left if word.right <= middle else right).append(word)
    yield from (part for part in (left, right) if part)


def _gutter(words: Sequence[Word]) -> float | None:
    """Return where a page of two columns is parted, or None."""
    if len(words) < 8:
        return None
    first, last = min(word.left for word in words), max(word.right for word in words)
    for share in (0.5, 0.48, 0.52, 0.45, 0.55):
        x = first + share * (last - first)
        left = [word for word in words if word.right <= x]
        right = [word for word in words if word.left >= x]
        prose = [word for word in (*left, *right) if word.right - word.left > 10 * (word.bottom - word.top)]
        if (
            min(len(left), len(right)) >= 4
            and len(left) + len(right) > 0.85 * len(words)
            and (len(prose) > 0.6 * (len(left) + len(right)))
        ):
            return x
    return None
