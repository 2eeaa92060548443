"""Steps over shards: the same result however it is run, killed or repeated, and nothing lost at a row that fails."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from feilun.curation.documents import Block, Document
from feilun.curation.recipes import Options, curate_files, engine, parse, shards, steps
from feilun.curation.recipes.around import Around
from feilun.curation.recipes.making import Maker, document_of, document_row, empty, record_of
from feilun.curation.seam import Entry, Mended, Note, Row
from feilun.errors import FeilunError, OutOfSpace
from feilun.settings import Settings

RECIPE = """
make: documents
documents: [normalise]
rows: [language, personal, exact_copies, near_copies, decontaminate]
"""
FEILUN = [sys.executable, "-c", "from feilun.cli import main; raise SystemExit(main())"]
_WORDS = [
    "the",
    "fee",
    "of",
    "a",
    "cheque",
    "account",
    "is",
    "due",
    "when",
    "its",
    "holder",
    "moves",
    "money",
    "abroad",
]


def lines(count: int, seed: int = 1) -> list[str]:
    """Return texts: every tenth a copy of an earlier one, some with an address, some with odd blanks."""
    draw = random.Random(seed)
    found: list[str] = []
    for number in range(count):
        if number % 10 == 9:
            found.append(draw.choice(found))
            continue
        text = " ".join(draw.choice(_WORDS) + str(draw.randrange(40)) for _ in range(60))
        found.append(text + (" write to ann@example.com" if number % 7 == 0 else "\u200b  end"))
    return found


def write(path: Path, texts: Sequence[str]) -> Path:
    """Write texts as JSON lines."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def test_processes_change_nothing(tmp_path: Path) -> None:
    """One process and three give the same rows with the same sum, and the same report but for its times."""
    file = write(tmp_path / "many.jsonl", lines(1500))
    recipe = parse(RECIPE, "r")
    one = curate_files([file], recipe, tmp_path / "one", Options(1)).report
    three = curate_files([file], recipe, tmp_path / "three", Options(3)).report
    assert one["sha256"] == three["sha256"]
    for report in (one, three):
        del report["seconds"], report["day"]
    assert one == three
    assert one["rows"]["in"] == 1500
    assert one["rows"]["dropped"] == 150
    assert one["rows"]["kept"] == 1350


def test_lines_that_are_no_rows_are_told(tmp_path: Path) -> None:
    """What a large file of rows holds besides rows is in the report's notes, with its lines."""
    file = write(tmp_path / "many.jsonl", lines(3))
    file.write_text(file.read_text() + '\nnot json\n{"nothing": 1}\n{"text": 5}\n')
    report = curate_files([file], parse(RECIPE, "r"), tmp_path / "out", Options(1)).report
    assert report["rows"]["in"] == 3
    assert report["notes"] == ["many.jsonl: 3 items hold no text and were left out: line 5, line 6, line 7"]


def test_killed_runs_go_on(tmp_path: Path) -> None:
    """A run that is killed with SIGKILL again and again ends with the rows of one that was left in peace."""
    file = write(tmp_path / "many.jsonl", lines(2500))
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    model = Settings().embedding
    whole = curate_files([file], parse(RECIPE, "recipe"), tmp_path / "whole", Options(1, embedding=model)).report
    out = tmp_path / "killed"
    command = [*FEILUN, "curate", str(file), "--recipe", str(tmp_path / "recipe.yaml")]
    command += ["--out", str(out), "--home", str(tmp_path / "home"), "--processes", "2"]
    kills, wanted = 0, 1
    while kills < 4:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        until = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < until:
            if sum(path.name.startswith("made-") for path in (out / "work").glob("*")) >= wanted:
                break
            time.sleep(0.01)
        if child.poll() is not None:
            break
        subprocess.run(["pkill", "-KILL", "-s", str(child.pid)], check=False)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert not (out / "rows.parquet").exists()
        kills, wanted = kills + 1, wanted + 2
    assert kills >= 2
    again = curate_files([file], parse(RECIPE, "recipe"), out, Options(2, embedding=model)).report
    assert again["sha256"] == whole["sha256"]
    assert again["computed"] < whole["computed"]  # what was done before the kills was found


