"""The command that runs recipes: its options, its help, what it prints.

This module knows how a recipe is asked for and told of. It does not know how one runs: that is imported when it does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.importing import reading
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "ingest": "feilun.curation:ingest",
    "scan": "feilun.curation.scan:scan",
    "documents": "feilun.curation.ingest:documents",
    "ensure workspace": "feilun.store.workspaces:ensure",
    "sources": "feilun.store.sources:find",
    "permitted": "feilun.store.sources:permitted",
    "find": "feilun.curation.recipes:find",
    "ready": "feilun.curation.recipes:ready",
    "operators": "feilun.curation.recipes:operators",
    "options": "feilun.curation.recipes:Options",
    "curate": "feilun.curation.recipes:curate_workspace",
    "curate files": "feilun.curation.recipes:curate_files",
}.items():
    PARTS.add(_name, _target)
_HELP = """example: feilun curate ./our-files --preview 50
example: feilun curate ./our-files --recipe knowledge
example: feilun curate --recipe our-recipe.yaml --dry-run
example: feilun curate big.jsonl --recipe pretrain --out ./clean
example: feilun curate --operators

Files that are given become sources of the workspace first, with what feilun.permissions.yaml beside them permits; then
the recipe runs over everything in the workspace that may be used for its purpose. The result is a dataset version and a
health report. Run again after a kill, or after some files changed, it makes only what is missing. With --out, large
files of rows (JSON lines, Parquet) are curated as they stand, without a workspace."""


def add_curation(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "curate", curate, "clean data by a recipe, and report on its health", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files and folders to add first")
    parser.add_argument("--recipe", default="chat", metavar="NAME|FILE", help="which recipe (default: chat)")
    parser.add_argument("--name", default="", help="name of the dataset (default: the recipe's)")
    parser.add_argument("--preview", type=int, default=0, metavar="N", help="try it on N rows; write no dataset")
    parser.add_argument("--dry-run", action="store_true", help="say what would be read and done; do nothing")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="curate large files of rows into this folder")
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="how many (default: one a core)")
    parser.add_argument("--terms", type=Path, metavar="FILE", help="a list of sensitive terms, one a line")
    parser.add_argument("--recipes", action="store_true", help="list the recipes that there are")
    parser.add_argument("--operators", action="store_true", help="list operators and their parameters")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def curate(given: argparse.Namespace, teller: Teller) -> int:
    """Run a recipe, or tell of it."""
    if given.recipes:
        for name, text in PARTS.load("ready")().items():
            about = PARTS.load("find")(name).about
            print(f"{name}: {about[teller.language == 'zh']}\n\n{text}")
        return 0
    if given.operators:
        _list_operators(teller)
        return 0
    if given.preview < 0 or given.processes < 0:
        raise BadRequest("--preview and --processes are numbers from 0 up.")
    recipe = PARTS.load("find")(given.recipe)
    options = PARTS.load("options")(
        given.processes,
        given.preview,
        given.name,
        teller.language,
        teller.settings.embedding,
        _terms(given.terms),
        teller.settings.model,
    )
    if given.out is not None:
        if not given.paths:
            raise BadRequest("There is nothing to curate.", "Give the files: feilun curate big.jsonl --out ./clean")
        outcome = PARTS.load("curate files")(given.paths, recipe, given.out, options, _progress(teller))
        _tell(outcome, given, teller)
        return 0
    if given.dry_run and not teller.settings.database and not teller.settings.root.exists():
        # Opening a store makes one: where there is no home yet, there is nothing to read of it either.
        _plan(given.paths, [], recipe, teller)
        return 0
    return int(with_store(teller.settings, lambda db: _in_store(db, recipe, options, given, teller)))


def _in_store(db: Any, recipe: Any, options: Any, given: argparse.Namespace, teller: Teller) -> int:
    ws = named(db, given)
    if given.dry_run:
        permitted = {source.id for source in PARTS.load("permitted")(db, ws, recipe.purpose)}
        known = [(source.id in permitted, source) for source in PARTS.load("sources")(db, ws)]
        _plan(given.paths, known, recipe, teller)
        return 0
    PARTS.load("ensure workspace")(db, ws)
    skipped: list[Any] = []
    if given.paths:
        report = PARTS.load("ingest")(db, ws, given.paths, reading(teller))
        skipped = report.skipped
        teller.say("{} files added, {} known, {} left out", len(report.added), len(report.unchanged), len(skipped))
    outcome = PARTS.load("curate")(db, ws, recipe, options, _progress(teller), skipped)
    _tell(outcome, given, teller)
    return 0


def _plan(paths: list[Path], known: list[tuple[bool, Any]], recipe: Any, teller: Teller) -> None:
    """Say what would be read and done; ``known`` are the sources that there are, and whether they may be read."""
    if paths:
        found, skipped, notes = PARTS.load("scan")(paths)
        for file in found:
            print(f"+ {file.name}  {_permits(file.permissions)}")
        for each in skipped:
            print(f"- {each.name}  {each.zh if teller.language == 'zh' else each.en}")
        for note in notes:
            print(f"! {note}")
    for may, source in known:
        print(f"{'=' if may else 'x'} {source.name}  {_permits(source.permissions)}")
    teller.say("Purpose: {}. Rows: {}.", recipe.purpose, recipe.made)
    for where, steps in (("documents", recipe.documents), ("rows", recipe.rows)):
        for step in steps:
            print(f"  {where}: {step.operator} {dict(step.parameters) or ''}".rstrip())


def _permits(permissions: Any) -> str:
    words = [f"{name}={'yes' if getattr(permissions, name) else 'no'}" for name in ("train", "retrieve", "leave")]
    words += [f"mask={permissions.mask}"] + ([f"until={permissions.until}"] if permissions.until else [])
    return " ".join(words)


def _tell(outcome: Any, given: argparse.Namespace, teller: Teller) -> None:
    report: JSON = outcome.report
    teller.over("")
    if given.json:
        print(json.dumps(report, ensure_ascii=False, indent=1))
        return
    lang = "zh" if teller.language == "zh" else "en"
    for finding in report["findings"]:
        if finding["action"] == "noted":
            continue
        action = teller.text(finding["action"])
        print(f"  {finding['rows']:>7}  {action}  {finding['operator']}: {finding[lang]}")
        if given.preview:
            for shown in finding["examples"][:2]:
                print(f"           {shown['before']!r}" + (f" -> {shown['after']!r}" if shown["after"] else ""))
    for alert in report["drift"]["alerts"]:
        print(f"  ! {alert[lang]}")
    rows = report["rows"]
    teller.say("{} rows found, {} kept, {} flagged", rows["in"], rows["kept"], rows["flagged"])
    for told in report["readiness"].values():
        print(f"  {told[lang]}")
    if outcome.version is not None:
        teller.say(
            "Dataset {} (version {}, {} rows)", outcome.version.id, outcome.version.version, outcome.version.rows
        )
        if rows["flagged"]:
            teller.say("Have people look at what was flagged: feilun review add --dataset {}", outcome.version.id)
    teller.say("Report: {}", outcome.page)


def _list_operators(teller: Teller) -> None:
    chinese = teller.language == "zh"
    for operator in PARTS.load("operators")().values():
        print(f"{operator.name}: {operator.about[chinese]}\n    [{operator.origin}]")
        for name, parameter in operator.parameters.items():
            bounds = [f">= {parameter.low:g}"] if parameter.low is not None else []
            bounds += [f"<= {parameter.high:g}"] if parameter.high is not None else []
            bounds += [" | ".join(parameter.choices)] if parameter.choices else []
            limits = f" ({', '.join(bounds)})" if bounds else ""
            print(f"    {name} = {parameter.default!r}{limits}: {parameter.help[chinese]}")


def _progress(teller: Teller) -> Callable[[str, int, int], None]:
    def say(title: str, done: int, total: int) -> None:
        line = f"{title}: {done}/{total}"
        if sys.stdout.isatty():
            teller.over(line[:160])
        elif done == total and title:
            print(f"  {line}", file=sys.stderr)

    return say


def _terms(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} cannot be read: {error}", "It is a text file in UTF-8, one term a line.") from error
    return tuple(sorted({line.strip() for line in lines if line.strip() and not line.startswith("#")}))
