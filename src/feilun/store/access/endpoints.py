"""Task names and the deployments behind them. Knows their rows, and what cannot be; does not know how calls go."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import BadRequest
from feilun.records import Endpoint, Target
from feilun.store import audit, changes
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.schema import ENDPOINTS, PROVIDERS, from_row, to_row

PHASES = ("connect", "first", "between", "total")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_MOST_TARGETS, _MOST_FALLBACKS, _MOST_RETRIES = 32, 8, 10
_LONGEST_SECONDS = 86400.0
_HIGHEST_PRICE = 10**12
_LONGEST_CONTEXT = 10**9
_KEPT = ("targets", "fallback", "sticky", "policy", "exam", "bar", "timeouts", "retries")


def put(db: Database, endpoint: Endpoint) -> Endpoint:
    """Add an endpoint, or replace the one of its name, whose id stays; return it as kept.

    Raises BadRequest for what cannot be (no target, no weight, a price below 0, a provider that is not there, a chain
    of fallbacks that comes back to where it began), NotFound for an unknown workspace.
    """
    _check(endpoint)
    with db.writing() as conn:
        serialise(conn, "providers", endpoint.workspace)
        serialise(conn, "endpoints", endpoint.workspace)
        others = {each.name: each for each in _all(conn, endpoint.workspace)}
        _check_providers(conn, endpoint)
        _check_chain(endpoint, {name: each.fallback for name, each in others.items()})
        if earlier := others.get(endpoint.name):
            endpoint = replace(endpoint, id=earlier.id, created=earlier.created)
        insert(conn, ENDPOINTS, [to_row(endpoint)], _KEPT)
        changes.bump(conn)
        facts = {"name": endpoint.name, "targets": [f"{one.model}@{one.provider}" for one in endpoint.targets]}
        audit.note(conn, endpoint.workspace, "", "endpoint.set", endpoint.id, facts)
    return endpoint


def get(db: Database, ws: str, name: str) -> Endpoint:
    """Return an endpoint; raise NotFound."""
    query = sa.select(ENDPOINTS).where(ENDPOINTS.c.workspace == ws, ENDPOINTS.c.name == name)
    with db.reading() as conn:
        return from_row(Endpoint, one(conn, query, f"endpoint {name}"))


def find(db: Database, ws: str) -> list[Endpoint]:
    """Return the endpoints of a workspace, by name."""
    with db.reading() as conn:
        return _all(conn, ws)


def all_of(db: Database) -> list[Endpoint]:
    """Return the endpoints of every workspace."""
    with db.reading() as conn:
        return _all(conn)


def remove(db: Database, ws: str, name: str) -> None:
    """Forget an endpoint; raise NotFound."""
    where = sa.and_(ENDPOINTS.c.workspace == ws, ENDPOINTS.c.name == name)
    with db.writing() as conn:
        one(conn, sa.select(ENDPOINTS.c.id).where(where), f"endpoint {name}")
        conn.execute(sa.delete(ENDPOINTS).where(where))
        changes.bump(conn)
        audit.note(conn, ws, "", "endpoint.removed", name)


def check_name(name: str, param: str) -> None:
    """Raise BadRequest for what cannot name an endpoint."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:80]!r} cannot name an endpoint.",
            "Use 1 to 128 letters, digits and ._:/-, beginning with a letter or digit.",
            param,
        )


def _all(conn: Connection, ws: str = "") -> list[Endpoint]:
    query = sa.select(ENDPOINTS).order_by(ENDPOINTS.c.workspace, ENDPOINTS.c.name)
    return [from_row(Endpoint, row) for row in rows(conn, query.where(ENDPOINTS.c.workspace == ws) if ws else query)]


