"""Curation of a mixed Chinese and English corpus, against data-juicer and datatrove: ``make bench-curation``.

    python bench/curation [--quick] [--only recipe,copies,personal,processes,memory] [--seed 1]

Prints the table; the exit code is 1 if a *must* is missed. A whole run writes ``bench/out/curation.json``. Peers are
installed at first use, each in an environment of its own under ``bench/out``.

- The corpus is made anew from a seed: 150 MB of generated sentences with exact and near copies, pages that only share
  half their sentences, furniture, personal data that nobody has, and figures that only look like it; what was put in
  is known.
- Everybody reads the same JSON lines and writes what is left. Ours runs in a process of its own, from opening the file
  to the report; of the peers only the time is taken that their operators need, not their start.
- Peers get the first part of the corpus, since they would take hours for the whole of it; MB/s are compared.
- ``memory`` runs the whole recipe over 2 GB of other rows, put together from the corpus' sentences.
- Two recipes are set against data-juicer, in the same run. ``equal`` is what both have operators for, and has the must:

      ours                           data-juicer
      normalise                      whitespace_normalization, punctuation_normalization
      normalise, mojibake            fix_unicode
      script                         chinese_convert
      quality                        alphanumeric, special_characters, character_repetition, word_repetition,
                                     text_length, average_line_length, stopwords
      sensitive                      flagged_words
      personal (EMAIL, IP, URL)      clean_email, clean_ip, clean_links
      exact_copies                   document_deduplicator
      near_copies                    document_minhash_deduplicator

  Language is left out on both sides: data-juicer's model is a download. Its filters of words do not cut Chinese into
  words here (its tokenizer is a download too), which is less work. ``pretrain`` is our whole recipe, which does more:
  copying marks, furniture, spam, language, spun text, all personal data, old versions, exams, balance.
- Only ratios and shares are figures: what a machine does in a second is a matter of the machine.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from curation import corpus, peers, score
from curation.table import row, show, told, write
from feilun.records import JSON

OUT = Path(__file__).resolve().parent.parent / "out"
PARTS = ("recipe", "copies", "personal", "processes", "memory")
EQUAL, RECIPE = "equal", "pretrain"
MB = 1_000_000
ROUNDS = 3  # of one process and then two
PATIENCE = 3 * 3600.0  # seconds for a run of ours: 2 GB take their time
SIZES = {False: (150 * MB, 8 * MB, 2000 * MB), True: (6 * MB, 1 * MB, 20 * MB)}  # whole, for peers, for memory

_began = time.monotonic()


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"[{time.monotonic() - _began:5.0f} s] {text}", flush=True)


class Bench:
    """The corpus, and what was measured on it; nothing is measured twice."""

    def __init__(self, folder: Path, quick: bool, seed: int) -> None:
        """Make the corpus and the part of it that peers get."""
        self._folder, self._seed = folder, seed
        self.size, self.part_size, self.large_size = SIZES[quick]
        say(f"corpus: {self.size / MB:.0f} MB")
        self.rows, self.truth = corpus.write(folder, self.size, seed)
        self.part, self.part_truth = corpus.write(folder, self.part_size, seed)
        self._ours: dict[tuple[str, int, str, int], JSON] = {}

    def ours(self, recipe: str, processes: int, rows: Path, size: int, number: int = 0) -> JSON:
        """Return seconds, MB/s, peak memory and the folder of a run of ours, the ``number``-th of its kind."""
        key = (recipe, processes, rows.name, number)
        if key not in self._ours:
            say(f"ours: {recipe}, {size / MB:.0f} MB, {processes} processes")
            folder = self._folder / f"ours-{recipe}-{processes}-{number}-{rows.stem}"
            script = Path(__file__).with_name("ours.py")
            command = [sys.executable, str(script), recipe, str(processes), str(rows), str(folder)]
            out = peers.run(command, seconds=PATIENCE)
            done: JSON = json.loads(next(line for line in out.splitlines() if line.startswith('{"seconds"')))
            done |= {"speed": size / MB / done["seconds"], "kept": folder / "rows.parquet"}
            say(f"  {done['seconds']:.1f} s, {done['speed']:.2f} MB/s, {done['peak'] / 2**20:.0f} MiB at most")
            self._ours[key] = done
        return self._ours[key]

    def peer(self, name: str, call: Callable[[Path, Path], tuple[float, list[str]]]) -> tuple[float | None, str]:
        """Return a peer's MB/s on its part, and how good it was at copies, or why there is nothing."""
        say(f"{name}: installing if need be, {self.part_size / MB:.0f} MB")
        try:
            seconds, kept = call(self.part, self._folder / name)
        except peers.PeerError as error:
            say(f"  {error}")
            return None, f"{name}: {error}"
        recall, _, precision = score.copies(self.part_truth, kept, [name for name, _ in score.texts(self.part)])
        speed = self.part_size / MB / seconds
        say(f"  {seconds:.1f} s, {speed:.2f} MB/s, near copies: recall {recall:.3f}, precision {precision:.3f}")
        return speed, f"{name}: {speed:.2f} MB/s, near-copy recall {recall:.3f}, precision {precision:.3f}"

    def large(self) -> Path:
        """Return a file of the size for memory: rows of sentences from all over the corpus."""
        say(f"corpus for memory: {self.large_size / MB:.0f} MB")
        rng = random.Random(self._seed)
        lines = [line for _, text in score.texts(self.rows) for line in text.split("\n")][:300_000]
        path, made, count = self._folder / "large.jsonl", 0, 0
        with path.open("w", encoding="utf-8") as file:
            while made < self.large_size:
                text = "\n".join(rng.choices(lines, k=rng.randint(2, 8)))
                made += len(text.encode())
                count += 1
                file.write(json.dumps({"id": f"doc-{count:08d}", "text": text}, ensure_ascii=False) + "\n")
        return path


