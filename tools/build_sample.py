"""Build the sample organisation from the data in tools/sample_source.

Usage: python tools/build_sample.py
Needs python-docx, openpyxl, reportlab and PyYAML.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from sample_formats import png_bytes, write_docx, write_html, write_pdf, write_xlsx

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "sample_source"
PACKAGE = HERE.parent / "src" / "feilun"
TARGET = PACKAGE / "apps" / "credit_union"
GENERAL = PACKAGE / "evaluation" / "general.jsonl"
GROUPS = ("products", "people", "service", "zh")

Fact = dict[str, Any]
Entry = dict[str, Any]


def load(name: str) -> Any:
    """Return the content of one YAML file of the source folder."""
    return yaml.safe_load((SOURCE / name).read_text(encoding="utf-8"))


def write_text(path: Path, text: str, encoding: str = "utf-8") -> None:
    """Write text with Unix line ends in the given encoding."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def json_lines(rows: list[dict[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def csv_text(rows: list[list[Any]]) -> str:
    """Return rows as CSV text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


class Sample:
    """Writes the sample files and keeps what a reader should find in each."""

    def __init__(self, target: Path) -> None:
        """Load the source data."""
        self.files = target / "files"
        self.text: dict[str, Any] = load("text.yaml")
        self.groups: dict[str, list[Fact]] = {name: load(f"facts_{name}.yaml") for name in GROUPS}
        self.answers = {fact["id"]: str(fact["a"]) for rows in self.groups.values() for fact in rows}
        self.expected: dict[str, Entry] = {}

    def facts(self, entry: Entry) -> list[Fact]:
        """Return the facts an entry uses, in order."""
        rows = [fact for name in entry["facts"] for fact in self.groups[name]]
        start, step = entry.get("part", [0, 1])
        return rows[start::step]

    def filled(self, source: str) -> str:
        """Return a source document with answers and boilerplate put in."""
        raw = (SOURCE / "docs" / source).read_text(encoding="utf-8")

        def value(match: re.Match[str]) -> str:
            """Return the text behind one placeholder."""
            name = match.group(1)
            return self.answers[name] if name in self.answers else self.text[name]

        return re.sub(r"\{\{([a-z_-]+)\}\}", value, raw)

    def faq_rows(self, entry: Entry) -> list[list[str]]:
        """Return question, answer and topic rows."""
        return [
            [fact["q"][index], fact["a"], fact["topic"]] for index in entry["wordings"] for fact in self.facts(entry)
        ]

    def faq_xlsx(self, path: Path, entry: Entry) -> Entry:
        """Write the spreadsheet of frequent questions, with some dirt."""
        rows = self.faq_rows(entry)
        dirty: list[list[Any]] = [["question", "answer", "topic"]]
        for number, (question, answer, topic) in enumerate(rows):
            pad = "  " if number % 17 == 3 else ""
            dirty.append([question + pad, pad + answer, topic])
            if number % 90 == 40:
                dirty.append([None, None, None])
        dirty.extend(rows[5:8])
        notes = [["sheet", "owner"], ["faq", "service desk"]]
        write_xlsx(path, {"faq": dirty, "notes": notes})
        return {"pairs": len(rows) + 3, "unique_pairs": len(rows)}

    def faq_csv(self, path: Path, entry: Entry) -> Entry:
        """Write the Chinese questions as CSV with a byte order mark."""
        rows = self.faq_rows(entry)
        text = csv_text([["问题", "答案", "主题"], *rows])
        write_text(path, text, "utf-8-sig")
        return {"pairs": len(rows)}

    def transcript(self, path: Path, entry: Entry) -> Entry:
        """Write calls of three questions each with small talk around them."""
        zh = entry["facts"] == ["zh"]
        tail = "_zh" if zh else ""
        asker, teller = ("客户：", "坐席：") if zh else ("Member: ", "Agent: ")
        chat = self.text["small_talk" + tail]
        private = self.text["personal" + tail]
        rows = self.facts(entry)
        month = entry["month"]
        lines = [self.text["transcript_header" + tail].format(month=month).strip(), ""]
        calls = [rows[i : i + 3] for i in range(0, len(rows), 3)]
        talk = personal = 0
        for number, call in enumerate(calls):
            day = f"2025-{['January', 'February', 'March'].index(month) + 1:02d}"
            agent = self.text["agents"][number % 4]
            lines.append(f"=== {day}-{number * 3 + 2:02d} / {agent} ===")
            greeting = self.text["greetings"][number % 3]
            lines.append(teller + (self.text["greeting_zh"] if zh else greeting))
            turns: list[list[str]] = []
            if number % 2 == 0:
                turns.append(private[(number // 2) % len(private)])
                personal += 1
            turns.extend([fact["q"][entry["wording"]], fact["a"]] for fact in call)
            turns.append(chat[number % len(chat)])
            talk += 1
            for said, reply in turns:
                lines.extend([asker + said, teller + reply])
            lines.append("")
        write_text(path, "\n".join(lines), entry.get("encoding", "utf-8"))
        return {"pairs": len(rows), "small_talk": talk, "personal": personal}

    def chat_jsonl(self, path: Path, entry: Entry) -> Entry:
        """Write the chat export: one conversation of two questions per line."""
        rows = self.facts(entry)
        lines: list[dict[str, Any]] = []
        personal = 0
        for number, start in enumerate(range(0, len(rows), 2)):
            pair = rows[start : start + 2]
            turns = [[fact["q"][entry["wording"]], fact["a"]] for fact in pair]
            if number % 8 == 0:
                tail = "_zh" if pair[0]["id"].startswith("zh-") else ""
                turns.insert(0, self.text["personal" + tail][number // 8 % 2])
                personal += 1
            messages = [
                {"role": role, "text": text}
                for turn in turns
                for role, text in zip(("member", "agent"), turn, strict=True)
            ]
            lines.append(
                {
                    "conversation_id": f"c-{number + 1:04d}",
                    "channel": "app chat",
                    "started": f"2025-03-{number % 28 + 1:02d}T10:15:00Z",
                    "messages": messages,
                }
            )
        write_text(path, json_lines(lines))
        return {"pairs": len(rows), "personal": personal}

    def tickets_csv(self, path: Path, entry: Entry) -> Entry:
        """Write the ticket export; some messages end in a private signature."""
        head = ["ticket_id", "date", "member_name", "email", "phone", "message", "reply", "status"]
        out: list[list[Any]] = [head]
        rows = self.facts(entry)
        personal = 0
        for number, fact in enumerate(rows):
            members = self.text["ticket_members"]
            name, email, phone = members[number % len(members)]
            message = fact["q"][entry["wording"]]
            if number % 7 == 2:
                sign = self.text["ticket_signature"]
                message += sign.format(name=name, phone=phone)
                personal += 1
            date = f"2025-02-{number % 28 + 1:02d}"
            ticket = f"T-{3100 + number * 7}"
            out.append([ticket, date, name, email, phone, message, fact["a"], "closed"])
        opened = ["T-3999", "2025-02-28", *self.text["ticket_members"][1]]
        out.append([*opened, "Is anybody reading this?", "", "open"])
        write_text(path, csv_text(out))
        return {"pairs": len(rows), "personal": personal}

    def qa_md(self, path: Path, entry: Entry) -> Entry:
        """Write Markdown pairs after an introduction."""
        forms = {
            "bold": "**Q: {q}**\n\n{a}\n",
            "plain": "Q: {q}\nA: {a}\n",
            "zh": "问：{q}\n答：{a}\n",
        }
        form = forms[entry["style"]]
        rows = self.facts(entry)
        parts = [form.format(q=f["q"][entry["wording"]], a=f["a"]) for f in rows]
        footer = self.text["footer_zh" if entry["style"] == "zh" else "footer"]
        body = self.filled(entry["source"]) + "\n".join([*parts, "---\n", footer, ""])
        write_text(path, body)
        return {"pairs": len(rows)}

    def doc(self, path: Path, entry: Entry) -> Entry:
        """Write one prose document in the format its name asks for."""
        text = self.filled(entry["source"])
        writers: dict[str, Callable[[Path, str], None]] = {
            ".docx": write_docx,
            ".pdf": write_pdf,
            ".html": write_html,
        }
        writer = writers.get(path.suffix)
        if writer is not None:
            writer(path, text)
        else:
            write_text(path, text, entry.get("encoding", "utf-8"))
        return {}

    def table(self, path: Path, entry: Entry) -> Entry:
        """Write a plain table without pairs."""
        rows = [[None if c is None else str(c) for c in r] for r in self.text[entry["table"]]]
        if path.suffix == ".xlsx":
            write_xlsx(path, {"branches": rows})
        else:
            write_text(path, csv_text(rows))
        return {}

    def old_faq(self, path: Path, entry: Entry) -> Entry:
        """Write the pairs of 2023, each marked as superseded."""
        head = ["status", "question", "answer"]
        write_text(path, csv_text([head, *self.text[entry["table"]]]))
        return {}

    def copy(self, path: Path, entry: Entry) -> Entry:
        """Write an exact duplicate."""
        shutil.copyfile(self.files / entry["of"], path)
        return {**self.expected[entry["of"]], "duplicate_of": entry["of"]}

    def near_copy(self, path: Path, entry: Entry) -> Entry:
        """Write a copy with a few changed words."""
        text = (self.files / entry["of"]).read_text(encoding="utf-8")
        for old, new in entry["replace"]:
            if old not in text:
                raise ValueError(f"{path.name}: {old!r} not found")
            text = text.replace(old, new)
        write_text(path, text)
        return {"near_duplicate_of": entry["of"]}

    def truncated(self, path: Path, entry: Entry) -> Entry:
        """Write only the first bytes of another file."""
        path.write_bytes((self.files / entry["of"]).read_bytes()[: entry["keep"]])
        return {"skip": entry["skip"]}

    def empty(self, path: Path, entry: Entry) -> Entry:
        """Write an empty file."""
        path.write_bytes(b"")
        return {"skip": entry["skip"]}

    def png(self, path: Path, entry: Entry) -> Entry:
        """Write a picture under a wrong name."""
        path.write_bytes(png_bytes())
        return {"skip": entry["skip"]}

    def build(self) -> None:
        """Write every file of the layout and the permissions file."""
        shutil.rmtree(self.files, ignore_errors=True)
        kept = ("pairs", "superseded", "train", "near_duplicate_of", "note")
        for entry in load("layout.yaml"):
            path = self.files / entry["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            facts = getattr(self, entry["make"])(path, entry)
            marks = {key: entry[key] for key in kept if key in entry}
            self.expected[entry["path"]] = {"pairs": 0, **facts, **marks}
        permissions = self.text["permissions"]
        write_text(self.files / "feilun.permissions.yaml", permissions)


def own_exam(sample: Sample) -> list[dict[str, Any]]:
    """Return the exam about the organisation's facts."""
    old = load("exam_reject.yaml")
    rows: list[dict[str, Any]] = []
    for group in GROUPS:
        for fact in sample.groups[group]:
            for question in fact["x"]:
                rows.append(
                    {
                        "id": f"own-{len(rows) + 1:03d}",
                        "fact": fact["id"],
                        "lang": "zh" if group == "zh" else "en",
                        "question": question,
                        "accept": fact["keys"],
                        "reject": old.get(fact["id"], []),
                    }
                )
    return rows


