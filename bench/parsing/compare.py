"""How well documents are read, against markitdown and docling on the same files: ``make bench-parsing``.

    python bench/parsing [--only docx,pdf] [--data ../shared/data/docling_fixtures] [--no-peers] [--files]

Prints a table for each format; the exit code is 1 if a *must* is missed. Writes ``bench/out/parsing.json``. The peers
are installed at first use, each in an environment of its own under ``bench/out``.

- The files and their expected Markdown are docling's own test data (MIT), so docling is at home here.
- A figure is the share of the expected words that were found, by count (words.py). Every file weighs the same.
- docling is installed without the parts that need models; these would be downloaded. It therefore reads no PDF here.
- Must: a format is at 0.95 where a peer manages it, and no file is more than 0.03 below the better peer.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import mean

from feilun.curation import Document, Unreadable, parse
from parsing.peers import PEERS, PeerError
from parsing.words import missing, recall

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT.parent / "shared" / "data" / "docling_fixtures"
OUT = ROOT / "bench" / "out"
MUST, BEHIND = 0.95, 0.03


def files_of(data: Path, only: set[str]) -> dict[str, list[tuple[Path, str]]]:
    """Return format -> its files and the Markdown that is expected of each."""
    found: dict[str, list[tuple[Path, str]]] = {}
    for folder in sorted(path for path in data.iterdir() if path.is_dir() and (not only or path.name in only)):
        for source in sorted((folder / "sources").iterdir()):
            names = (f"{source.name}.md", f"{source.stem}.md")
            expected = next((file for name in names if (file := folder / "groundtruth" / name).is_file()), None)
            if expected is not None:
                found.setdefault(folder.name, []).append((source, expected.read_text(encoding="utf-8")))
    return found


def plain(document: Document) -> str:
    """Return all that a document says, in order."""
    parts: list[str] = []
    for block in document.blocks:
        parts += [block.heading, block.text, *(" | ".join(row) for row in block.rows)]
        parts += [text for _, text in block.turns]
    return "\n".join(parts)


def ours(files: list[Path]) -> dict[str, str]:
    """Return what Feilun makes of each file; what cannot be read is empty."""
    found = {}
    for path in files:
        try:
            found[str(path)] = plain(parse(path.name, path.read_bytes()))
        except Unreadable as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            found[str(path)] = ""
    return found


def readings(files: dict[str, list[tuple[Path, str]]], with_peers: bool) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return reader -> file -> text, and a note for each peer that is not there."""
    texts = {"feilun": ours([path for kind in files.values() for path, _ in kind])}
    notes: list[str] = []
    for peer in PEERS if with_peers else ():
        try:
            print(f"{peer.name}: installing if need be, reading", flush=True)
            wanted = [path for kind in files if kind in peer.formats for path, _ in files[kind]]
            texts[peer.name] = peer.read(peer.install(OUT), wanted)
        except PeerError as error:
            notes.append(str(error))
    return texts, notes


def compare(files: dict[str, list[tuple[Path, str]]], texts: dict[str, dict[str, str]]) -> list[dict[str, object]]:
    """Return a row for each format: every reader's mean, the must, and the files that fall behind."""
    rows: list[dict[str, object]] = []
    for kind, members in files.items():
        scores: dict[str, dict[str, float]] = {
            path.name: {name: recall(wanted, found[str(path)]) for name, found in texts.items() if str(path) in found}
            for path, wanted in members
        }
        names = sorted({name for each in scores.values() for name in each} - {"feilun"})
        means = {name: mean(each[name] for each in scores.values()) for name in ("feilun", *names)}
        best = max((means[name] for name in names), default=0.0)
        must = max(min(MUST, best), best - BEHIND)
        behind = {
            name: each
            for name, each in scores.items()
            if each["feilun"] < max((each[peer] for peer in names), default=0.0) - BEHIND
        }
        low = {
            path.name: missing(wanted, texts["feilun"][str(path)])
            for path, wanted in members
            if scores[path.name]["feilun"] < MUST
        }
        rows.append(
            {
                "format": kind,
                "files": scores,
                "means": means,
                "must": must,
                "behind": behind,
                "low": low,
                "passed": means["feilun"] >= must and not behind,
            }
        )
    return rows


def show(rows: list[dict[str, object]], notes: list[str], every: bool) -> None:
    """Print the table, the files that are below 0.95 with what is missed, and the notes."""
    head = ("feilun", *(peer.name for peer in PEERS))
    print(f"\n{'format':<8}{'files':>6}" + "".join(f"{name:>12}" for name in head) + f"{'must':>8}")
    for row in rows:
        means, files = row["means"], row["files"]
        assert isinstance(means, dict)
        assert isinstance(files, dict)
        cells = "".join(f"{means[name]:>12.3f}" if name in means else f"{'–':>12}" for name in head)
        verdict = "ok" if row["passed"] else "MISSED"
        print(f"{row['format']!s:<8}{len(files):>6}{cells}{row['must']:>8.3f} {verdict}")
        low, behind = row["low"], row["behind"]
        assert isinstance(low, dict)
        assert isinstance(behind, dict)
        for name, each in files.items():
            if every or name in low or name in behind:
                line = ", ".join(f"{reader} {score:.3f}" for reader, score in each.items())
                print(f"    {name}: {line}" + (f"; missed: {' '.join(low[name])}" if name in low else ""))
    print("\n".join(["", *notes]).rstrip())


def main() -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description="Reading documents, against markitdown and docling.")
    parser.add_argument("--data", type=Path, default=DATA, help="a folder with FORMAT/sources and FORMAT/groundtruth")
    parser.add_argument("--only", default="", help="formats, by commas")
    parser.add_argument("--no-peers", action="store_true", help="read with Feilun alone")
    parser.add_argument("--files", action="store_true", help="show every file, not only the low ones")
    given = parser.parse_args()
    only = {name for name in given.only.split(",") if name}
    if not given.data.is_dir():
        print(f"{given.data}: the documents are not here; name a folder with --data.", file=sys.stderr)
        return 2
    files = files_of(given.data, only)
    texts, notes = readings(files, not given.no_peers)
    rows = compare(files, texts)
    show(rows, notes, given.files)
    if not only and not given.no_peers:
        OUT.mkdir(exist_ok=True)
        (OUT / "parsing.json").write_text(json.dumps({"formats": rows, "notes": notes}, indent=1), encoding="utf-8")
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
