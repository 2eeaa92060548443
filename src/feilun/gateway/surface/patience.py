"""Calls that a job makes for somebody: with a key that still holds, and with patience for limits and failures.

This module knows keys, and which errors pass. It does not know what is asked, nor which job asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from feilun.errors import BudgetExhausted, EngineError, NotFound, RateLimited, Unauthorized
from feilun.records import JSON, Key
from feilun.store import Database, keys
from feilun.store.access import members

KEY_SECONDS = 1.0
LONGEST_WAIT = 60.0


class Holder:
    """Whose job it is: the key, looked up again every second, since it may be revoked while the job runs."""

    def __init__(self, db: Database, ws: str, key_id: str, job: str) -> None:
        """Name the key; ``job`` is what people call the job."""
        self._db, self._ws, self._id, self._job = db, ws, key_id, job
        self._found: Key | None = None
        self._looked = 0.0

    async def key(self) -> Key:
        """Return the key; raise Unauthorized once it may not be used any more."""
        now = time.monotonic()
        if self._found is None or now - self._looked > KEY_SECONDS:
            self._found = await asyncio.to_thread(self._look)
            self._looked = now
        return self._found

    def _look(self) -> Key:
        try:
            key = keys.get(self._db, self._ws, self._id)
            gone = bool(key.member) and members.get(self._db, self._ws, key.member).removed
        except NotFound as error:
            raise Unauthorized(f"The key of this {self._job} is gone.", f"Make a new {self._job}.") from error
        if key.revoked or gone or (key.expires is not None and key.expires <= time.time()):
            raise Unauthorized(f"The key of this {self._job} was revoked or has expired.", f"Make a new {self._job}.")
        return key


async def patiently(ask: Callable[[], Awaitable[JSON]], until: float, tries: int, pause: float) -> JSON:
    """Return an answer. Wait for limits until the time ``until`` (TimeoutError); try again when engines fail.

    The pause between tries (s) doubles. After the last one the first failure is raised: a circuit that it opened would
    hide the reason.
    """
    failures: list[EngineError] = []
    while time.time() < until:
        try:
            return await ask()
        except BudgetExhausted:
            raise
        except RateLimited as error:
            await asyncio.sleep(min(max(error.retry_after, 0.05), max(0.0, until - time.time()), LONGEST_WAIT))
        except EngineError as error:
            failures.append(error)
            if len(failures) == tries:
                raise failures[0] from error
            await asyncio.sleep(pause * 2.0 ** (len(failures) - 1))
    raise TimeoutError
