"""What the commands do that run a workspace: keys, members, models, providers, endpoints, limits, usage.

This module knows which function a command calls, and how people write targets, times and amounts. It does not know how
anything is kept, nor how a call is let in, routed or counted.
"""

from __future__ import annotations

import argparse
import csv
import getpass
import json
import os
import re
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from feilun.cli.commands import named, part, when, with_store
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON, Endpoint, Limit, Provider, Target, new_id

_UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_LIMITS = tuple(field.name for field in fields(Limit) if str(field.type) == "int | None")
_OF_TARGETS = [
    ("price_in", "--price-in"),
    ("price_out", "--price-out"),
    ("window", "--context"),
    ("images", "--images"),
]
Deed = Callable[[Any], None]


def key(given: argparse.Namespace, teller: Teller) -> int:
    """Make, list or revoke API keys."""

    def create(db: Any) -> None:
        ws = _workspace(db, given)
        member = part("member")(db, ws, given.member).id if given.member else ""
        expires = _expires(given.expires) if given.expires else None
        made, secret = part("create key")(db, ws, given.name, given.role, member, expires, given.scope)
        teller.say("Key {} (role {}, workspace {}), shown only now:", made.id, made.role, ws)
        print(secret)

    def show(db: Any) -> None:
        for key in part("find keys")(db, named(db, given)):
            over = key.expires is not None and key.expires <= time.time()
            state = "revoked" if key.revoked else "expired" if over else "active"
            until = when(key.expires) if key.expires else "-"
            scopes = ",".join(key.scopes) or "-"
            words = (f"{key.role:<9}", f"{state:<7}", when(key.created), until, scopes, key.member or "-", key.name)
            print("  ".join((key.id, key.hint, *words)))

    def revoke(db: Any) -> None:
        part("revoke key")(db, named(db, given), given.id)
        teller.say("Revoked {}.", given.id)

    return _do(given, teller, {"create": create, "list": show, "revoke": revoke})


def member(given: argparse.Namespace, teller: Teller) -> int:
    """Add, list or remove members."""

    def add(db: Any) -> None:
        made = part("add member")(db, _workspace(db, given), given.name, given.role)
        teller.say("Added {} as {}, {}.", made.name, made.role, made.id)

    def show(db: Any) -> None:
        for one in part("find members")(db, named(db, given)):
            state = "removed" if one.removed else "active"
            print(f"{one.id}  {one.role:<9}  {state:<7}  {when(one.created)}  {one.name}")

    def remove(db: Any) -> None:
        ws = named(db, given)
        gone = part("member")(db, ws, given.name)
        part("remove member")(db, ws, gone.id)
        teller.say("Removed {}. Their keys are of no use any more.", gone.name)

    return _do(given, teller, {"add": add, "list": show, "remove": remove})


def model(given: argparse.Namespace, teller: Teller) -> int:
    """List model versions, or turn one on or off."""

    def on(db: Any) -> None:
        found = part("turn model on")(db, named(db, given), given.id, "cli")
        teller.say("{} is on: it answers to its id.", found.id)

    def off(db: Any) -> None:
        found = part("turn model off")(db, named(db, given), given.id)
        teller.say("{} is off.", found.id)

    def show(db: Any) -> None:
        ws = named(db, given)
        whys = part("models on")(db, ws)
        for one in part("find models")(db, ws):
            why = "" if one.kind == "base" else whys.get(one.id, "")
            state = "on" if why or one.kind == "base" else "off"
            print(f"{one.id}  {one.kind:<7}  {state:<3}  {when(one.created)}  {one.name}  {why or '-'}")

    return _do(given, teller, {"on": on, "off": off, "list": show})


def provider(given: argparse.Namespace, teller: Teller) -> int:
    """Add, list or remove remote providers."""

    def add(db: Any) -> None:
        wanted = Provider(new_id("provider"), _workspace(db, given), given.name, given.api, given.url)
        part("check address")(given.url)
        kept = part("put provider")(db, wanted, _secret(given, teller))
        teller.say(
            "Kept the provider {} at {} (key {}).", kept.name, kept.url, kept.hint or ("…" if kept.sealed else "-")
        )

    def show(db: Any) -> None:
        for one in part("find providers")(db, named(db, given)):
            print(f"{one.name:<16}  {one.api:<9}  {one.url}  {one.hint or ('…' if one.sealed else '-')}")

    def remove(db: Any) -> None:
        part("remove provider")(db, named(db, given), given.name)
        teller.say("Removed {}.", given.name)

    return _do(given, teller, {"add": add, "list": show, "remove": remove})