def test_helpers_end_with_a_killed_run(tmp_path: Path) -> None:
    """What a run has begun is gone soon after the run alone was killed."""
    file = write(tmp_path / "many.jsonl", lines(40_000))
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    command = [*FEILUN, "curate", str(file), "--recipe", str(tmp_path / "recipe.yaml"), "--processes", "2"]
    command += ["--out", str(tmp_path / "out"), "--home", str(tmp_path / "home")]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    helpers: list[psutil.Process] = []
    until = time.monotonic() + 60
    while len(helpers) < 2 and time.monotonic() < until:  # a worker, and who counts what they share
        time.sleep(0.05)
        helpers = psutil.Process(child.pid).children(recursive=True)
    assert len(helpers) == 2
    time.sleep(2.0)  # the worker has begun to work
    child.kill()
    child.wait()
    _, left = psutil.wait_procs(helpers, timeout=30)
    for each in left:
        each.kill()
    assert left == []


def test_only_what_changed_is_done_again(tmp_path: Path) -> None:
    """A row more at the top costs one shard; the result is that of a fresh run."""
    recipe, texts = parse("rows: [normalise, personal, exact_copies]", "r"), lines(6000, 2)
    steps_, around = recipe.rows, Around()

    def run(texts: Sequence[str], folder: Path) -> tuple[list[Row], int]:
        rows = (row(text, f"line {number}") for number, text in enumerate(texts, 1))
        result = engine.run(unique(rows), steps_, folder, around)
        return list(result.rows()), result.computed

    _, first = run(texts, tmp_path / "w")
    _, nothing = run(texts, tmp_path / "w")
    changed, some = run(["A new first row, write to bob@example.org", *texts], tmp_path / "w")
    fresh, _ = run(["A new first row, write to bob@example.org", *texts], tmp_path / "fresh")
    assert changed == fresh
    assert changed[1].place == "line 2"
    assert (first, nothing) == (6000 + 5400, 0)  # one chain before copies are dropped, one after
    assert 0 < some < 3000


def test_little_of_a_small_table_is_done_again(tmp_path: Path) -> None:
    """Of a thousand questions most are found again when one of them has changed."""
    texts = [f"Question {number}: what does form {number * 7} cost, and who signs it?" for number in range(1000)]
    steps_ = parse("rows: [normalise, personal]", "r").rows
    counts = []
    for changed in ("", " Thanks."):
        texts[500] += changed
        counts.append(engine.run((row(text) for text in texts), steps_, tmp_path / "w", Around()).computed)
    assert counts[0] == 1000
    assert 0 < counts[1] < 400


def test_a_damaged_file_of_work_is_named(tmp_path: Path) -> None:
    """What a power cut left of a shard is not taken for the whole: neither half of it nor blanks in its place."""
    path = tmp_path / "made-1"
    shards.keep(path, shards.made([row("A fee is due.")], {"sketch": 1}))
    assert shards.sketch_of(path) == {"sketch": 1}
    assert [each.text for each in shards.read_rows(shards.rows_of(path))] == ["A fee is due."]
    whole = path.read_bytes()
    for left in (b"", whole[:8], whole[:-1], bytes(len(whole))):
        path.write_bytes(left)
        for read in (shards.sketch_of, shards.rows_of):
            with pytest.raises(FeilunError, match="made-1 is damaged"):
                read(path)


def row(text: str, place: str = "", **meta: object) -> Row:
    """Return a row of one text."""
    return Row(shards.row_id("s", "n", ("text",), (text,), None), "s", "n", place, ("text",), (text,), "", dict(meta))


