"""The commands about permission and its record: permissions, audit, retrain, encryption, unmask.

This module knows their options, their help and how their results are printed. It does not know how permissions are
kept, what an entry of the log vouches for, or how a model is made: that is imported when a command runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feilun.cli.commands import in_workspaces, named, with_store
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON, Permissions
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "permit": "feilun.provenance:permit",
    "whole": "feilun.provenance:whole",
    "source": "feilun.store.sources:get",
    "sources": "feilun.store.sources:find",
    "default": "feilun.store.sources:default",
    "set default": "feilun.store.sources:set_default",
    "seal": "feilun.store.sources:seal",
    "ensure workspace": "feilun.store.workspaces:ensure",
    "workspaces": "feilun.store.workspaces:names",
    "entries": "feilun.store.audit:entries",
    "head": "feilun.store.audit:head",
    "verify": "feilun.store.audit:verify",
    "note": "feilun.store.audit:note",
    "written whole": "feilun.store.blobs:written_whole",
    "tainted": "feilun.store.access.revoked:all_models",
    "retrain": "feilun.flywheel:retrain",
    "derived": "feilun.store.access.sealing:derived",
    "reversible": "feilun.curation.personal.masking:Reversible",
}.items():
    PARTS.add(_name, _target)
BROKEN = 10
_PERMISSIONS = """example: feilun permissions board-minutes.docx --train no
example: feilun permissions interviews.xlsx --basis consent --until 2027-06-30 --encrypt yes
example: feilun permissions --default --leave no --basis contract
example: feilun permissions --basis consent
example: feilun permissions board-minutes.docx --revoke
example: feilun permissions letters.zip --revoke

Without a source the sources are listed, those only to which the options apply; with --default it is the workspace that
is meant, from which files inherit what neither they nor feilun.permissions.yaml say. What is said of a message, an
archive, a mailbox or a folder holds for all that came out of it. --revoke takes train, retrieve and leave at once; what
was made of the source is then named by feilun impact, and feilun retrain makes a model without it.
From the freest to the most demanding, the basis is own, public, contract, consent."""
_AUDIT = """example: feilun audit verify
example: feilun audit verify --head 1042:9f3c…
example: feilun audit head
example: feilun audit list --action source --about source-1f…

Each entry has a hash over itself and the one before it: verify says which were changed, removed, inserted or put
elsewhere, and ends with exit code 10. Whoever may rewrite the whole database could write a new log; keep what head
prints in another place, and give it to verify."""
_RETRAIN = """example: feilun retrain --without interviews.xlsx
example: feilun retrain --without interviews.xlsx --at-once

The new version is trained from the base, on what may still be trained on, and takes over if it is not worse than the
margin allows. Versions that have learnt what was revoked go off then, or with --at-once before the training begins."""
_ENCRYPTION = """example: feilun encryption status
example: feilun encryption rotate

Sources with the permission encrypt, and dataset tables with rows of theirs, are kept encrypted (AES-256-GCM) with keys
of the workspace that the master key seals. rotate makes a new key, seals everything anew and forgets earlier ones."""
_UNMASK = """example: feilun unmask answers.txt --out answers-with-names.txt

Undoes what the operator personal has masked in its mode reversible. Only this home's master key can do it, and the
workspace's log keeps who did."""
Add = Callable[..., argparse.ArgumentParser]


