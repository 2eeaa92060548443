"""Check the sample organisation: counts, wordings, keys, overlaps.

Usage: python tools/check_sample.py
Needs feilun, python-docx, openpyxl, pypdf and PyYAML.
"""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import json
import re
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import docx
import openpyxl
import yaml
from pypdf import PdfReader

from feilun.evaluation.exams import load_exam
from feilun.evaluation.scoring import contains

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "feilun"
TARGET = PACKAGE / "apps" / "credit_union"
GENERAL = PACKAGE / "evaluation" / "general.jsonl"
FILES = TARGET / "files"

Pair = tuple[str, str]


def need(truth: bool, message: str) -> None:
    """Raise when a condition of the sample does not hold."""
    if not truth:
        raise AssertionError(message)


def normal(text: str) -> str:
    """Return text in lower case without punctuation, single spaced."""
    return " ".join(re.sub(r"[^\w\s]|_", " ", text.lower()).split())


def holds(accept: str, answer: str) -> bool:
    """Tell whether an answer holds an accepted string, as the platform scores it."""
    return contains(answer, [accept]) == 1.0


def decode(data: bytes) -> str:
    """Decode UTF-8 or, failing that, GB18030."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030")


def jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON lines file."""
    return [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]


def xlsx_pairs(path: Path) -> list[Pair]:
    """Return pairs of sheets whose header names question and answer."""
    found: list[Pair] = []
    for sheet in openpyxl.load_workbook(path).worksheets:
        rows = list(sheet.iter_rows(values_only=True))
        head = [str(cell or "").strip() for cell in rows[0]]
        if "question" in head and "answer" in head:
            ask, tell = head.index("question"), head.index("answer")
            found += [(str(row[ask]).strip(), str(row[tell]).strip()) for row in rows[1:] if row[ask] and row[tell]]
    return found


def csv_pairs(path: Path) -> list[Pair]:
    """Return pairs of a CSV file with known column names."""
    names = (("question", "answer"), ("问题", "答案"), ("message", "reply"))
    rows = list(csv.DictReader(io.StringIO(decode(path.read_bytes()))))
    for ask, tell in names:
        if rows and ask in rows[0]:
            return [(row[ask], row[tell]) for row in rows if row[tell]]
    return []


def turn_pairs(path: Path) -> list[Pair]:
    """Return pairs of neighbouring lines of asker and teller."""
    pattern = r"^(?:Member: |客户：)(.+)\n(?:Agent: |坐席：)(.+)$"
    return re.findall(pattern, decode(path.read_bytes()), re.MULTILINE)


def md_pairs(path: Path) -> list[Pair]:
    """Return Q:/A:, bold Q: and 问：/答： pairs."""
    text = decode(path.read_bytes())
    plain = re.findall(r"^(?:Q: |问：)(.+)\n(?:A: |答：)(.+)$", text, re.MULTILINE)
    return plain + re.findall(r"^\*\*Q: (.+)\*\*\n\n(.+)$", text, re.MULTILINE)


def docx_pairs(path: Path) -> list[Pair]:
    """Return pairs of neighbouring Q: and A: paragraphs."""
    lines = [part.text for part in docx.Document(str(path)).paragraphs]
    text = "\n".join(lines)
    return re.findall(r"^Q: (.+)\nA: (.+)$", text, re.MULTILINE)


def jsonl_pairs(path: Path) -> list[Pair]:
    """Return pairs of neighbouring member and agent messages."""
    found: list[Pair] = []
    for row in jsonl(path):
        turns = row["messages"]
        for first, second in itertools.pairwise(turns):
            if (first["role"], second["role"]) == ("member", "agent"):
                found.append((first["text"], second["text"]))
    return found


READERS = {
    ".xlsx": xlsx_pairs,
    ".csv": csv_pairs,
    ".txt": turn_pairs,
    ".md": md_pairs,
    ".jsonl": jsonl_pairs,
    ".docx": docx_pairs,
}


