"""Which engine is the best default on a CPU: ``python bench/engines`` compares them on one model and the same prompts.

    python bench/engines [--only feilun,transformers,xllamacpp,openvino] [--quick] [--rounds 3]

Prints a table and writes ``bench/out/engines.json``. Does not know how any engine is called: a module for each does.

- Every engine has a process of its own, without a server before it, the same threads, prompts as token ids, greedy
  answers of one length. They take turns; only one works, the others are stopped. A figure is the median over the rounds
  of tokens per second over transformers' in the same round, with the smallest and the largest.
- transformers gets its best case: float32, prompts of one length that arrive together.
- Two builds of the same weights: *float32* computes what transformers computes; *as it comes* is what a user gets who
  changes nothing (llama.cpp: the file of 4 bits; OpenVINO: bfloat16 where the processor has it, a cache of 8 bits).
- start: seconds from the process to its first token, over transformers'. memory: the largest resident set (MiB), at 32
  calls. tokens equal: the share of transformers' tokens (one prompt at a time) before the first that differs; answers
  equal: the share of whole answers. adapters right: of as many calls at once, each to another adapter, the share that
  is nearest to PEFT's answer for its own, and nearer to it than to the base's. mixed: tokens/s of 16 calls over all
  adapters over 16 calls to the base.
- A peer that cannot be had is a line with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from feilun.compute import machine
from feilun.engines.models import DEFAULT, PACKAGES, ensure_base
from feilun.engines.prompts import Prompter

from .environments import OUT, PeerError, openvino_model, python_of
from .files import adapters, plain_gguf
from .processes import Running, started

CALLS, MIXED, ADAPTERS = (1, 8, 32), 16, 8
TOGETHER, LENGTH, DISTINCT = 8, 32, 12  # correctness: calls at once, tokens of an answer; tokens that tell adapters
TOPICS = (
    "rain",
    "a bridge",
    "bread",
    "the moon",
    "a clock",
    "salt",
    "tides",
    "a loom",
    "glass",
    "bees",
    "a map",
    "ink",
)
FORMS = ("Explain {} in two sentences.", "Write three facts about {}.")
NUMBERS = count(100)

_began = time.monotonic()


@dataclass
class Row:
    """A peer and what was found of it. ``package`` is installed in an environment; empty: Feilun's own."""

    name: str
    package: str
    module: str
    exact: bool = True
    why: str = ""
    speeds: dict[int, list[float]] = field(default_factory=dict)
    start: float = 0.0
    memory: float = 0.0
    tokens: float | None = None
    answers: float | None = None
    adapters: str = "-"
    mixed: list[float] = field(default_factory=list)


ROWS = (
    ("transformers", "", "peer_transformers", True),
    ("feilun", "", "peer_feilun", True),
    ("xllamacpp float32", "xllamacpp", "peer_xllamacpp", True),
    ("xllamacpp as it comes", "xllamacpp", "peer_xllamacpp", False),
    ("openvino float32", "openvino", "peer_openvino", True),
    ("openvino as it comes", "openvino", "peer_openvino", False),
)
NAMES = tuple(dict.fromkeys(name.split()[0] for name, *_ in ROWS))


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"[{time.monotonic() - _began:5.0f} s] {text}", flush=True)


