"""What is in force, in memory: keys, endpoints, deployments, limits, providers, and what must not leave.

It follows the store by its change number, so no call ever waits for the database. This module knows who may call and
what each name means. It does not know what is asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from feilun.errors import FeilunError
from feilun.records import Deployment, Endpoint, Key, Limit, Provider, Target
from feilun.store import Database, changes, evals, keys, models, rollouts, sources, verdicts, workspaces
from feilun.store.access import endpoints, limits, providers
from feilun.store.rollouts import Rollout

POLL_SECONDS = 0.3
_log = logging.getLogger(__name__)

Prepare = Callable[[Deployment], Awaitable[None]]
Scores = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Private:
    """What of a workspace must not leave: sources by id, and texts by digest, each with the reason.

    ``free`` are the sources that may; one that is in neither is not known, and must not leave.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    free: frozenset[str] = frozenset()

    def knows(self, names: Iterable[str]) -> bool:
        """Say whether all of these sources are known."""
        return all(name in self.sources or name in self.free for name in names)


_NOTHING = Private()


@dataclass(slots=True)
class Found:
    """Everything that was read from the store at one number."""

    keys: dict[str, Key] = field(default_factory=dict)
    deployments: dict[tuple[str, str], Deployment] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], Endpoint] = field(default_factory=dict)
    limits: list[Limit] = field(default_factory=list)
    providers: list[tuple[Provider, str]] = field(default_factory=list)
    private: dict[str, Private] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    turned_on: dict[tuple[str, str], str] = field(default_factory=dict)
    on: dict[tuple[str, str], str] = field(default_factory=dict)
    rollouts: list[Rollout] = field(default_factory=list)
    divided: dict[tuple[str, str], Endpoint] = field(default_factory=dict)