def recipe_rows(bench: Bench) -> list[JSON]:
    """Return the figures of whole recipes: of what the peer does as well, and of all that ours does."""
    equal = bench.ours(EQUAL, 1, bench.rows, bench.size)["speed"]
    whole = bench.ours(RECIPE, 1, bench.rows, bench.size)["speed"]
    speed, note = bench.peer("data-juicer", peers.data_juicer)
    return [
        row(
            "equal operators, MB/s against data-juicer",
            None if speed is None else equal / speed,
            10,
            50,
            f"ours: {equal:.2f} MB/s; {note}",
        ),
        told(
            "pretrain (does more), MB/s against the same",
            None if speed is None else whole / speed,
            f"ours: {whole:.2f} MB/s, with operators that data-juicer was not asked for",
        ),
    ]


def copies_rows(bench: Bench) -> list[JSON]:
    """Return the figures of copies."""
    ours = bench.ours("copies", 1, bench.rows, bench.size)
    ids = [name for name, _ in score.texts(bench.rows)]
    near, every, precision = score.copies(bench.truth, score.kept_by_us(ours["kept"]), ids)
    speed, note = bench.peer("datatrove", peers.datatrove)
    ratio = None if speed is None else ours["speed"] / speed
    return [
        row("copies, MB/s against datatrove", ratio, 10, 60, f"ours: {ours['speed']:.2f} MB/s; {note}"),
        row("near copies: recall", near, 0.95, 0.99, f"{len(bench.truth.kinds)} copies in {len(ids)} rows"),
        told("exact and near copies: recall", every),
        row("copies: precision", precision, 0.98, 0.99),
    ]


def personal_rows(bench: Bench) -> list[JSON]:
    """Return the figures of personal data."""
    say("personal data")
    recall, precision = score.personal(bench.truth, bench.rows)
    planted = sum(map(len, bench.truth.personal.values()))
    return [
        row("personal data, structured: recall", recall, 0.98, 0.995, f"{planted} planted"),
        row("personal data, structured: precision", precision, 0.95, 0.99),
    ]


def processes_rows(bench: Bench) -> list[JSON]:
    """Return how much faster two processes are than one: the median of pairs, each run one after the other."""
    found = []
    for number in range(ROUNDS):
        one, two = (bench.ours(RECIPE, count, bench.rows, bench.size, number)["seconds"] for count in (1, 2))
        found.append(one / two)
    note = ", ".join(f"{ratio:.2f}" for ratio in found)
    return [row("two processes against one", statistics.median(found), 1.7, 1.9, note)]


def memory_rows(bench: Bench) -> list[JSON]:
    """Return the peak memory on a large corpus."""
    done = bench.ours(RECIPE, 2, bench.large(), bench.large_size)
    note = f"{bench.large_size / MB:.0f} MB in two processes, {done['speed']:.2f} MB/s"
    return [row("peak memory, GiB", done["peak"] / 2**30, 2, 1, note, less=True)]


MEASURES: dict[str, Callable[[Bench], list[JSON]]] = {
    "recipe": recipe_rows,
    "copies": copies_rows,
    "personal": personal_rows,
    "processes": processes_rows,
    "memory": memory_rows,
}


def _leave(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small corpus: whether it works, not how fast it is")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=1, help="another corpus of the same kind")
    given = parser.parse_args()
    parts = given.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _leave)
    OUT.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="curation-", dir=OUT))
    rows: list[JSON] = []
    try:
        bench = Bench(folder, given.quick, given.seed)
        for part in PARTS:
            if part in parts:
                rows += MEASURES[part](bench)
    except peers.PeerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(show(rows))
    if set(parts) == set(PARTS) and not given.quick:
        write(OUT / "curation.json", rows)
    return 0 if all(each["met"] for each in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