class Bench:
    """The model, its prompts, and the peers that run."""

    def __init__(self, base: Path, identity: str, source: Path, scratch: Path, threads: int) -> None:
        self.base, self.identity, self.source, self.scratch, self.threads = base, identity, source, scratch, threads
        self.prompter = Prompter(base)
        self.end = min(self.prompter.end_ids)
        self.running: dict[str, Running] = {}

    def call(self, question: str, adapter: str = "") -> dict[str, Any]:
        """Return a call with a question as the model's template has it."""
        text = self.prompter.render(({"role": "user", "content": question},))
        return {"text": text, "ids": self.prompter.encode(text), "adapter": adapter}

    def stories(self, number: int, names: tuple[str, ...] = ("",)) -> list[dict[str, Any]]:
        """Return calls of one length that nobody made before, which take turns with adapters."""
        return [
            self.call(
                f"{next(NUMBERS)} miles of river, a mill, and people beside it: write a story.", names[i % len(names)]
            )
            for i in range(number)
        ]

    def start(self, row: Row, made: dict[str, Any]) -> tuple[Running, float]:
        """Start a peer with adapters; return it and how many seconds it took to its first token."""
        hello = self.call("Hello.")
        settings = {
            "folder": str(self.base),
            "threads": self.threads,
            "exact": row.exact,
            "end": self.end,
            "adapters": made,
            "hello": [hello["text"], hello["ids"]],
        }
        python = python_of(row.package)
        if row.package == "xllamacpp":
            plain = OUT / ".xllamacpp" / f"model-{self.identity}.gguf"
            settings["gguf"] = str(plain_gguf(self.source, plain) if row.exact else self.source)
        if row.package == "openvino":
            settings["ir"] = str(openvino_model(self.base, self.identity))
        return started(python, row.module, settings, self.scratch / f"{row.name}.log")

    def whole(self, answer: list[int]) -> list[int]:
        """Return the answer up to its end token."""
        ends = [i for i, token in enumerate(answer) if token in self.prompter.end_ids]
        return answer[: ends[0]] if ends else answer


def common(one: list[int], other: list[int]) -> int:
    """Return how many first tokens are equal."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def begin(bench: Bench, rows: list[Row]) -> None:
    """Start every peer; who does not come up has the reason in its row."""
    for row in rows:
        say(f"{row.name}: starting")
        try:
            bench.running[row.name], row.start = bench.start(row, {})
        except PeerError as error:
            row.why = str(error)
            say(f"{row.name}: {error}")


def ask(
    bench: Bench, row: Row, calls: list[dict[str, Any]], tokens: int, *, ends: bool = False
) -> tuple[list[list[int]], float]:
    """Ask a peer that runs; if it fails, that is noted in its row and the answer is empty."""
    try:
        return bench.running[row.name].ask(calls, tokens, ends=ends)
    except PeerError as error:
        row.why = str(error)
        say(f"{row.name}: {error}")
        return [], 1.0


def correctness(bench: Bench, rows: list[Row], questions: int) -> None:
    """Fill in how much of transformers' answers everybody gives."""
    asked = [bench.call(form.format(topic)) for form in FORMS for topic in TOPICS][:questions]
    teacher = bench.running[rows[0].name]
    wanted = [bench.whole(teacher.ask([one], LENGTH, ends=True)[0][0]) for one in asked]
    for row in (row for row in rows if not row.why):
        say(f"{row.name}: correctness")
        found: list[list[int]] = []
        for i in range(0, len(asked), TOGETHER):
            found += ask(bench, row, asked[i : i + TOGETHER], LENGTH, ends=True)[0]
        if row.why:
            continue
        pairs = [(want, bench.whole(answer)) for want, answer in zip(wanted, found, strict=True)]
        row.tokens = sum(common(want, got) for want, got in pairs) / sum(len(want) for want, _ in pairs)
        row.answers = sum(want == got for want, got in pairs) / len(pairs)


def speeds(bench: Bench, rows: list[Row], rounds: int, tokens: int) -> None:
    """Fill in tokens per second, one after another in every round, and the memory it took."""
    for number in range(rounds):
        for calls in CALLS:
            asked = bench.stories(calls)
            for row in (row for row in rows if not row.why):
                found, seconds = ask(bench, row, asked, tokens)
                row.speeds.setdefault(calls, []).append(sum(map(len, found)) / seconds)
        say(f"round {number + 1} of {rounds}")
    for row in (row for row in rows if not row.why):
        row.memory = bench.running[row.name].memory()


def with_adapters(bench: Bench, rows: list[Row], rounds: int, tokens: int) -> None:
    """Fill in what becomes of calls to several adapters at once; each peer is started anew, with all adapters."""
    made = adapters(bench.base, bench.scratch, ADAPTERS)
    asked = [bench.call("Write a story about a mill.", name) for name in ("", *made)]
    wanted: list[list[int]] = []
    for row in (row for row in rows if not row.why):
        say(f"{row.name}: adapters")
        try:
            peer, _ = bench.start(row, made)
            with peer:
                wanted = wanted or [peer.ask([one], DISTINCT)[0][0] for one in asked]
                found, _ = peer.ask(asked[1:], DISTINCT)
                right = 0
                for number, answer in enumerate(found, start=1):
                    near = [common(want, answer) for want in wanted]
                    right += near[number] == max(near) > near[0]
                row.adapters = f"{right}/{len(made)}"
                for _ in range(rounds if right == len(made) else 0):
                    plain, plain_seconds = peer.ask(bench.stories(MIXED), tokens)
                    mixed, mixed_seconds = peer.ask(bench.stories(MIXED, tuple(made)), tokens)
                    ratio = sum(map(len, mixed)) / mixed_seconds / (sum(map(len, plain)) / plain_seconds)
                    row.mixed.append(ratio)
        except PeerError as error:
            row.adapters = "failed"
            row.why = f"adapters: {error}"
            say(f"{row.name}: {error}")


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})" if values else "-"