def endpoint(given: argparse.Namespace, teller: Teller) -> int:
    """Set, list or remove endpoints."""

    def put(db: Any) -> None:
        if not given.target:
            hint = f"Say, feilun endpoint set {given.name or 'support'} --target own"
            raise BadRequest("An endpoint has 1 to 32 targets.", hint)
        columns = [_for_each(getattr(given, name), option, len(given.target)) for name, option in _OF_TARGETS]
        targets = [_target(text, *column) for text, *column in zip(given.target, *columns, strict=True)]
        kept = part("put endpoint")(
            db,
            Endpoint(
                new_id("endpoint"),
                _workspace(db, given),
                given.name,
                tuple(targets),
                tuple(given.fallback),
                given.sticky,
                "cheapest" if given.exam else "weighted",
                given.exam,
                given.bar,
                dict(_timeout(text) for text in given.timeout),
                given.retries,
            ),
        )
        teller.say("{} is answered by:", kept.name)
        _tell_endpoint(kept)

    def show(db: Any) -> None:
        for one in part("find endpoints")(db, named(db, given)):
            print(one.name)
            _tell_endpoint(one)

    def remove(db: Any) -> None:
        part("remove endpoint")(db, named(db, given), given.name)
        teller.say("Removed {}.", given.name)

    return _do(given, teller, {"set": put, "list": show, "remove": remove})


def limit(given: argparse.Namespace, teller: Teller) -> int:
    """Set, list or remove limits."""

    def put(db: Any) -> None:
        if given.scope == "workspace":
            given.workspace = given.workspace or given.target
        ws, target = _workspace(db, given), given.target
        if given.scope == "member":
            target = part("member")(db, ws, target).id
        values = {name: getattr(given, name) for name in _LIMITS}
        for name in ("money_per_day", "money_per_month"):
            values[name] = None if values[name] is None else part("nano")(values[name], name)
        kept = part("put limit")(db, Limit(new_id("limit"), ws, given.scope, target, **values, soft=given.soft))
        _tell_limit(kept)

    def show(db: Any) -> None:
        for one in part("find limits")(db, named(db, given)):
            _tell_limit(one)

    def remove(db: Any) -> None:
        part("remove limit")(db, named(db, given), given.scope)
        teller.say("Removed {}.", given.scope)

    return _do(given, teller, {"set": put, "list": show, "remove": remove})