def unique(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows whose ids tell copies apart."""
    seen: dict[str, int] = {}
    for each in rows:
        seen[each.id] = seen.get(each.id, 0) + 1
        if seen[each.id] > 1:
            each.id = shards.row_id("s", "n", ("text",), each.texts, None, seen[each.id])
        yield each


class Stumbles:
    """An operator that fails at texts that hold a word."""

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Mark texts; fail at some."""
        del langs
        if any("stumble" in text for text in texts):
            raise RuntimeError("no such word")
        return [Mended(text + "!", (Note("marked"),)) for text in texts]


def test_a_row_that_fails_is_set_aside() -> None:
    """An operator that raises at two rows of many loses these only, and the ledger has the error."""
    texts = [f"text {number}" for number in range(50)]
    texts[7] = texts[33] = "stumble"
    ledger: list[Entry] = []
    kept = steps.run(steps.Worker("stumbles", Stumbles()), [row(text) for text in texts], ledger)
    assert [each.text for each in kept] == [f"{text}!" for text in texts if text != "stumble"]
    aside = [entry for entry in ledger if entry.action == "set_aside"]
    assert len(aside) == 2
    assert aside[0].detail == "RuntimeError: no such word"


def test_labels_are_not_mended() -> None:
    """A label stays as it is; the text beside it is mended."""
    given = Row("r", "s", "n", "", ("text", "label"), ("good", "pos"))
    kept = steps.run(steps.Worker("marks", Stumbles()), [given], [])
    assert kept[0].texts == ("good!", "pos")


def test_documents_come_back() -> None:
    """A document that became a row is the same document again, however odd its blocks."""
    blocks = (
        Block("text", "page 1", "Head", "Body", (), (), "2025-01-01"),
        Block("table", "sheet A", "", "", (("a", ""), ("b", "c", "d"), ())),
        Block("turns", "line 3", "", "", (), (("user", "Why?"), ("assistant", "So."))),
        Block("pair", "line 4", "", "", (), (("user", "x"), ("assistant", "y")), "", (("rejected", "z"),)),
        Block("text", "", "", ""),
    )
    document = Document("source-1", "file.docx", blocks, "2025-02-02", True)
    assert document_of(document_row(document)) == document


def test_rows_of_every_kind() -> None:
    """Preferences and labelled texts are cut from blocks and from tables, and become records that say what they are."""
    blocks = (
        Block("turns", "line 1", turns=(("user", "q"), ("assistant", "good")), parts=(("rejected", "bad"),)),
        Block("table", "sheet 1", rows=(("Prompt", "Chosen", "Rejected"), ("p", "c", "r"), ("short",))),
        Block("text", "line 9", text="fine", parts=(("label", "pos"),)),
    )
    document = document_row(Document("source-1", "f.jsonl", blocks))
    preferences = [record_of(each) for each in Maker("preferences").rows([document]) if not empty(each)]
    assert [[m["content"] for m in record.messages] for record in preferences] == [
        ["q", "good", "bad"],
        ["p", "c", "r"],
    ]
    labels = [record_of(each) for each in Maker("labels").rows([document])]
    assert [(record.kind, record.text, record.meta["label"]) for record in labels] == [("label", "fine", "pos")]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """When no more can be written the command says so without a traceback, and goes on once there is room."""
    file = write(tmp_path / "a.jsonl", lines(3000))
    command = [*FEILUN, "curate", str(file), "--recipe", "pretrain", "--out", str(tmp_path / "out"), "--processes", "1"]
    command += ["--home", str(tmp_path / "home")]
    limit = (resource.RLIMIT_FSIZE, (100_000, 100_000))
    full = subprocess.run(
        command, preexec_fn=lambda: resource.setrlimit(*limit), capture_output=True, text=True, check=False
    )
    assert full.returncode == OutOfSpace.exit_code
    assert "No room left" in full.stderr
    assert "Traceback" not in full.stderr
    assert not (tmp_path / "out" / "rows.parquet").exists()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert (tmp_path / "out" / "rows.parquet").exists()