def _check(endpoint: Endpoint) -> None:
    check_name(endpoint.name, "name")
    for name in endpoint.fallback:
        check_name(name, "fallback")
    if len(endpoint.fallback) > _MOST_FALLBACKS or len(set(endpoint.fallback)) < len(endpoint.fallback):
        raise BadRequest(f"Up to {_MOST_FALLBACKS} fallbacks, each once.", param="fallback")
    _check_targets(endpoint.targets)
    if endpoint.sticky not in {"", "conversation", "prefix"}:
        raise BadRequest(f"{endpoint.sticky!r} is nothing to stick to.", "Choices: conversation, prefix.", "sticky")
    if endpoint.policy not in {"weighted", "cheapest"}:
        raise BadRequest(f"{endpoint.policy!r} is no policy.", "Choices: weighted, cheapest.", "policy")
    if endpoint.policy == "cheapest" and not endpoint.exam:
        raise BadRequest("The policy cheapest needs an exam, and the score to reach.", param="exam")
    if not 0 <= endpoint.bar <= 1:
        raise BadRequest("bar is a share from 0 to 1.", param="bar")
    if not 0 <= endpoint.retries <= _MOST_RETRIES:
        raise BadRequest(f"retries is a number from 0 to {_MOST_RETRIES}.", param="retries")
    for phase, seconds in endpoint.timeouts.items():
        _check_timeout(phase, seconds)


def _check_timeout(phase: str, seconds: object) -> None:
    number = seconds if isinstance(seconds, int | float) and not isinstance(seconds, bool) else -1
    lowest = 0 if phase == "total" else 0.001
    if phase not in PHASES or not lowest <= number <= _LONGEST_SECONDS:
        hint = f"Seconds for {', '.join(PHASES)}; total 0 is no limit."
        raise BadRequest(f"The timeout {phase[:40]!r} cannot be.", hint, "timeouts")


def _check_targets(targets: Sequence[Target]) -> None:
    if not 0 < len(targets) <= _MOST_TARGETS:
        raise BadRequest(f"An endpoint has 1 to {_MOST_TARGETS} targets.", param="targets")
    for target in targets:
        _check_target(target)
    if not any(target.weight for target in targets):
        raise BadRequest("No target has a weight.", "Give one of them a weight above 0.", "targets")
    if len({(target.model, target.provider) for target in targets}) < len(targets):
        raise BadRequest("A model is there twice.", "Add up its weights.", "targets")


def _check_target(target: Target) -> None:
    if not 0 < len(target.model) <= 256 or not target.model.isprintable():
        raise BadRequest("A target names a model with 1 to 256 characters.", param="targets")
    if not (math.isfinite(target.weight) and 0 <= target.weight <= 1e6):
        raise BadRequest(f"The weight of {target.model} is not between 0 and a million.", param="targets")
    if not (0 <= target.price_in <= _HIGHEST_PRICE and 0 <= target.price_out <= _HIGHEST_PRICE):
        raise BadRequest(f"A price of {target.model} is below 0, or beyond reason.", param="targets")
    if not 0 <= target.context <= _LONGEST_CONTEXT:
        raise BadRequest(f"The context of {target.model} is no number of tokens.", param="targets")


def _check_providers(conn: Connection, endpoint: Endpoint) -> None:
    query = sa.select(PROVIDERS.c.name).where(PROVIDERS.c.workspace == endpoint.workspace)
    known = {"", *conn.scalars(query)}
    for target in endpoint.targets:
        if target.provider not in known:
            raise BadRequest(f"There is no provider {target.provider[:80]!r}.", "Add it first.", "targets")


def _check_chain(endpoint: Endpoint, fallbacks: Mapping[str, tuple[str, ...]]) -> None:
    seen: set[str] = set()
    waiting = list(endpoint.fallback)
    while waiting:
        name = waiting.pop()
        if name == endpoint.name:
            raise BadRequest(f"The fallbacks of {name} come back to it.", "Leave one of them out.", "fallback")
        if name not in seen:
            seen.add(name)
            waiting.extend(fallbacks.get(name, ()))