def add_governance(found: Any, command: Add) -> None:
    """Add the commands of this module."""
    rights = _made(found, command, "permissions", permissions, "show or set what a source may be used for")
    rights.epilog = _PERMISSIONS
    rights.add_argument("source", nargs="?", default="", metavar="SOURCE", help="a file's or archive's name, or an id")
    for name, text in (("train", "may models learn it"), ("retrieve", "may it be found"), ("leave", "may it leave")):
        rights.add_argument(f"--{name}", type=_yes_or_no, metavar="yes|no", help=text)
    rights.add_argument("--mask", choices=["none", "pseudonymise"], help="what becomes of personal data")
    rights.add_argument("--until", metavar="DATE", help="last day, such as 2026-12-31; none lifts it")
    rights.add_argument("--basis", choices=["own", "public", "contract", "consent"], help="on what ground")
    rights.add_argument("--encrypt", type=_yes_or_no, metavar="yes|no", help="is it kept encrypted")
    rights.add_argument("--revoke", action="store_true", help="from now on for nothing but looking at")
    rights.add_argument("--default", action="store_true", help="what the workspace's files inherit")

    log = _made(found, command, "audit", audit, "show and verify who saw, exported and changed what")
    log.epilog = _AUDIT
    log.add_argument("action", choices=["verify", "head", "list"], help="what to do")
    log.add_argument("--head", default="", metavar="NUMBER:HASH", help="a head that was kept: the log must hold it")
    log.add_argument("--action", dest="kind", default="", metavar="NAME", help="such as source.read, or source")
    log.add_argument("--actor", default="", metavar="TEXT", help="a part of who it was: a key, a member, a job")
    log.add_argument("--about", default="", metavar="ID", help="what it was about")
    log.add_argument("--after", type=int, default=0, metavar="NUMBER", help="only later entries")
    log.add_argument("--limit", type=int, default=100, metavar="N", help="how many to show (default: 100)")
    log.add_argument("--json", action="store_true", help="print everything as JSON")

    again = _made(found, command, "retrain", retrain, "make a model without what was revoked")
    again.epilog = _RETRAIN
    again.add_argument(
        "--without", action="append", default=[], metavar="SOURCE", help="a file's name, or an id; again for more"
    )
    again.add_argument("--at-once", action="store_true", help="turn the old versions off before, not after")
    again.add_argument("--model", help="base model: a name, a Hugging Face folder or a GGUF file")
    again.add_argument("--epochs", type=int, help="training passes over the samples; 0 lets the recipe choose")
    again.add_argument("--threads", type=int, help="processor threads; 0 is all cores")

    keys = _made(found, command, "encryption", encryption, "say what is kept encrypted, or change the keys")
    keys.epilog = _ENCRYPTION
    keys.add_argument("action", choices=["status", "rotate"], help="what to do")

    plain = _made(found, command, "unmask", unmask, "undo reversible masking of personal data in a text")
    plain.epilog = _UNMASK
    plain.add_argument("file", type=Path, metavar="FILE", help="a text in UTF-8")
    plain.add_argument("--out", type=Path, metavar="FILE", help="where to write it (default: print it)")


def permissions(given: argparse.Namespace, teller: Teller) -> int:
    """Show, list or set what sources may be used for."""
    said = {name: getattr(given, name) for name in Permissions.__dataclass_fields__ if getattr(given, name) is not None}
    if said.get("until") == "none":
        said["until"] = None
    if given.revoke:
        said |= {"train": False, "retrieve": False, "leave": False}
    if given.default and (given.source or given.revoke):
        raise BadRequest("--default is about the workspace, not a source.", "Say what its files inherit: --train no.")
    if given.revoke and not given.source:
        raise BadRequest("Which source is to be revoked?", "feilun permissions board-minutes.docx --revoke")
    if given.default:
        return with_store(teller.settings, lambda db: _default(db, given, said)) or 0
    if not given.source:
        return with_store(teller.settings, lambda db: _listed(db, given, said)) or 0

    def work(db: Any, ws: str) -> tuple[list[Any], dict[str, list[str]]]:
        if said:
            meant = PARTS.load("permit")(db, ws, given.source, said)
        else:
            meant = [PARTS.load("source")(db, ws, one) for one in PARTS.load("whole")(db, ws, given.source)]
        taken = said.get("train") is False or given.revoke
        return meant, (PARTS.load("tainted")(db, ws) if taken else {})

    meant, tainted = in_workspaces(given, teller, work)
    for source in meant:
        _tell(source.id, source.name, source.permissions)
    if tainted:
        teller.say("{} models contain revoked data: feilun retrain makes one without it.", len(tainted))
    return 0