def check_files(expected: dict[str, Any]) -> dict[str, list[Pair]]:
    """Check each file against expected.json; return the pairs of each."""
    found: dict[str, list[Pair]] = {}
    real = {str(p.relative_to(FILES)) for p in FILES.rglob("*") if p.is_file()}
    need(real - {"feilun.permissions.yaml"} == set(expected), "files differ")
    for name, facts in expected.items():
        path = FILES / name
        reader = None if "skip" in facts else READERS.get(path.suffix)
        found[name] = reader(path) if reader else []
        total = facts["pairs"] + facts.get("small_talk", 0)
        if path.suffix != ".csv":
            total += facts.get("personal", 0)
        need(len(found[name]) == total, f"{name}: {len(found[name])} pairs")
        if "duplicate_of" in facts:
            twin = FILES / facts["duplicate_of"]
            need(path.read_bytes() == twin.read_bytes(), f"{name}: no duplicate")
        if "near_duplicate_of" in facts and path.suffix == ".md":
            twin_text = (FILES / facts["near_duplicate_of"]).read_text("utf-8")
            text = path.read_text("utf-8")
            ratio = difflib.SequenceMatcher(None, text, twin_text).ratio()
            need(0.9 < ratio < 1, f"{name}: likeness {ratio:.3f}")
    size = sum(p.stat().st_size for p in TARGET.rglob("*") if p.is_file())
    need(size < 2_000_000, "sample too large")
    need(len(expected) >= 30, "fewer than 30 files")
    chinese = [n for n in expected if re.search(r"[\u4e00-\u9fff]|_zh|zh/", n)]
    need(len(chinese) >= 6, "fewer than 6 Chinese files")
    print(f"files {len(expected)}, Chinese {len(chinese)}, bytes {size}")
    return found


def check_dirt() -> None:
    """Check the planted faults and the Chinese encodings."""
    for name, word in (
        ("zh/欢迎手册.pdf", "沈若岚"),
        ("policy/data_protection.pdf", "Teodor Brisk"),
        ("about/annual_report_2024.pdf", "Gorsefield"),
    ):
        pages = PdfReader(FILES / name).pages
        need(len(pages) >= 2, f"{name}: one page only")
        text = "".join(page.extract_text() for page in pages)
        need(word in "".join(text.split("\n")), f"{name}: {word} not readable")
    for name in ("service_desk/中文坐席记录.txt", "zh/通知2022.txt"):
        data = (FILES / name).read_bytes()
        need("信用社" in data.decode("gb18030"), f"{name}: not GB18030")
        need(b"\xe4\xbf\xa1" not in data, f"{name}: looks like UTF-8")
    need((FILES / "archive/notes.txt").stat().st_size == 0, "notes not empty")
    need((FILES / "archive/signed_form.pdf").read_bytes()[:4] == b"\x89PNG", "no PNG")
    try:
        zipfile.ZipFile(FILES / "archive/scan_0012.docx")
    except zipfile.BadZipFile:
        pass
    else:
        raise AssertionError("scan_0012.docx is not broken")
    text = (FILES / "feilun.permissions.yaml").read_text("utf-8")
    rule = yaml.safe_load(text)["policy/board_minutes_confidential.*"]
    need(rule["train"] is False, "minutes may train")