def _ratios(row: Row, base: Row, calls: int) -> list[float]:
    return [one / other for one, other in zip(row.speeds.get(calls, []), base.speeds[calls], strict=False)]


def show(rows: list[Row]) -> list[list[str]]:
    """Return the table's lines; the first row is what the others are compared with."""
    base = rows[0]
    heads = ["engine", *(f"tokens/s at {calls}" for calls in CALLS)]
    heads += ["start", "MiB", "tokens equal", "answers equal", "adapters right", "mixed"]
    lines = [heads]
    for row in rows:
        cells = [row.name, *(_spread(_ratios(row, base, calls)) for calls in CALLS)]
        cells += [f"{row.start / base.start:.2f}", f"{row.memory:.0f}"] if row.start else ["-", "-"]
        cells += ["-" if share is None else f"{share:.3f}" for share in (row.tokens, row.answers)]
        lines.append([*cells, row.adapters, _spread(row.mixed), *([f"FAILED: {row.why}"] if row.why else [])])
    return lines


def _leave(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Compare, print, write; return the exit code: 1 if a peer failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(NAMES), help=f"engines, separated by commas: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="one short round: whether it works, not how fast it is")
    parser.add_argument("--rounds", type=int, default=3, help="how often everybody has a turn")
    parser.add_argument("--tokens", type=int, default=32, help="length of every answer whose time is taken")
    parser.add_argument("--questions", type=int, default=16, help="prompts whose answers are compared, 24 at most")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="1 where others use the machine too")
    parser.add_argument("--home", type=Path, default=Path("feilun-data"), help="where prepared models are kept")
    given = parser.parse_args()
    chosen = {"transformers", *given.only.split(",")}
    if unknown := chosen - set(NAMES):
        parser.error(f"no such engine: {', '.join(sorted(unknown))}")
    rounds, tokens, questions = (1, 8, 4) if given.quick else (given.rounds, given.tokens, given.questions)
    signal.signal(signal.SIGTERM, _leave)
    version = ensure_base(given.home.absolute(), DEFAULT, say)
    inside = PACKAGES[DEFAULT][1]
    places = [*(Path(each) / inside for each in sys.path), given.home / "models" / "packages" / Path(inside).name]
    source = next(path.absolute() for path in places if path.is_file())
    rows = [Row(*one) for one in ROWS if one[0].split()[0] in chosen]
    with tempfile.TemporaryDirectory(prefix="feilun-bench-") as scratch:
        bench = Bench(Path(version.folder), version.id, source, Path(scratch), given.threads)
        try:
            begin(bench, rows)
            if rows[0].why:
                print(f"error: transformers does not run: {rows[0].why}", file=sys.stderr)
                return 2
            correctness(bench, rows, questions)
            speeds(bench, rows, rounds, tokens)
            for row in rows:
                say(" ".join(map(str, (row.name, row.speeds, row.start, row.memory, row.tokens, row.answers))))
        finally:
            for peer in bench.running.values():
                peer.end()
        with_adapters(bench, rows, rounds, tokens)
    lines = show(rows)
    wide = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(f"{cell:<{wide[i] if i < len(wide) else 0}}" for i, cell in enumerate(line)).rstrip())
    print("tokens per second of transformers: " + ", ".join(f"{n}: {median(rows[0].speeds[n]):.1f}" for n in CALLS))
    if chosen == set(NAMES) and not given.quick:
        found = {"machine": machine(), "table": lines, "load": os.getloadavg()}
        (OUT / "engines.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if any(row.why for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
