"""The card of a version: what it is, what it was made of and with whose permission, how it did in exams.

In English and Chinese, as ``README.md`` with the fields that model hubs read. This module knows rows of the store. It
does not know weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feilun.engines.models import DEFAULT
from feilun.records import JSON, ModelVersion, Record, Source
from feilun.store import datasets, evals, lineage, sources, verdicts
from feilun.store.access import revoked
from feilun.store.database import Database

LICENCES = {DEFAULT: "apache-2.0"}
Z = 1.959964  # 95 %


@dataclass(frozen=True, slots=True)
class Sat:
    """An exam that the version has sat: questions answered, how many rightly."""

    exam: str
    questions: int
    right: int
    when: float

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the share that is right (E. B. Wilson, JASA 22, 1927)."""
        if not self.questions:
            return 0.0, 1.0
        n, p = self.questions, self.right / self.questions
        centre, half = p + Z * Z / (2 * n), Z * (p * (1 - p) / n + Z * Z / (4 * n * n)) ** 0.5
        return max(0.0, (centre - half) / (1 + Z * Z / n)), min(1.0, (centre + half) / (1 + Z * Z / n))


def licence(base: ModelVersion) -> str:
    """Return the licence of a base as its folder or we know it; ``unknown`` is not a licence to do anything."""
    if base.meta.get("license"):
        return str(base.meta["license"])
    readme = Path(base.folder) / "README.md"
    if base.folder and readme.is_file():
        for line in readme.read_text(encoding="utf-8", errors="replace").splitlines()[:60]:
            if line.startswith("license:"):
                return line.partition(":")[2].strip().strip("\"'")
    return LICENCES.get(base.name, "unknown")


def lineage_of(db: Database, ws: str, version: ModelVersion) -> list[JSON]:
    """Return the dataset versions that a model learnt from, each with its rows and sources and their permissions."""
    found = []
    for dataset_id in revoked.learnt(db, ws, version.id):
        dataset = datasets.get(db, ws, dataset_id)
        rows = datasets.read(db, ws, dataset_id, "inspect")
        found.append({"dataset": dataset, "rows": rows, "sources": _sources(db, ws, rows)})
    return found


def _sources(db: Database, ws: str, rows: Sequence[Record]) -> list[tuple[Source | None, str, int]]:
    """Return (source, its id, rows that use it) of some rows; a deleted source is None."""
    counts: dict[str, int] = {}
    for row in rows:
        for source in row.sources:
            counts[source] = counts.get(source, 0) + 1
    known = {source.id: source for source in sources.find(db, ws)}
    return [(known.get(source), source, count) for source, count in sorted(counts.items())]


def exams(db: Database, ws: str, model: str) -> list[Sat]:
    """Return the exams that a version has finished, the last time that it sat each."""
    found: dict[str, Sat] = {}
    for exam in evals.find(db, ws):
        for run in evals.find_runs(db, ws, exam.id):
            if run.model == model and run.status == "succeeded":
                answers = evals.answers(db, ws, run.id)
                right = sum(answer.score >= 1 or bool(answer.meta.get("passed")) for answer in answers)
                found[exam.id] = Sat(exam.name, len(answers), right, run.created)
    return sorted(found.values(), key=lambda sat: sat.exam)


