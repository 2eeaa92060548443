"""Leaked exam questions found, and records falsely taken for leaks: ``python bench/sealing.py --data FOLDER``.

Exams are half of each of several public sets of exam questions (FinanceIQ, CMMLU, M3KE, AGIEval, GAOKAO-Bench; their
folders below ``--data``). Planted is a sample of their questions in every disguise: alone, within a document, and cut
across the turns of a chat. What nobody planted is everything else: the other halves, on the same subjects and often in
the same words, and instruction sets and articles (DISC-FinLLM, BELLE, CMRC, C4). Every removal among these is listed,
for a person to say whether it is a copy. Prints the table and writes ``bench/out/sealing.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from opencc import OpenCC

from feilun.curation.sealing import seal
from feilun.records import EvalItem, Record
from ratios import report, row

OUT = Path(__file__).parent / "out" / "sealing.json"
Question = tuple[str, list[str]]
MUST = ("verbatim", "choices reordered", "words reordered", "traditional", "unseen signs", "full width")


def exams(data: Path) -> dict[str, list[Question]]:
    """Return questions with their choices, by set."""
    found: dict[str, list[Question]] = {}
    for name, folder in (("financeiq", "financeiq/data/test"), ("cmmlu", "cmmlu/data/dev")):
        lines = [line for file in sorted((data / folder).glob("*.csv")) for line in _table(file)]
        found[name] = [(x["Question"], [x[k] for k in "ABCD" if x.get(k)]) for x in lines if x.get("Question")]
    m3ke = [line for file in sorted((data / "m3ke/data/dev").glob("*.jsonl")) for line in _lines(file)]
    found["m3ke"] = [(x["question"], [x[k] for k in "ABCD"]) for x in m3ke]
    for file in sorted((data / "agieval/data/v1").glob("*.jsonl")):
        found[file.stem] = [((x.get("passage") or "") + x["question"], x.get("options") or []) for x in _lines(file)]
    gaokao = sorted((data / "gaokao_bench/Data/Objective_Questions").glob("*.json"))
    found["gaokao"] = [(x["question"], []) for file in gaokao for x in json.loads(file.read_text())["example"]]
    return {name: [each for each in many if each[0].strip()] for name, many in found.items() if many}


def others(data: Path) -> Iterator[Record]:
    """Yield records that are no exam questions."""
    for file in sorted((data / "disc_finllm/data").glob("*.json")):
        for n, x in enumerate(json.loads(file.read_text())):
            yield chat(f"{file.stem}-{n}", f"{x['instruction']}\n{x['input']}", x["output"])
    for n, x in enumerate(_lines(data / "belle/data/1.5M/zh_seed_tasks.json")):
        yield chat(f"belle-{n}", x["instruction"] + x["instances"][0]["input"], x["instances"][0]["output"])
    squad = json.loads((data / "cmrc2018/squad-style-data/cmrc2018_trial.json").read_text())
    for passage in (passage for article in squad["data"] for passage in article["paragraphs"]):
        yield Record(f"cmrc-{passage['id']}", "passage", (), (), passage["context"])
        yield from (chat(f"cmrc-{qa['id']}", qa["question"], qa["answers"][0]["text"]) for qa in passage["qas"])
    for n, x in enumerate(_lines(data / "llamafactory_demo/data/c4_demo.jsonl")):
        yield Record(f"c4-{n}", "passage", (), (), x["text"])


def _table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8-sig").split("\n") if line.strip()]


def chat(name: str, *texts: str) -> Record:
    """Return a conversation."""
    roles = ("user", "assistant")
    return Record(name, "chat", (), tuple({"role": roles[n % 2], "content": text} for n, text in enumerate(texts)))


def written(question: Question, order: Sequence[int] | None = None, marks: str = "ABCDEFGH") -> str:
    """Return a question with its choices."""
    offered = [question[1][n] for n in order] if order else question[1]
    return "\n".join([question[0], *(f"{mark}. {choice}" for mark, choice in zip(marks, offered, strict=False))])


def disguises(rng: random.Random) -> dict[str, Callable[[Question], str]]:
    """Return the ways in which a question is hidden."""
    signs = ("\u200b", "\u200d", "\u2060", "\ufeff", "")

    def words(text: str) -> str:
        parts = text.split() if text.isascii() else re.findall(r"[\u3400-\u9fff]{1,2}|[^\u3400-\u9fff]+", text)
        return (" " if text.isascii() else "").join(rng.sample(parts, len(parts)))

    def wide(text: str) -> str:
        return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)

    return {
        "verbatim": written,
        "question alone": lambda q: q[0],
        "choices reordered": lambda q: written(q, rng.sample(range(len(q[1])), len(q[1])), "①②③④⑤⑥⑦⑧"),
        "words reordered": lambda q: words(written(q)),
        "question alone, words reordered": lambda q: words(q[0]),
        "traditional": lambda q: OpenCC("s2t").convert(written(q)),
        "traditional, words of Taiwan": lambda q: OpenCC("s2twp").convert(written(q)),
        "unseen signs": lambda q: "".join(char + rng.choice(signs) for char in written(q)),
        "full width": lambda q: wide(written(q)),
        "no blanks": lambda q: "".join(written(q).split()),
        "blanks everywhere": lambda q: " ".join(written(q)),
        "punctuation": lambda q: "".join(char + rng.choice(("", "", "，", "·")) for char in q[0]),
    }


def planted(questions: Sequence[tuple[str, Question]], hide: Callable[[Question], str], place: str, fill: Sequence[str],
            rng: random.Random) -> list[Record]:  # fmt: skip
    """Return records that hold the questions, hidden."""
    found = []
    for name, question in questions:
        text = hide(question)
        if place == "alone":
            found.append(chat(name, text, "A"))
        elif place == "in a document":
            found.append(Record(name, "passage", (), (), "\n".join([*rng.sample(fill, 3), text, *rng.sample(fill, 3)])))
        else:
            half = len(text) // 2
            found.append(chat(name, text[:half], rng.choice(fill), text[half:], rng.choice(fill)))
    return found


def main() -> int:
    """Plant, seal, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=25, help="questions planted of each set")
    given = parser.parse_args()
    rng = random.Random(7)
    items: list[EvalItem] = []
    chosen: list[tuple[str, Question]] = []
    clean = list(others(given.data))
    fill = [record.text or str(record.messages[-1]["content"]) for record in clean]
    fill = [text for text in fill if 20 < len(text) < 400]
    for name, questions in exams(given.data).items():
        rng.shuffle(questions)
        half = min(150, len(questions) // 2)
        items += [
            EvalItem(f"{name}-{n}", q, ("x",), (), {"choices": c} if c else {})
            for n, (q, c) in enumerate(questions[:half])
        ]
        chosen += [(f"{name}-{n}", question) for n, question in enumerate(questions[: min(half, given.sample)])]
        clean += [
            chat(f"{name}/{n}", written(question), "A") for n, question in enumerate(questions[half : half + 900])
        ]
    hidden: dict[str, list[Record]] = {}
    for how, hide in disguises(rng).items():
        for place in ("alone", "in a document", "across turns"):
            hidden[f"{how}, {place}"] = planted(chosen, hide, place, fill, rng)
    every = [replace(record, id=f"{way}|{record.id}") for way, records in hidden.items() for record in records]
    found = Counter(leak.record.id.split("|")[0] for leak in seal(every, items).removed)
    rows = []
    for way in hidden:
        how, place = way.rsplit(", ", 1)
        must = 0.95 if how in MUST and place == "alone" else None
        rows.append(row(f"found: {way} (share of {len(chosen)})", found[way] / len(chosen), must, must))
    begun = time.process_time()
    sealed = seal(clean, items)
    spent = time.process_time() - begun
    size = sum(len(record.text) + sum(len(str(m["content"])) for m in record.messages) for record in clean)
    for leak in sealed.removed:
        told = leak.as_json()
        print(f"removed {leak.record.id} {told['how']}: {told['text'][:60]} || {told['question'][:60]}")
    rows.append(row(f"removed of {len(clean)} that nobody planted", len(sealed.removed)))
    rows.append(row(f"processor seconds for a million characters, {len(items)} items", spent / size * 1e6))
    report(OUT, rows)
    return 0 if all(one["met"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
