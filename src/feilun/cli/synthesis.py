"""The command that has a model make rows from passages: its options, its help, what it prints.

This module knows what is asked for. It does not know how a model is reached, or how rows are made and held against
their passages.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "synthesise": "feilun.curation.synthetic:synthesise",
    "keep": "feilun.curation.synthetic:keep",
    "plan": "feilun.curation.synthetic:Plan",
    "writer": "feilun.curation.synthetic:Writer",
    "reasons": "feilun.curation.synthetic:REASONS",
    "served": "feilun.curation.synthetic.served:served",
    "latest": "feilun.store.datasets:latest",
    "records": "feilun.store.datasets:read",
}.items():
    PARTS.add(_name, _target)
KINDS = ("qa", "paraphrase", "distractors", "dialogue", "negative")
_HELP = """example: feilun synthesise --from knowledge --model own --key-from FEILUN_KEY
example: feilun synthesise --from knowledge --model big --url https://api.example.com/v1 --key-from CLOUD_KEY --each 5

The passages of a dataset (feilun curate --recipe knowledge makes one) are shown to the model at --url, by default the
gateway of this machine. A row is kept only if its passage says what the row says; it names the sentences that do, is
marked as made up, and follows the permissions of its source. Passages whose source says leave: no go to no model that
is not on this machine; the gateway here is told so, too. At most --share of all rows are made up."""


def add_synthesis(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "synthesise", synthesise, "have a model make questions and answers from passages", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("--from", dest="dataset", default="knowledge", metavar="NAME", help="the dataset of passages")
    parser.add_argument("--name", default="synthetic", help="name of the dataset that is made (default: synthetic)")
    parser.add_argument("--model", required=True, help="which model is asked")
    parser.add_argument("--checker", default="", metavar="MODEL", help="which model checks (default: the same)")
    parser.add_argument("--url", default="http://127.0.0.1:8600/v1", help="address of an OpenAI-compatible API")
    parser.add_argument("--key-from", default="FEILUN_KEY", metavar="VARIABLE", help="where the API key is kept")
    parser.add_argument("--kind", action="append", choices=KINDS, help="what to make (default: qa; may be repeated)")
    parser.add_argument("--each", type=int, default=3, help="how many of each kind a passage (default: 3)")
    parser.add_argument("--share", type=float, default=0.3, help="most made-up rows of all (default: 0.3)")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def synthesise(given: argparse.Namespace, teller: Teller) -> int:
    """Make rows and keep them as a dataset version."""
    return int(with_store(teller.settings, lambda db: asyncio.run(_make(db, given, teller))))


async def _make(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    ws = named(db, given)
    version = PARTS.load("latest")(db, ws, given.dataset)
    records = PARTS.load("records")(db, ws, version.id, "train")
    passages = [record for record in records if record.kind == "passage"]
    if not passages:
        raise BadRequest(f"{given.dataset} holds no passages.", "feilun curate --recipe knowledge makes some.")
    plan = PARTS.load("plan")(tuple(given.kind or ("qa",)), given.each, given.share)
    async with PARTS.load("served")(given.url, os.environ.get(given.key_from, "")) as writer:
        made = await PARTS.load("synthesise")(
            db, ws, passages, writer(given.model), plan, writer(given.checker or given.model)
        )
    for reason, count in sorted(Counter(failure.reason for failure in made.failures).items()):
        en, zh = PARTS.load("reasons").get(reason, (reason, reason))
        print(f"  {count:>5}  {zh if teller.language == 'zh' else en}")
    kept = PARTS.load("keep")(db, ws, given.name, made, [version.id])
    teller.say("Dataset {} (version {}, {} rows)", kept.id, kept.version, kept.rows)
    return 0
