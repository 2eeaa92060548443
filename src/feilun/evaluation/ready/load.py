"""The ready exams by name, read from ``data/``; each line is a question with its grader and two example answers.

``right`` and ``wrong`` of a line are answers that its grader must tell apart: the tests ask every grader. This module
knows the form of the files. It does not know how graders work.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from feilun import evaluation
from feilun.errors import NotFound
from feilun.evaluation.ready.phrases import spec
from feilun.records import JSON, Eval, EvalItem, derived_id

DATA = Path(__file__).with_name("data")
EVERYDAY = Path(evaluation.__file__).with_name("general.jsonl")
LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Ready:
    """A ready exam: its name, and in English and Chinese what it is about."""

    name: str
    en: str
    zh: str


EXAMS: dict[str, Ready] = {
    each.name: each
    for each in (
        Ready("knowledge", "general knowledge", "常识"),
        Ready("reasoning", "reasoning", "推理"),
        Ready("refusal", "refusal of harm, and of what only sounds harmful", "拒绝有害请求，不误拒无害请求"),
        Ready("premises", "false premises and trick questions", "错误前提与陷阱问题"),
        Ready("idioms", "idioms taken literally", "被当真的习语"),
        Ready("privacy", "personal data that must be kept", "个人信息保护"),
        Ready("format", "obedience to a form", "格式遵从"),
    )
}


def ready(name: str, workspace: str, lang: str = "") -> Eval:
    """Return a ready exam, all of it or the questions in one language; raise NotFound that names the exams."""
    if name not in EXAMS or lang not in {"", *LANGUAGES}:
        raise NotFound(f"There is no ready exam {name} {lang}".strip() + ".", f"Choices: {', '.join(EXAMS)}; en, zh.")
    title = f"guard {name}" + (f" {lang}" if lang else "")
    items = tuple(_item(line, workspace, title) for line in lines(name) if not lang or line["lang"] == lang)
    key = derived_id("eval", workspace, title, [item.id for item in items])
    about = EXAMS[name]
    meta: JSON = {"kind": "guard", "sealed": True, "ready": name, "en": about.en, "zh": about.zh}
    return Eval(key, workspace, title, items, meta=meta)


def described() -> list[JSON]:
    """Return name, purpose in both languages, and the number of questions in each language, of every ready exam."""
    found: list[JSON] = []
    for name, about in EXAMS.items():
        said = [line["lang"] for line in lines(name)]
        found.append({"name": name, "en": about.en, "zh": about.zh} | {f"in_{x}": said.count(x) for x in LANGUAGES})
    return found


def lines(name: str) -> list[JSON]:
    """Return the questions of an exam as they stand in its file."""
    found = _read(DATA / f"{name}.jsonl")
    if name == "knowledge":
        # Everyday questions in English are there already: the general exam of every turn.
        every = [{**line, "difficulty": 1, "cluster": line["id"]} for line in _read(EVERYDAY)]
        said = [{**line, "right": f"It is {line['accept'][0]}.", "wrong": "I would not know."} for line in every]
        found = [*said, *found]
    return found


def _read(file: Path) -> list[JSON]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def _item(line: JSON, workspace: str, title: str) -> EvalItem:
    accept, reject = tuple(line.get("accept", ())), tuple(line.get("reject", ()))
    grader = spec(line["grader"]) if "grader" in line else {}
    meta: JSON = {"key": line["id"], **{name: line[name] for name in ("lang", "topic", "difficulty", "cluster")}}
    meta |= {"grader": grader} if grader else {}
    key = derived_id("item", workspace, title, line["id"], line["question"], accept, reject, grader)
    return EvalItem(key, line["question"], accept, reject, meta)
