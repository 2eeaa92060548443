"""Keys and deployments in memory, following the store by its change number: no database on a call's way.

This module knows who may call and what each endpoint serves. It does not know what is asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable

from feilun.errors import FeilunError
from feilun.records import Deployment, Key
from feilun.store import Database, changes, keys, verdicts, workspaces

POLL_SECONDS = 0.5
_log = logging.getLogger(__name__)

Prepare = Callable[[Deployment], Awaitable[None]]


class Snapshot:
    """What is in force now."""

    def __init__(self, db: Database) -> None:
        """Start empty; :meth:`refresh` reads the store."""
        self._db = db
        self._number = -1
        self._keys: dict[str, Key] = {}
        self._routes: dict[tuple[str, str], Deployment] = {}
        self._guard = asyncio.Lock()

    def key(self, secret: str) -> Key | None:
        """Return the key with this secret, unless it is unknown or revoked."""
        return self._keys.get(hashlib.sha256(secret.encode(errors="replace")).hexdigest())

    def route(self, ws: str, endpoint: str) -> Deployment | None:
        """Return what an endpoint of a workspace serves."""
        return self._routes.get((ws, endpoint))

    def routes(self, ws: str) -> list[Deployment]:
        """Return what every endpoint of a workspace serves."""
        return [deployment for (workspace, _), deployment in sorted(self._routes.items()) if workspace == ws]

    async def refresh(self, prepare: Prepare | None = None) -> None:
        """Read what changed. ``prepare`` makes a new deployment servable before calls go to it."""
        async with self._guard:
            number = await asyncio.to_thread(changes.number, self._db)
            if number == self._number:
                return
            self._keys, found = await asyncio.to_thread(self._read)
            ready = True
            for place, deployment in found.items():
                if self._routes.get(place) == deployment:
                    continue
                try:
                    if prepare is not None:
                        await prepare(deployment)
                except FeilunError as error:
                    _log.warning("deployment %s cannot serve yet: %s", deployment.id, error.message)
                    if place in self._routes:
                        ready = False  # the earlier one goes on serving; try again at the next look
                        continue
                self._routes[place] = deployment
            self._number = number if ready else -1

    async def follow(self, prepare: Prepare) -> None:
        """Refresh for ever."""
        while True:
            try:
                await self.refresh(prepare)
            except FeilunError as error:
                _log.warning("the store cannot be read: %s", error.message)
            await asyncio.sleep(POLL_SECONDS)

    def _read(self) -> tuple[dict[str, Key], dict[tuple[str, str], Deployment]]:
        found: dict[tuple[str, str], Deployment] = {}
        for ws in workspaces.names(self._db):
            for deployment in verdicts.deployments(self._db, ws):
                found[ws, deployment.endpoint] = deployment
        return keys.all_active(self._db), found
