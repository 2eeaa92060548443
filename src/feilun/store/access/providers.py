"""Remote model providers and their keys. Knows their rows; does not know how they are called, or may be reached."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

import sqlalchemy as sa

from feilun.errors import BadRequest, Conflict
from feilun.records import Provider
from feilun.store import audit, changes
from feilun.store.access import sealing
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.schema import ENDPOINTS, PROVIDERS, from_row, to_row

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SECRET = re.compile(r"[!-~]{1,4096}")
_APIS = ("openai", "anthropic")
_LONGEST = 2000


def put(db: Database, provider: Provider, secret: str | None = None) -> Provider:
    """Add a provider, or replace the one of its name, whose id stays; return it as kept.

    ``secret`` is its API key, which is kept encrypted; None leaves the earlier one, an empty text is none. Raises
    BadRequest for a name, API, address or key that cannot be, NotFound for an unknown workspace.
    """
    _check(provider)
    if secret is not None:
        secret = secret.strip()
        if secret and not _SECRET.fullmatch(secret):
            raise BadRequest("A provider's key has printable ASCII characters and no spaces.", param="key")
        hint = f"…{secret[-4:]}" if len(secret) >= 12 else ""
        provider = replace(provider, sealed=sealing.seal(db.root, secret) if secret else "", hint=hint)
    with db.writing() as conn:
        serialise(conn, "providers", provider.workspace)
        found = rows(conn, _select(provider.workspace, provider.name))
        if found:
            earlier = from_row(Provider, found[0])
            provider = replace(provider, id=earlier.id, created=earlier.created)
            if secret is None:
                provider = replace(provider, sealed=earlier.sealed, hint=earlier.hint)
        insert(conn, PROVIDERS, [to_row(provider)], ("api", "url", "sealed", "hint"))
        changes.bump(conn)
        facts = {"name": provider.name, "url": provider.url, "key": provider.hint}
        audit.note(conn, provider.workspace, "", "provider.set", provider.id, facts)
    return provider


def get(db: Database, ws: str, name: str) -> Provider:
    """Return a provider; raise NotFound."""
    with db.reading() as conn:
        return from_row(Provider, one(conn, _select(ws, name), f"provider {name}"))


def find(db: Database, ws: str) -> list[Provider]:
    """Return the providers of a workspace, by name."""
    with db.reading() as conn:
        query = sa.select(PROVIDERS).where(PROVIDERS.c.workspace == ws).order_by(PROVIDERS.c.name)
        return [from_row(Provider, row) for row in rows(conn, query)]


def all_of(db: Database) -> list[Provider]:
    """Return the providers of every workspace."""
    with db.reading() as conn:
        query = sa.select(PROVIDERS).order_by(PROVIDERS.c.workspace, PROVIDERS.c.name)
        return [from_row(Provider, row) for row in rows(conn, query)]


def remove(db: Database, ws: str, name: str) -> None:
    """Forget a provider and its key; raise NotFound, or Conflict while an endpoint uses it."""
    with db.writing() as conn:
        serialise(conn, "providers", ws)
        known = one(conn, _select(ws, name), f"provider {name}")
        query = sa.select(ENDPOINTS.c.name, ENDPOINTS.c.targets).where(ENDPOINTS.c.workspace == ws)
        users = [row["name"] for row in rows(conn, query) if any(each["provider"] == name for each in row["targets"])]
        if users:
            raise Conflict(f"The endpoint {users[0]} uses {name}.", "Change the endpoint first.")
        conn.execute(sa.delete(PROVIDERS).where(PROVIDERS.c.workspace == ws, PROVIDERS.c.id == known["id"]))
        changes.bump(conn)
        audit.note(conn, ws, "", "provider.removed", known["id"], {"name": name})


def unseal(db: Database, provider: Provider) -> str:
    """Return the key of a provider, empty if it has none; raise FeilunError without the right master key."""
    return sealing.unseal(db.root, provider.sealed) if provider.sealed else ""


def _select(ws: str, name: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(PROVIDERS).where(PROVIDERS.c.workspace == ws, PROVIDERS.c.name == name)


def _check(provider: Provider) -> None:
    if not _NAME.fullmatch(provider.name):
        raise BadRequest(
            f"{provider.name[:80]!r} cannot name a provider.",
            "Use 1 to 63 letters, digits, dots, - and _, beginning with a letter or digit.",
            "name",
        )
    if provider.api not in _APIS:
        raise BadRequest(f"{provider.api!r} is no API that we speak.", f"Choices: {', '.join(_APIS)}.", "api")
    try:
        parts = urlsplit(provider.url)
        plain = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        plain = False
    extra = not plain or parts.username is not None or parts.query or parts.fragment
    if extra or len(provider.url) > _LONGEST or not re.fullmatch(r"[!-~]+", provider.url):
        raise BadRequest(
            f"{provider.url.rpartition('@')[2][:100]!r} is no address of a provider.",
            "Give its base address, such as https://api.example.com/v1, without a key in it.",
            "url",
        )