def audit(given: argparse.Namespace, teller: Teller) -> int:
    """Show or verify the log."""

    def verify(db: Any) -> int:
        ws = named(db, given)
        found = PARTS.load("verify")(db, ws, given.head)
        if given.json:
            print(json.dumps(asdict(found), ensure_ascii=False, indent=1))
        for each in () if given.json else found.breaks:
            print(each.zh if teller.language == "zh" else each.en)
        if not given.json:
            line = "{} entries, {} breaks. Head: {}" if found.breaks else "{0} entries, nothing was changed. Head: {2}"
            teller.say(line, found.entries, len(found.breaks), f"{found.entries}:{found.head}")
        return BROKEN if found.breaks else 0

    def head(db: Any) -> int:
        print("{}:{}".format(*PARTS.load("head")(db, named(db, given))))
        return 0

    def show(db: Any) -> int:
        entries = PARTS.load("entries")
        found = entries(db, named(db, given), given.after, given.limit, given.kind, given.actor, given.about)
        if given.json:
            print(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=1))
        for each in () if given.json else found:
            moment = datetime.fromtimestamp(each.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            facts = json.dumps(each.details, ensure_ascii=False)
            print(f"{each.number}  {moment}  {each.actor}  {each.action}  {each.object}  {facts}")
        return 0

    code: int = with_store(teller.settings, {"verify": verify, "head": head, "list": show}[given.action])
    return code


def retrain(given: argparse.Namespace, teller: Teller) -> int:
    """Make a model without what was revoked."""

    def work(db: Any, ws: str) -> Any:
        without = [one for source in given.without for one in PARTS.load("whole")(db, ws, source)]
        making = PARTS.load("retrain")(db, teller.settings, ws, without, at_once=given.at_once, say=teller.progress)
        return asyncio.run(making)

    result: JSON = in_workspaces(given, teller, work)
    teller.say("The own model is promoted." if result["promoted"] else "The incumbent keeps serving.")
    teller.say("{}", result["reason_zh"] if teller.language == "zh" else result["reason"])
    for model in result["off"]:
        teller.say("{} is off.", model)
    for model in result["kept"]:
        teller.say("{} contains revoked data, but an endpoint names it: change that endpoint.", model)
    teller.say("Report: {}", result["report_zh"] if teller.language == "zh" else result["report"])
    return 0


def encryption(given: argparse.Namespace, teller: Teller) -> int:
    """Say what is encrypted, or change the keys."""

    def status(db: Any) -> None:
        found = PARTS.load("sources")(db, named(db, given))
        secret = [source for source in found if source.permissions.encrypt]
        for source in secret:
            print(f"{source.id}  {source.name}")
        teller.say("{} of {} sources are kept encrypted.", len(secret), len(found))

    def rotate(db: Any) -> None:
        ws = named(db, given)
        PARTS.load("seal")(db, ws, PARTS.load("sources")(db, ws))
        count = db.vault.rotate(ws)
        PARTS.load("note")(db, ws, "", "encryption.rotated", ws, {"files": count})
        teller.say("Sealed {} files under a new key.", count)

    with_store(teller.settings, {"status": status, "rotate": rotate}[given.action])
    return 0


def unmask(given: argparse.Namespace, teller: Teller) -> int:
    """Undo reversible masking."""
    try:
        text = given.file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{given.file} cannot be read as text in UTF-8.", "Give a text file.") from error

    def work(db: Any) -> tuple[str, int]:
        ws = named(db, given)
        PARTS.load("ensure workspace")(db, ws)
        plain, count = PARTS.load("reversible")(PARTS.load("derived")(db.root, "pseudonyms", ws)).restored(text)
        PARTS.load("note")(db, ws, "", "masking.undone", ws, {"file": given.file.name, "places": count})
        return plain, count

    plain, count = with_store(teller.settings, work)
    if given.out is None:
        print(plain, end="")
    else:
        with PARTS.load("written whole")(given.out) as file:
            file.write(plain.encode("utf-8", "surrogatepass"))
        teller.say("{} places were unmasked.", count)
    return 0


def _default(db: Any, given: argparse.Namespace, said: JSON) -> None:
    ws = named(db, given)
    if said:
        PARTS.load("ensure workspace")(db, ws)
        PARTS.load("set default")(db, ws, said)
    _tell(ws, "", PARTS.load("default")(db, ws))


def _listed(db: Any, given: argparse.Namespace, wanted: JSON) -> None:
    for source in PARTS.load("sources")(db, named(db, given)):
        held = asdict(source.permissions)
        if all(held[name] == value for name, value in wanted.items()):
            _tell(source.id, source.name, source.permissions)


def _tell(source: str, name: str, held: Permissions) -> None:
    print("  ".join(word for word in (source, name, json.dumps(asdict(held))) if word))


def _made(found: Any, command: Add, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser = command(found, name, run, text, "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")
    return parser


def _yes_or_no(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"