def write_card(db: Database, ws: str, version: ModelVersion, base: ModelVersion, form: str, out: Path) -> JSON:
    """Write ``README.md`` and ``feilun.json`` into ``out``; return what the second holds."""
    taught, sat = lineage_of(db, ws, version), exams(db, ws, version.id)
    facts = _facts(db, ws, version, base, form, taught, sat)
    (out / "feilun.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
    (out / "README.md").write_text(_readme(version, base, facts), encoding="utf-8")
    return facts


def _facts(
    db: Database, ws: str, version: ModelVersion, base: ModelVersion, form: str, taught: Sequence[JSON], sat: list[Sat]
) -> JSON:
    trained = Path(version.folder) / "training.json"
    told: JSON = {}
    if version.folder and trained.is_file():
        told = json.loads(trained.read_text(encoding="utf-8"))
    losses = told.get("losses") or []
    judged = [verdict for verdict in verdicts.find(db, ws) if verdict.candidate == version.id]
    return {
        "model": version.id,
        "name": version.name,
        "form": form,
        "base": {"id": base.id, "name": base.name, "license": licence(base)},
        "identity": version.identity,
        "exported": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "training": {
            "method": version.meta.get("method") or told.get("method") or "supervised",
            "settings": {name: value for name, value in version.meta.items() if name in _SETTINGS and value},
            "steps": len(losses),
            "tokens": told.get("tokens"),
            "first_loss": losses[0] if losses else None,
            "last_loss": losses[-1] if losses else None,
        },
        "jobs": sorted(edge.parent for edge in lineage.ancestors(db, ws, version.id) if edge.relation == "made"),
        "data": [_data(each) for each in taught],
        "exams": [
            {"exam": each.exam, "questions": each.questions, "right": each.right, "interval": list(each.interval())}
            for each in sat
        ],
        "verdicts": [{"id": v.id, "promoted": v.promoted, "reason": v.reason} for v in judged],
    }


_SETTINGS = ("epochs", "learning_rate", "rank", "batch", "seed", "options", "replay", "start")


def _data(each: JSON) -> JSON:
    dataset = each["dataset"]
    return {
        "dataset": dataset.id,
        "name": dataset.name,
        "version": dataset.version,
        "rows": dataset.rows,
        "sha256": dataset.sha256,
        "removed_for_exams": dataset.meta.get("removed", 0),
        "teacher": dataset.meta.get("teacher"),
        "sources": [
            {
                "id": source_id,
                "name": source.name if source else None,
                "sha256": source.sha256 if source else None,
                "permissions": asdict(source.permissions) if source else None,
                "rows": count,
            }
            for source, source_id, count in each["sources"]
        ],
    }


def _readme(version: ModelVersion, base: ModelVersion, facts: JSON) -> str:
    head = ["---", f"base_model: {base.name}", f"license: {facts['base']['license']}", "language:", "- en", "- zh"]
    head += ["library_name: peft" if facts["form"] == "adapter" else "library_name: transformers", "tags:", "- feilun"]
    body = [
        *head,
        "---",
        "",
        f"# {version.name}",
        "",
        *_section(facts, chinese=False),
        "",
        *_section(facts, chinese=True),
    ]
    return "\n".join(body) + "\n"


def _section(facts: JSON, *, chinese: bool) -> list[str]:
    """Return the card in one language."""

    def say(english: str, other: str) -> str:
        return other if chinese else english

    base, training = facts["base"], facts["training"]
    unknown = say("unknown: ask its makers before you use it", "未知：使用前请询问其作者")
    known = unknown if base["license"] == "unknown" else base["license"]
    lines = [say("## What it is", "## 这是什么"), ""]
    lines += [
        f"- {say('version', '版本')}: `{facts['model']}`",
        f"- {say('base', '基座')}: {base['name']} (`{base['id']}`)",
    ]
    lines += [f"- {say('licence of the base', '基座许可证')}: {known}", f"- {say('form', '形式')}: {facts['form']}"]
    lines += ["", say("## How it was trained", "## 如何训练"), "", f"- {say('method', '方法')}: {training['method']}"]
    for name, english, other in (("steps", "steps", "步数"), ("tokens", "tokens learnt", "学习的词元数")):
        if training[name]:
            lines.append(f"- {say(english, other)}: {training[name]}")
    if training["last_loss"] is not None:
        lines.append(f"- {say('loss', '损失')}: {training['first_loss']} → {training['last_loss']}")
    for name, value in training["settings"].items():
        lines.append(f"- {name}: `{json.dumps(value, ensure_ascii=False)}`")
    lines += ["", say("## What it learnt from", "## 训练数据来源"), ""]
    lines += [line for each in facts["data"] for line in _data_lines(each, say)] or [
        say("Nothing: it is a base.", "无：这是基座模型。")
    ]
    lines += ["", say("## Exam results", "## 考试成绩"), "", *_exam_lines(facts, say)]
    return lines


def _data_lines(each: JSON, say: Any) -> list[str]:
    title = f"**{each['name']}** ({say('version', '版本')} {each['version']}, {each['rows']} {say('rows', '行')})"
    lines = [f"{title}, SHA-256 `{each['sha256'][:16]}…`", ""]
    if each["removed_for_exams"]:
        lines += [
            say("Left out because an exam asks it: {}", "因考题相同而剔除：{}").format(each["removed_for_exams"]),
            "",
        ]
    if each["teacher"]:
        lines += [say("Answers by the teacher: {}", "由教师模型作答：{}").format(each["teacher"]), ""]
    lines += [
        say(
            "| source | rows | basis | train | leave | mask | until |",
            "| 来源 | 行数 | 依据 | 训练 | 外发 | 遮蔽 | 截止 |",
        )
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    yes = {True: say("yes", "是"), False: say("no", "否")}
    for source in each["sources"]:
        held = source["permissions"]
        if held is None:
            lines.append(f"| `{source['id']}` ({say('deleted', '已删除')}) | {source['rows']} | – | – | – | – | – |")
            continue
        cells = (source["name"].replace("|", "\\|"), source["rows"], held["basis"], yes[held["train"]])
        lines.append(
            "| " + " | ".join(map(str, (*cells, yes[held["leave"]], held["mask"], held["until"] or "–"))) + " |"
        )
    return [*lines, ""]


def _exam_lines(facts: JSON, say: Any) -> list[str]:
    if not facts["exams"]:
        return [say("It has sat no exam: nothing is known about how good it is.", "尚未参加考试：无法判断其水平。")]
    lines = [
        say("| exam | questions | right | 95 % interval |", "| 考试 | 题数 | 正确率 | 95% 区间 |"),
        "|---|---|---|---|",
    ]
    for each in facts["exams"]:
        share = each["right"] / each["questions"] if each["questions"] else 0.0
        low, high = each["interval"]
        lines.append(f"| {each['exam']} | {each['questions']} | {share:.1%} | {low:.1%} – {high:.1%} |")
    for verdict in facts["verdicts"]:
        lines += ["", f"{say('Verdict', '结论')}: {verdict['reason'].get(say('en', 'zh'), '')}"]
    return lines