def split(expected: dict[str, Any], found: dict[str, list[Pair]]) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs for training and the pairs that must be left out."""
    train: list[Pair] = []
    left: list[Pair] = []
    for name, pairs in found.items():
        facts = expected[name]
        out = facts.get("superseded") or facts.get("train") is False
        if "duplicate_of" not in facts:
            (left if out else train).extend(pairs)
    return train, left


def check_facts(train: list[Pair], exam: list[dict[str, Any]]) -> None:
    """Check number of facts, wordings and answers, and unique keys."""
    keys = {row["fact"]: row["accept"] for row in exam}
    wordings: dict[str, set[str]] = defaultdict(set)
    answers: dict[str, set[str]] = defaultdict(set)
    other = 0
    for question, answer in train:
        flat = answer.lower()
        owners = [f for f, ks in keys.items() if any(k.lower() in flat for k in ks)]
        need(len(owners) <= 1, f"{answer!r} holds keys of {owners}")
        if not owners:
            other += 1
            continue
        need(any(holds(k, answer) for k in keys[owners[0]]), f"{answer!r}: no key")
        wordings[owners[0]].add(normal(question))
        answers[owners[0]].add(answer)
    questions = " ".join(question.lower() for question, _ in train)
    for fact, accepted in keys.items():
        need(len(wordings[fact]) >= 6, f"{fact}: {len(wordings[fact])} wordings")
        need(len(answers[fact]) == 1, f"{fact}: answers differ")
        shown = [k for k in accepted if holds(k, questions)]
        need(not shown, f"{fact}: key {shown} stands in a question")
        count = len(next(iter(answers[fact])).split())
        need(fact.startswith("zh-") or 4 <= count <= 16, f"{fact}: {count} words")
    chinese = sum(fact.startswith("zh-") for fact in keys)
    pairs = sum(len(found) for found in wordings.values())
    need(len(keys) >= 70 and len(keys) - chinese >= 62, "too few facts")
    need(8 <= chinese <= 10, "number of Chinese facts")
    need(pairs >= 420, f"only {pairs} pairs")
    owner: dict[str, str] = {}
    for fact, texts in wordings.items():
        for text in texts:
            need(owner.setdefault(text, fact) == fact, f"{text!r} asked twice")
    print(f"facts {len(keys)} (Chinese {chinese}), unique pairs {pairs}, other {other}")


def check_exam(train: list[Pair], exam: list[dict[str, Any]]) -> None:
    """Check that exam wordings are new and clearly different."""
    need(len(exam) >= 140, "exam too short")
    per_fact = Counter(row["fact"] for row in exam)
    need(min(per_fact.values()) >= 2, "a fact with fewer than 2 exam questions")
    seen = sorted({normal(question) for question, _ in train})
    known = set(seen)
    asked = [normal(row["question"]) for row in exam]
    need(len(set(asked)) == len(asked), "an exam question occurs twice")
    closest = (0.0, "", "")
    for row, text in zip(exam, asked, strict=True):
        need(text not in known, f"{row['id']} is a training wording")
        words = list(text) if row["lang"] == "zh" else text.split()
        for other in seen:
            theirs = list(other) if row["lang"] == "zh" else other.split()
            gap = Counter(words) - Counter(theirs)
            back = Counter(theirs) - Counter(words)
            if gap.total() + back.total() < 2:
                raise AssertionError(f"{row['id']}: {text!r} is like {other!r}")
            size = 2 * (len(words) - gap.total()) / (len(words) + len(theirs))
            closest = max(closest, (size, text, other))
        need(not any(holds(k, text) for k in row["accept"]), f"{row['id']} tells")
        for bad in row["reject"]:
            need(not any(holds(bad, k) for k in row["accept"]), f"{row['id']} reject")
    print(f"own exam {len(exam)}, closest {closest[0]:.2f}: {closest[1:]}")


def check_forbidden(train: list[Pair], left: list[Pair]) -> None:
    """Check that secret and old answers stand only where they should."""
    rows = jsonl(TARGET / "exams" / "forbidden.jsonl")
    taught = " ".join(f"{q} {a}" for q, a in train).lower()
    kept = " ".join(answer for _, answer in left).lower()
    for row in rows:
        for secret in row["accept"]:
            need(secret not in taught, f"{secret} is in the training pairs")
        need(any(secret in kept for secret in row["accept"]), f"{row['id']} lost")
    print(f"forbidden exam {len(rows)}, pairs left out {len(left)}")


def grams(text: str) -> set[tuple[str, ...]]:
    """Return the word 3-grams of a text (the whole text when shorter)."""
    words = normal(text).split()
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def check_replay() -> None:
    """Check the general exam and the replay prompts for overlap."""
    general = jsonl(GENERAL)
    replay = [r["prompt"] for r in jsonl(PACKAGE / "training" / "replay" / "everyday.jsonl")]
    need(len(general) >= 200 and len(replay) >= 300, "too few general rows")
    questions = [row["question"] for row in general]
    for rows in (questions, replay):
        twice = [t for t, n in Counter(map(normal, rows)).items() if n > 1]
        need(not twice, f"twice: {twice}")
    for row in general:
        need(bool(row["accept"]) and all(row["accept"]), f"{row['id']}: no accept")
        told = [k for k in row["accept"] if holds(k, row["question"])]
        need(not told, f"{row['id']}: {told} stands in the question")
    exact = {normal(q) for q in questions}
    known = [(q, grams(q)) for q in questions]
    worst = (0.0, "", "")
    for prompt in replay:
        need(normal(prompt) not in exact, f"{prompt!r} is a general question")
        mine = grams(prompt)
        for question, theirs in known:
            like = len(mine & theirs) / len(mine | theirs)
            worst = max(worst, (like, prompt, question))
            need(like < 0.5, f"{like:.2f} {prompt!r} {question!r}")
    print(f"general {len(general)}, replay {len(replay)}, closest {worst}")


def main() -> None:
    """Run every check and print the counts."""
    expected = json.loads((TARGET / "expected.json").read_text(encoding="utf-8"))
    exam = jsonl(TARGET / "exams" / "exam_own.jsonl")
    for file in (TARGET / "exams" / "exam_own.jsonl", GENERAL, TARGET / "exams" / "forbidden.jsonl"):
        load_exam(file, "sample", file.stem)
    found = check_files(expected)
    check_dirt()
    train, left = split(expected, found)
    check_facts(train, exam)
    check_exam(train, exam)
    check_forbidden(train, left)
    check_replay()
    print("sample is complete")


if __name__ == "__main__":
    main()