def forbidden_exam(sample: Sample) -> list[dict[str, Any]]:
    """Return questions that only a model which learned a secret gets right."""
    return [
        {"id": f"no-{number:03d}", "fact": fact, "lang": "en", "question": question, "accept": secrets, "reject": []}
        for number, (fact, question, secrets) in enumerate(sample.text["forbidden"], 1)
    ]


def general_exam() -> list[dict[str, Any]]:
    """Return the everyday questions; a line is: question | accept; accept."""
    rows: list[dict[str, Any]] = []
    topic = ""
    for line in (SOURCE / "general.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            topic = line[2:].strip()
        elif line.strip():
            question, accept = line.split("|")
            rows.append(
                {
                    "id": f"gen-{len(rows) + 1:03d}",
                    "topic": topic,
                    "lang": "en",
                    "question": question.strip(),
                    "accept": [part.strip().lower() for part in accept.split(";")],
                    "reject": [],
                }
            )
    return rows


def replay_prompts() -> list[dict[str, Any]]:
    """Return the replay prompts: first the short answers, then the longer ones."""
    rows: list[dict[str, Any]] = []
    for kind in ("short", "long"):
        text = (SOURCE / f"replay_{kind}.txt").read_text(encoding="utf-8")
        lines = [line.strip() for line in text.splitlines()]
        rows.extend({"prompt": t} for t in lines if t and t[0] != "#")
    return rows


def main() -> None:
    """Write the whole sample."""
    sample = Sample(TARGET)
    sample.build()
    exams = TARGET / "exams"
    write_text(exams / "exam_own.jsonl", json_lines(own_exam(sample)))
    write_text(exams / "forbidden.jsonl", json_lines(forbidden_exam(sample)))
    write_text(GENERAL, json_lines(general_exam()))
    write_text(PACKAGE / "training" / "replay" / "everyday.jsonl", json_lines(replay_prompts()))
    text = json.dumps(sample.expected, ensure_ascii=False, indent=2) + "\n"
    write_text(TARGET / "expected.json", text)
    print(f"wrote {len(sample.expected)} files to {TARGET}")


if __name__ == "__main__":
    main()