class Snapshot:
    """What is in force now. ``heard`` are told whenever something changed."""

    def __init__(self, db: Database) -> None:
        """Start empty; :meth:`refresh` reads the store."""
        self._db = db
        self._number = -1
        self._now = Found()
        self._promoted: dict[tuple[str, str], Endpoint] = {}
        self._ready: dict[tuple[str, str], str] = {}  # the last deployment that was prepared
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._guard = asyncio.Lock()
        self.prepared: set[str] = set()  # rollouts whose candidates can serve
        self.heard: list[Callable[[Found], None]] = []

    def key(self, secret: str) -> Key | None:
        """Return the key with this secret, unless it is unknown, revoked or expired."""
        return self.by_sum(hashlib.sha256(secret.encode(errors="replace")).hexdigest())

    def by_sum(self, sha: str) -> Key | None:
        """Return the key whose secret has this SHA-256 (hex), unless it is unknown, revoked or expired."""
        found = self._now.keys.get(sha)
        # The look-up by digest tells nothing about the secret; the comparison takes the same time for all.
        if found is None or not hmac.compare_digest(found.sha256, sha):
            return None
        if found.expires is not None and found.expires <= time.time():
            return None
        return found

    def route(self, ws: str, endpoint: str) -> Deployment | None:
        """Return what was promoted to an endpoint of a workspace."""
        return self._now.deployments.get((ws, endpoint))

    def routes(self, ws: str) -> list[Deployment]:
        """Return what was promoted to every endpoint of a workspace."""
        return [found for (workspace, _), found in sorted(self._now.deployments.items()) if workspace == ws]

    def endpoints(self, ws: str) -> list[Endpoint]:
        """Return the endpoints that somebody set up in a workspace."""
        return [found for (workspace, _), found in sorted(self._now.endpoints.items()) if workspace == ws]

    def endpoint(self, ws: str, name: str) -> tuple[Endpoint, str] | None:
        """Return the endpoint of a name and the deployment behind it: one that was set up, else what was promoted."""
        found = self._now.endpoints.get((ws, name))
        if found is not None:
            return found, ""
        deployment = self._now.deployments.get((ws, name))
        if deployment is None:
            return None
        divided = self._now.divided.get((ws, name))
        if divided is not None:
            return divided, deployment.id
        kept = self._promoted.get((ws, name))
        if kept is None or kept.id != deployment.id:
            kept = self._promoted[ws, name] = implicit(ws, name, deployment.model, deployment.id)
        return kept, deployment.id

    def rollouts(self) -> list[Rollout]:
        """Return what every workspace tries now."""
        return self._now.rollouts

    def deployed(self, rollout: Rollout) -> str:
        """Return the deployment that serves a rollout's endpoint; empty if none."""
        found = self._now.deployments.get((rollout.workspace, rollout.endpoint))
        return found.id if found else ""

    def offer(self, rollout: str) -> None:
        """Let calls go to a rollout's candidate from now on: it can serve."""
        self.prepared.add(rollout)
        self._now.divided = self._divide(self._now)

    def _divide(self, found: Found) -> dict[tuple[str, str], Endpoint]:
        """Return the endpoints whose calls are divided; a conversation stays where its hash puts it."""
        return {
            (one.workspace, one.endpoint): divided(one)
            for one in found.rollouts
            if one.id in self.prepared
            and (now := found.deployments.get((one.workspace, one.endpoint))) is not None
            and now.id == one.deployment
        }

    def on(self, ws: str, model: str) -> str:
        """Return why a version answers to its id: a deployment, an endpoint, or who turned it on; empty: it is off."""
        return self._now.on.get((ws, model), "")

    def private(self, ws: str) -> Private:
        """Return what of a workspace must not leave; known for workspaces that call providers."""
        return self._now.private.get(ws, _NOTHING)

    def scores(self, ws: str) -> Scores:
        """Return the share right of every model on every exam of a workspace with cost-aware endpoints."""
        return self._now.scores.get(ws, {})

    async def refresh(self, prepare: Prepare | None = None) -> None:
        """Read what changed, and put it in force at once.

        Only a deployment that takes the place of another waits until ``prepare`` has made it servable.
        """
        async with self._guard:
            number = await asyncio.to_thread(changes.number, self._db)
            if number == self._number:
                return
            found = await asyncio.to_thread(self._read)
            if prepare is not None:
                self._hold_back(found, prepare)
            found.divided = self._divide(found)
            found.on = models.on(found.turned_on, found.deployments.values(), found.endpoints.values())
            self._now = found
            for hear in self.heard:
                hear(found)
            self._number = number

    def _hold_back(self, found: Found, prepare: Prepare) -> None:
        """Let earlier deployments go on serving until what takes their place is ready."""
        before = self._now.deployments
        for place, deployment in list(found.deployments.items()):
            if before.get(place) == deployment or self._ready.get(place) == deployment.id:
                continue
            if deployment.id not in self._preparing:
                work = self._prepare(place, deployment, prepare)
                self._preparing[deployment.id] = asyncio.get_running_loop().create_task(work)
            if place in before:
                found.deployments[place] = before[place]

    async def _prepare(self, place: tuple[str, str], deployment: Deployment, prepare: Prepare) -> None:
        try:
            await prepare(deployment)
            self._ready[place] = deployment.id
        except FeilunError as error:
            _log.warning("deployment %s cannot serve yet: %s", deployment.id, error.message)
            await asyncio.sleep(POLL_SECONDS)
        finally:
            del self._preparing[deployment.id]
            self._number = -1  # look again, and try again if it failed

    async def settled(self, prepare: Prepare) -> None:
        """Read what changed; return once what is being prepared is in force, or cannot be yet."""
        await self.refresh(prepare)
        if self._preparing:
            await asyncio.wait(self._preparing.values())
            await self.refresh(prepare)

    async def follow(self, prepare: Prepare) -> None:
        """Refresh for ever."""
        try:
            while True:
                try:
                    await self.refresh(prepare)
                except FeilunError as error:
                    _log.warning("the store cannot be read: %s", error.message)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for task in self._preparing.values():
                task.cancel()

    def _read(self) -> Found:
        db = self._db
        found = Found(keys=keys.all_active(db), limits=limits.all_of(db), turned_on=models.turned_on(db))
        for ws in workspaces.names(db):
            for deployment in verdicts.deployments(db, ws):
                found.deployments[ws, deployment.endpoint] = deployment
        found.rollouts = rollouts.running(db)
        found.endpoints = {(one.workspace, one.name): one for one in endpoints.all_of(db)}
        for provider in providers.all_of(db):
            try:
                found.providers.append((provider, providers.unseal(db, provider)))
            except FeilunError as error:
                _log.warning("provider %s cannot be used: %s", provider.name, error.message)
        outside = {one.workspace for one in found.endpoints.values() if any(target.provider for target in one.targets)}
        found.private = {ws: _private(db, ws) for ws in outside}
        aware = {one.workspace for one in found.endpoints.values() if one.policy == "cheapest"}
        found.scores = {ws: _scores(db, ws) for ws in aware}
        return found


def implicit(ws: str, name: str, model: str, endpoint_id: str = "") -> Endpoint:
    """Return the endpoint of a name that stands for one model that is served here."""
    return Endpoint(endpoint_id or f"endpoint-{name}", ws, name, (Target(model),), created=0.0)


def divided(rollout: Rollout) -> Endpoint:
    """Return the endpoint of a rollout: what serves it so far, first, and the candidate with its share of the calls."""
    targets = (
        Target(rollout.incumbent, weight=1.0 - rollout.share),
        Target(rollout.model, weight=rollout.share),
    )
    found = implicit(rollout.workspace, rollout.endpoint, rollout.incumbent, rollout.deployment)
    return replace(found, targets=targets, sticky="conversation")


def _private(db: Database, ws: str) -> Private:
    free = frozenset(source.id for source in sources.permitted(db, ws, "send_outside"))
    return Private(*sources.refusals(db, ws, "send_outside"), free)


def _scores(db: Database, ws: str) -> Scores:
    """Return the latest result of every model on every exam, by the exam's name and by its id."""
    found: dict[tuple[str, str], float] = {}
    for exam in evals.find(db, ws):
        for run in evals.find_runs(db, ws, exam.id):
            total = run.meta.get("total") or 0
            if run.status != "succeeded" or not total:
                continue
            share = run.meta.get("passed", 0) / total
            for name in (run.model, str(run.meta.get("model") or "")):
                if name:
                    found[exam.name, name] = found[exam.id, name] = share
    return found
