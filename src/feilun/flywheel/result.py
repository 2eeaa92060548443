"""What a turn leaves behind: the report for people and ``last-turn.json`` for programs.

It knows where each figure is kept. It does not know how any of them came about.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feilun import evaluation
from feilun.evaluation import flips
from feilun.evaluation.report import DataHealth, Dropped, Identity, ReportData, Skipped, examples, render, topics
from feilun.records import JSON, Comparison, Job, Verdict
from feilun.settings import Settings
from feilun.store import datasets, evals, models, verdicts
from feilun.store.database import Database

GENERAL = Path(evaluation.__file__).with_name("general.jsonl")
STEPS = ("ingest", "curate", "base", "incumbent", "train", "identity", "candidate", "verdict")


def leave_result(
    db: Database,
    settings: Settings,
    job: Job,
    result: JSON,
    recorded: Sequence[tuple[str, float, JSON]],
    peak_mib: float,
) -> JSON:
    """Write ``reports/<turn>.html`` (and ``.zh.html``) and ``last-turn.json``; return what the latter holds."""
    steps = _steps(recorded)
    verdict = verdicts.get(db, job.workspace, result["verdict"])
    data = _report_data(db, settings, job, result, verdict, steps, peak_mib)
    reports = settings.root / "reports"
    files = {language: reports / f"{job.id}{suffix}.html" for language, suffix in (("en", ""), ("zh", ".zh"))}
    for language, file in files.items():
        _write(file, render(data, "zh" if language == "zh" else "en"))
    found: JSON = {
        "turn": job.id,
        "workspace": job.workspace,
        "own_exam": _exam(verdict.own),
        "general_exam": _exam(verdict.general),
        "promoted": verdict.promoted,
        "reason": verdict.reason["en"],
        "reason_zh": verdict.reason["zh"],
        "rollout": result["rollout"],
        "how": result["how"],
        "seconds": round(sum(seconds for _, seconds in steps), 1),
        "steps": [{"name": name, "seconds": round(seconds, 1)} for name, seconds in steps],
        "peak_rss_mib": peak_mib,
        "report": str(files["en"]),
        "report_zh": str(files["zh"]),
        "model": result["model"],
        "incumbent": result["incumbent"],
        "dataset": result["dataset"],
        "passages": result["passages"],
        "verdict": verdict.id,
        "identity": result["identity"],
        "lessons": result["lessons"],
        "drill": job.spec["drill"],
    }
    _write(settings.root / "last-turn.json", json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return found


def _steps(recorded: Sequence[tuple[str, float, JSON]]) -> list[tuple[str, float]]:
    """Return (name, seconds) of the turn's steps; the training job's own steps count as one."""
    seconds = dict.fromkeys(STEPS, 0.0)
    for name, spent, _ in recorded:
        key = name if name in seconds else "train"
        seconds[key] += spent
    return [(name, spent) for name, spent in seconds.items() if spent]


def _exam(comparison: Comparison | None) -> JSON | None:
    if comparison is None:
        return None
    return {
        "incumbent": comparison.incumbent,
        "candidate": comparison.candidate,
        "difference": comparison.difference,
        "interval": list(comparison.interval),
        "questions": comparison.questions,
        "gained": comparison.gained,
        "lost": comparison.lost,
        "p_value": comparison.p_value,
    }


def _report_data(
    db: Database,
    settings: Settings,
    job: Job,
    result: JSON,
    verdict: Verdict,
    steps: Sequence[tuple[str, float]],
    peak_mib: float,
) -> ReportData:
    ws = job.workspace
    version = models.get(db, ws, result["model"])
    shown: dict[str, Any] = {}
    if verdict.own is not None:
        exam = evals.get(db, ws, result["own"])
        before = evals.answers(db, ws, result["incumbent_runs"]["own"])
        after = evals.answers(db, ws, result["candidate"]["own"])
        gained, lost = flips(exam, before, after)
        shown = {
            "gained": examples(gained),
            "lost": examples(lost),
            "topics": topics(exam, before, after, "topic"),
        }
    identity = result["identity"]
    losses = result.get("loss", [])
    return ReportData(
        workspace=ws,
        verdict=verdict,
        margin=settings.margin,
        pass_mark=settings.pass_mark,
        data=_health(settings.root / "turns" / job.id / "curation.json"),
        loss=tuple((step + 1, loss) for step, loss in enumerate(losses)),
        tokens_per_second=result["tokens"] / max(result["seconds"], 1e-9),
        steps=tuple(steps),
        identity=Identity(
            identity["prompts"], identity["difference"], identity["tolerance"], tuple(identity["differs"])
        ),
        base=settings.model,
        hashes={part: value for part, value in version.identity.items() if value},
        dataset=result["dataset"],
        settings={"samples": datasets.get(db, ws, result["dataset"]).rows, "steps": len(losses)},
        corrections=result["lessons"],
        peak_mib=peak_mib,
        **shown,
    )


def _health(file: Path) -> DataHealth:
    report = json.loads(file.read_text(encoding="utf-8"))
    leaks = report.get("sealed", {}).get("leaks", [])
    sealed = {how: [leak for leak in leaks if leak["how"] == how] for how in dict.fromkeys(x["how"] for x in leaks)}
    exams = [
        Dropped({"en": f"exam question: {many[0]['en']}", "zh": f"考题：{many[0]['zh']}"}, len(many))
        for many in sealed.values()
    ]
    return DataHealth(
        files=report["files"],
        found=report["pairs_found"],
        kept=report["pairs_kept"],
        skipped=tuple(Skipped(item["name"], {"en": item["en"], "zh": item["zh"]}) for item in report["skipped"]),
        dropped=(*(Dropped({"en": d["en"], "zh": d["zh"]}, d["count"]) for d in report["dropped"].values()), *exams),
        masked=sum(report["masked"].values()),
    )


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)
