"""The command that brings data in: files, folders, archives, pages and sites, tables of databases.

This module knows what is asked for by its look. It does not know how anything is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.words import Teller
from feilun.errors import BadRequest, FeilunError
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "files": "feilun.curation:ingest",
    "site": "feilun.curation.gather:ingest_site",
    "tables": "feilun.curation.gather:ingest_tables",
    "bounds": "feilun.curation.readers.web:Bounds",
    "ensure workspace": "feilun.store.workspaces:ensure",
    "home": "feilun.migration:home_of",
    "home files": "feilun.migration:bring",
}.items():
    PARTS.add(_name, _target)
_WEB = ("http://", "https://")
_HELP = """example: feilun import ./our-files handbook.zip
example: feilun import http://intranet.example/handbook/ --depth 2 --pages 200
example: feilun import sqlite:///shop.db --table orders --table products
example: feilun import postgresql+pg8000://reader@db.example/clinic --table faq --train no
example: feilun import ./openai-export
example: feilun import ./our-kiln-project --as kiln

Files are read in processes of their own with limits of time and memory. What feilun.permissions.yaml beside them says
holds; of sites and tables, what the options say, and never more than a page's own signals permit (robots.txt, noai, TDM
reservation). Databases are opened read only. Importing again adds nothing twice.

What OpenAI (evals, runs, fine-tuning files and jobs), TensorZero, Langfuse and Kiln give away is known by its content:
evals and runs keep their ids, calls and judgements become traces and feedback, datasets can be trained on at once."""


def add_importing(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "import", bring, "bring in files, archives, web pages and database tables", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("places", nargs="+", metavar="PATH|URL", help="files, folders, http(s):// or a database's URL")
    parser.add_argument("--table", action="append", default=[], metavar="NAME", help="a table of the database")
    homes = ("openai", "tensorzero", "langfuse", "kiln", "files")
    parser.add_argument(
        "--as", dest="whose", default="", choices=homes, help="whose export it is (default: see for it)"
    )
    parser.add_argument("--depth", type=int, default=3, help="how many links to follow on a site (default: 3)")
    parser.add_argument("--pages", type=int, default=500, help="at most so many pages of a site (default: 500)")
    for name, text in (("train", "may models learn it"), ("retrieve", "may it be found"), ("leave", "may it leave")):
        parser.add_argument(f"--{name}", choices=["yes", "no"], help=f"of sites, tables and exports: {text}")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def bring(given: argparse.Namespace, teller: Teller) -> int:
    """Bring in everything that was named; what cannot be used is told, and ends the command with code 2."""
    if given.depth < 0 or given.pages < 1:
        raise BadRequest("--depth is a number from 0 up, --pages from 1 up.")
    return int(with_store(teller.settings, lambda db: _bring(db, given, teller)))


def _bring(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    ws = named(db, given)
    PARTS.load("ensure workspace")(db, ws)
    said = {name: value == "yes" for name in ("train", "retrieve", "leave") if (value := getattr(given, name))}
    files = [Path(place) for place in given.places if "://" not in place]
    home = given.whose or (PARTS.load("home")(files) if files else "")
    if home not in {"", "files"}:
        if len(files) < len(given.places):
            raise BadRequest("An export is imported by itself.", "Import sites and databases with another command.")
        _tell_home(PARTS.load("home files")(db, ws, home, files, said), teller)
        return 0
    read = reading(teller)
    work: list[Callable[[], Any]] = [partial(PARTS.load("files"), db, ws, files, read)] if files else []
    for place in given.places:
        if place.casefold().startswith(_WEB):
            bounds = PARTS.load("bounds")(given.depth, given.pages)
            work.append(partial(PARTS.load("site"), db, ws, place, said, bounds))
        elif "://" in place:
            work.append(partial(PARTS.load("tables"), db, ws, place, given.table, said, progress=read))
    failed: list[FeilunError] = []
    for each in work:
        try:
            _tell(each(), teller)
        except FeilunError as error:
            if len(work) == 1:
                raise
            failed.append(error)
            teller.say("error: {}", f"{error.message} {error.hint}".strip())
    return failed[0].exit_code if failed else 0


def _tell_home(report: Any, teller: Teller) -> None:
    """Say how much of what came in, what did not and why."""
    teller.say("From {}:", report.home)
    for title, counts in (("came", report.came), ("added", report.added), ("known already", report.known)):
        if counts:
            words = ", ".join(f"{count} {teller.text(kind)}" for kind, count in counts.items())
            teller.say("  {}: {}", teller.text(title), words)
    for theirs, ours in report.ids.items():
        print(f"  = {theirs} -> {ours}")
    for kind, names in report.unknown.items():
        teller.say("  fields of {} that are kept but not used: {}", kind, ", ".join(names))
    for note in report.notes:
        print(f"  ! {note}")
    if report.left_out:
        teller.say("  {} left out:", len(report.left_out))
    for place, reason in report.left_out:
        print(f"  - {place}: {reason}")


def reading(teller: Teller) -> Callable[[Any], None]:
    """Return what shows how far reading has come."""
    return lambda now: teller.over(f"{now.done}/{now.files} {now.name}"[:120])


def _tell(report: Any, teller: Teller) -> None:
    teller.say("{} files added, {} known, {} left out", *map(len, (report.added, report.unchanged, report.skipped)))
    for each in report.skipped:
        print(f"  - {each.name}: {each.zh if teller.language == 'zh' else each.en}")
    for note in report.notes:
        print(f"  ! {note}")