def usage(given: argparse.Namespace, teller: Teller) -> int:
    """Say what was used."""

    def show(db: Any) -> None:
        # What a killed gateway left in its log counts; a running one brings its own calls in within a moment.
        log = part("call log")(teller.settings.root / "calls", f"cli-{os.getpid()}")
        log.drain(db)
        log.close()
        by = [name for name in given.by.split(",") if name]
        found = part("usage")(db, named(db, given), by, given.since, given.until)
        rows = [{**row, "cost": part("amount")(row["cost"])} for row in found]
        sums = ["calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cost"]
        if given.json:
            print(
                json.dumps([{name: row[name] for name in (*by, *sums)} for row in rows], ensure_ascii=False, indent=1)
            )
        elif given.csv:
            writer = csv.DictWriter(sys.stdout, [*by, *sums], extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            heads = [teller.text(name) for name in (*by, *sums)]
            heads[-1] += f" ({teller.settings.currency})"
            _table(heads, [[str(row[name]) for name in (*by, *sums)] for row in rows], len(by))

    with_store(teller.settings, show)
    return 0


def _do(given: argparse.Namespace, teller: Teller, deeds: dict[str, Deed]) -> int:
    with_store(teller.settings, deeds[given.action])
    return 0


def _workspace(db: Any, given: argparse.Namespace) -> str:
    ws = named(db, given)
    part("ensure workspace")(db, ws)
    return ws


def _secret(given: argparse.Namespace, teller: Teller) -> str | None:
    """Return the key from the environment or standard input, never from the command line, which others can see."""
    if given.no_key:
        return ""
    if given.keep_key:
        return None
    if given.key_from:
        if given.key_from not in os.environ:
            raise BadRequest(f"There is no variable {given.key_from}.", "Name one that holds the key.")
        return os.environ[given.key_from]
    secret = getpass.getpass(teller.text("Key: ")) if sys.stdin.isatty() else sys.stdin.readline()
    if not secret.strip():
        raise BadRequest("There was no key on standard input.", "Use --no-key for a provider that needs none.")
    return secret


def _expires(text: str) -> float:
    """Return when: the end of a day (UTC), or a while from now such as 12h, 90d, 4w."""
    if found := re.fullmatch(r"(\d{1,5})([hdw])", text):
        return time.time() + int(found[1]) * _UNITS[found[2]]
    try:
        return (datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"{text[:40]!r} is no time.", "Write 2026-12-31, or a while such as 12h, 90d, 4w.") from error


def _for_each(values: list[str], option: str, count: int) -> list[str]:
    """Return an option's value for every target: none is 0, one is for all."""
    if len(values) not in {0, 1, count}:
        hint = f"Give it once, or for each one: {' '.join([f'{option} …'] * count)}"
        raise BadRequest(f"{option} is there {len(values)} times for {count} targets.", hint)
    return values if len(values) == count else (values or ["0"]) * count


def _target(text: str, price_in: str, price_out: str, context: str, images: str) -> Target:
    found = re.fullmatch(r"(?P<model>.+?)(?:@(?P<provider>[^@=]+))?(?:=(?P<weight>[0-9.]+))?", text)
    try:
        weight = float(found["weight"] or 1) if found else -1.0
    except ValueError:
        weight = -1.0
    if found is None or weight < 0:
        hint = "Write MODEL, MODEL@PROVIDER or MODEL@PROVIDER=WEIGHT, such as gpt-5@cloud=0.5."
        raise BadRequest(f"{text!r} is no target.", hint)
    if not re.fullmatch(r"[0-9]{1,10}", context):
        raise BadRequest(f"{context[:40]!r} is no context.", "Write a number of tokens, such as --context 128000.")
    nano = part("nano a token")
    return Target(
        found["model"],
        found["provider"] or "",
        weight,
        nano(price_in, "--price-in"),
        nano(price_out, "--price-out"),
        int(context),
        images == "yes",
    )


def _timeout(text: str) -> tuple[str, float]:
    phase, _, seconds = text.partition("=")
    try:
        return phase, float(seconds)
    except ValueError as error:
        raise BadRequest(f"{text!r} is no timeout.", "Write first=30, say.") from error


def _tell_endpoint(one: Endpoint) -> None:
    for target in one.targets:
        prices = "/".join(part("price")(each) for each in (target.price_in, target.price_out))
        more = f"  context {target.context}" * bool(target.context) + "  images" * target.images
        print(f"  {target.model}{'@' if target.provider else ''}{target.provider}  ={target.weight:g}  {prices}{more}")
    rest: JSON = {
        "fallback": ",".join(one.fallback),
        "sticky": one.sticky,
        "exam": one.exam and f"{one.exam}>={one.bar:g}",
    }
    for name, value in {**rest, **one.timeouts}.items():
        if value:
            print(f"  {name}: {value}")


def _tell_limit(one: Limit) -> None:
    values = {name: getattr(one, name) for name in _LIMITS if getattr(one, name) is not None}
    told = {name: part("amount")(value) if name.startswith("money") else value for name, value in values.items()}
    print(f"{one.id}  {one.scope:<9}  {one.target}  {'  '.join(f'{name}={value}' for name, value in told.items())}")


def _table(heads: list[str], rows: list[list[str]], left: int) -> None:
    widths = [max(map(_width, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = [
            f"{cell}{' ' * (width - _width(cell))}" if at < left else f"{' ' * (width - _width(cell))}{cell}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
