"""What each command does: call, print.

This module knows which function a command calls and how its result is printed. It does not know how anything is done:
what a command needs is imported when the command runs, so that others stay quick.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from feilun import settings as settings_table
from feilun.cli.words import Teller
from feilun.errors import BadRequest, FeilunError
from feilun.records import JSON, Feedback, new_id
from feilun.registry import Registry
from feilun.settings import Settings

DEFAULT_WORKSPACE, SAMPLE_WORKSPACE = "default", "sample"
PARTS = {
    "up": "feilun.gateway:up",
    "turn": "feilun.flywheel:turn",
    "sample": "feilun.flywheel.turn:sample_paths",
    "pull": "feilun.engines.pull:pull",
    "store": "feilun.store:open_database",
    "journal": "feilun.store:Journal",
    "explain": "feilun.provenance:explain",
    "impact": "feilun.provenance:impact",
    "resolve": "feilun.provenance:resolve",
    "create key": "feilun.store.keys:create",
    "find keys": "feilun.store.keys:find",
    "revoke key": "feilun.store.keys:revoke",
    "add member": "feilun.store.access.members:add",
    "find members": "feilun.store.access.members:find",
    "member": "feilun.store.access.members:resolve",
    "remove member": "feilun.store.access.members:remove",
    "find models": "feilun.store.models:find",
    "models on": "feilun.store.models:found_on",
    "turn model on": "feilun.store.access.revoked:turn_on",
    "turn model off": "feilun.store.models:turn_off",
    "put provider": "feilun.store.access.providers:put",
    "check address": "feilun.wire:ensure_callable",
    "find providers": "feilun.store.access.providers:find",
    "remove provider": "feilun.store.access.providers:remove",
    "put endpoint": "feilun.store.access.endpoints:put",
    "find endpoints": "feilun.store.access.endpoints:find",
    "remove endpoint": "feilun.store.access.endpoints:remove",
    "put limit": "feilun.store.access.limits:put",
    "find limits": "feilun.store.access.limits:find",
    "remove limit": "feilun.store.access.limits:remove",
    "nano": "feilun.store.access.money:nano",
    "nano a token": "feilun.store.access.money:nano_a_token",
    "amount": "feilun.store.access.money:amount",
    "price": "feilun.store.access.money:price",
    "usage": "feilun.store.calls.usage:report",
    "call log": "feilun.store.calls.calllog:CallLog",
    "workspaces": "feilun.store.workspaces:names",
    "ensure workspace": "feilun.store.workspaces:ensure",
    "datasets": "feilun.store.datasets:find",
    "records": "feilun.store.datasets:read",
    "acting": "feilun.store.audit:acting",
    "feedback": "feilun.store.feedback:add",
    "deployments": "feilun.store.verdicts:deployments",
}


def part(name: str) -> Any:
    """Import and return what a command needs; raise MissingDependency that says how to install it."""
    registry = Registry("command's part", "local")
    for each, target in PARTS.items():
        registry.add(each, target)
    return registry.load(name)


def with_store(settings: Settings, work: Callable[[Any], Any]) -> Any:
    """Return what ``work`` returns, given the database of the home, which is closed afterwards."""
    db = part("store")(settings.root, settings.database)
    try:
        with part("acting")(f"cli {_user()}"):
            return work(db)
    finally:
        db.close()


def up(given: argparse.Namespace, teller: Teller) -> int:
    """Serve until told to stop."""
    # The gateway's own loop: asyncio's does half as much. Turns and jobs stay on the plain one.
    uvloop.run(part("up")(teller.settings, lambda text: teller.say("{}", text), given.workspace))
    teller.say("Stopped.")
    return 0


def turn(given: argparse.Namespace, teller: Teller) -> int:
    """Turn the wheel once."""
    paths = [Path(path) for path in given.paths] or part("sample")()
    # The sample has a workspace of its own, so that it never mixes with anybody's files.
    ws = given.workspace or (DEFAULT_WORKSPACE if given.paths else SAMPLE_WORKSPACE)
    result: JSON = with_store(
        teller.settings,
        lambda db: _await(part("turn")(db, teller.settings, ws, paths, given.drill, teller.progress)),
    )
    for name in ("own exam", "general exam"):
        exam = result.get(name.replace(" ", "_"))
        if exam:
            shares = (exam["incumbent"], exam["candidate"], *exam["interval"], exam["questions"])
            line = "{}: {:.0%} -> {:.0%} (difference {:+.0%} to {:+.0%}, {} questions)"
            teller.say(line, teller.text(name), *shares)
    teller.say("The own model is promoted." if result["promoted"] else "The incumbent keeps serving.")
    chinese = teller.language == "zh"
    teller.say("{}", result["reason_zh"] if chinese else result["reason"])
    teller.say("Turn took {:.0f} s. Serve it with: feilun up", result["seconds"])
    teller.say("Report: {}", result["report_zh"] if chinese else result["report"])
    return 0


def pull(given: argparse.Namespace, teller: Teller) -> int:
    """Fetch a base model."""
    version = part("pull")(teller.settings.root, given.name, lambda text: teller.say("{}", text))
    teller.say("Ready: {}. Use it with: feilun up --model {}", version.name, version.name)
    return 0


def lineage(given: argparse.Namespace, teller: Teller) -> int:
    """Say what made an id."""
    found = in_workspaces(given, teller, lambda db, ws: part("explain")(db, ws, given.id, given.limit))
    if given.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    _tell(teller, found, ("deployments", "models", "jobs", "datasets", "verdicts", "answers"))
    if found["records_total"]:
        teller.say("{} records, {} shown", found["records_total"], len(found["records"]))
        for record in found["records"]:
            print(f"  {record['id']}  {record['question']}")
    _tell(teller, {"sources": found["sources"]}, ("sources",))
    return 0


def impact(given: argparse.Namespace, teller: Teller) -> int:
    """Say what a source touched."""
    found = in_workspaces(given, teller, lambda db, ws: part("impact")(db, ws, given.source, given.limit))
    if given.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    groups = ("datasets", "models", "deployments")
    name = found["about"].get("name") or found["id"]
    line = "{} touches {} datasets, {} models, {} deployments, {} answers."
    teller.say(line, name, *(len(found[group]) for group in groups), found["answers_total"])
    _tell(teller, found, ("datasets", "jobs", "models", "verdicts", "deployments", "answers"))
    return 0


def _tell(teller: Teller, found: JSON, groups: Iterable[str]) -> None:
    for group in groups:
        for one in found[group]:
            words = [one.get(name) for name in ("name", "kind", "version", "endpoint", "status", "question", "answer")]
            print(f"{group:<12} {one['id']}  {'  '.join(str(word) for word in words if word)}")
            for reason in one.get("revoked") or ():
                teller.say("  contains revoked data: {}", reason)


def records(given: argparse.Namespace, teller: Teller) -> int:
    """List the records that may be used for a purpose."""
    kind = "chat" if given.purpose == "train" else "passage"
    wanted = given.find.casefold()

    def show(db: Any) -> None:
        newest = {version.name: version for version in part("datasets")(db, named(db, given))}
        count = 0
        for version in newest.values():
            for record in part("records")(db, version.workspace, version.id, given.purpose):
                text = " | ".join([*(str(m.get("content")) for m in record.messages), *filter(None, [record.text])])
                if record.kind == kind and wanted in text.casefold():
                    count += 1
                    print(f"{record.id}  {' '.join(text.split())}  [{', '.join(record.sources)}]")
        teller.say("{} records", count)

    with_store(teller.settings, show)
    return 0


def feedback(given: argparse.Namespace, teller: Teller) -> int:
    """Judge an answer."""
    thumb = {"up": 1, "down": -1, None: None}[given.thumb]
    if thumb is None and given.score is None and not given.correction.strip() and not given.comment.strip():
        raise BadRequest("This says nothing.", "Give --thumb, --score, --correction or --comment.")
    if given.score is not None and not 0 <= given.score <= 1:
        raise BadRequest(f"The score {given.score} is not between 0 and 1.", "Give --score 0.8, say.")
    words = (given.correction.strip(), given.comment.strip())
    kept = in_workspaces(
        given,
        teller,
        lambda db, ws: part("feedback")(db, Feedback(new_id("feedback"), ws, given.trace, thumb, given.score, *words)),
    )
    teller.say("Kept {}. The next feilun turn learns from it.", kept.id)
    return 0


def status(_given: argparse.Namespace, teller: Teller) -> int:
    """Say what there is."""

    def show(db: Any) -> None:
        journal, names = part("journal")(db), part("workspaces")(db)
        if not names:
            teller.say("Nothing here yet: feilun turn begins.")
        for ws in names:
            teller.say("workspace {}", ws)
            current = {each.endpoint: each for each in part("deployments")(db, ws)}
            for each in current.values():
                teller.say("  serves {} as {} since {}", each.model, each.endpoint, when(each.created))
            if not current:
                teller.say("  serves no model of its own yet")
            for job in journal.find(ws, limit=5):
                print(f"  {job.id}  {job.kind}  {job.status}  {when(job.created)}")

    with_store(teller.settings, show)
    return 0


def list_settings(_given: argparse.Namespace, teller: Teller) -> int:
    """Print every setting."""
    now = asdict(teller.settings)
    for name, kind, default, text in settings_table.table():
        mark = "" if now[name] == default else f" (default {default!r})"
        print(f"{name} = {now[name]!r}{mark}  # {kind}: {text}")
    return 0


def in_workspaces(given: argparse.Namespace, teller: Teller, work: Callable[[Any, str], Any]) -> Any:
    """Do ``work`` in the workspace that was named, else in the first that has what it looks for."""

    def search(db: Any) -> Any:
        names = [given.workspace] if given.workspace else part("workspaces")(db)
        missing: FeilunError = BadRequest("There is no workspace yet.", "feilun turn makes one.")
        for ws in names:
            try:
                return work(db, ws)
            except FeilunError as error:
                if error.status != 404:
                    raise
                missing = error
        raise missing

    return with_store(teller.settings, search)


def named(db: Any, given: argparse.Namespace) -> str:
    """Return the workspace that was named, else the only one there is, else the default."""
    names: list[str] = part("workspaces")(db)
    return str(given.workspace or (names[0] if len(names) == 1 else DEFAULT_WORKSPACE))


def when(stamp: float) -> str:
    """Return a time as people here read it."""
    return datetime.fromtimestamp(stamp, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in some containers
        return str(os.getuid())


def _await(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)
