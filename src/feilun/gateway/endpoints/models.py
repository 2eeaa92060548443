"""``/v1/models``: the base, the workspace's endpoints and its own versions, which can be turned on and off.

Knows names and which of them answer; does not know weights.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from feilun.errors import BadRequest
from feilun.gateway.door import Builder, Viewer
from feilun.gateway.shapes import Page, page
from feilun.gateway.state import Gateway, Here
from feilun.records import Endpoint, ModelVersion
from feilun.store import models
from feilun.store.access import revoked

router = APIRouter(tags=["models"])


class Model(BaseModel):
    """Something that can be named as ``model``: a base, an endpoint, or one version (``adapter``).

    ``model_version`` and ``base`` are empty for an endpoint that was set up: several models may be behind it. A version
    answers only when it is ``on``: ``on_by`` is the deployment, endpoint, key or job that has it so.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    kind: Literal["base", "endpoint", "adapter"]
    model_version: str
    base: str
    name: str
    deployment: str | None = None
    on: bool = True
    on_by: str | None = None


@router.get("/v1/models")
async def list_models(here: Here, key: Viewer) -> Page[Model]:
    """List what this workspace may name as ``model``."""
    return Page[Model](**page(await _models(here, key.workspace), more=False))


@router.get("/v1/models/{model:path}")
async def retrieve_model(model: str, here: Here, key: Viewer) -> Model:
    """Return one of them."""
    for endpoint in here.snapshot.endpoints(key.workspace):
        if endpoint.name == model:
            return _set_up(endpoint)
    route = await here.answering.route(key.workspace, model)
    base = await here.answering.base()
    if route.deployment:
        deployment = here.snapshot.route(key.workspace, model)
        created = deployment.created if deployment else route.version.created
        return _endpoint(model, created, key.workspace, route.version, base.name).model_copy(
            update={"deployment": route.deployment}
        )
    return _version(here, key.workspace, route.version, base)


class Switched(BaseModel):
    """A version that now answers to its id, or does not; ``on_by`` is what has it on."""

    id: str
    object: Literal["model"] = "model"
    on: bool
    on_by: str | None


@router.post("/api/models/{model}/on")
async def turn_model_on(model: str, here: Here, key: Builder) -> Switched:
    """Have a version answer to its id without a verdict; calls to it are answered from now on."""
    await asyncio.to_thread(revoked.turn_on, here.db, key.workspace, model, key.id)
    return await _switched(here, key.workspace, model)


@router.post("/api/models/{model}/off")
async def turn_model_off(model: str, here: Here, key: Builder) -> Switched:
    """Take that back: within a second no call to its id is answered any more. Not while a name stands for it."""
    await asyncio.to_thread(models.turn_off, here.db, key.workspace, model)
    return await _switched(here, key.workspace, model)


class Unloaded(BaseModel):
    """A version that no engine holds any more; its next call loads it again."""

    id: str
    object: Literal["model"] = "model"
    loaded: Literal[False] = False


@router.post("/api/models/{model}/unload")
async def unload_model(model: str, here: Here, key: Builder) -> Unloaded:
    """Take an adapter out of its engine's memory; its calls go on to their end, and a later one loads it again."""
    version = (await here.answering.route(key.workspace, model)).version
    if version.kind == "base":
        raise BadRequest("A base is shared, and is stopped when its memory is needed.", "Name an adapter.", "model")
    await here.fleet.unload(version.id)
    return Unloaded(id=version.id)


async def _models(here: Gateway, ws: str) -> list[Model]:
    base = await here.answering.base()
    versions = {version.id: version for version in await asyncio.to_thread(models.find, here.db, ws)}
    endpoints = here.snapshot.endpoints(ws)
    found = [_version(here, ws, base, base), *map(_set_up, endpoints)]
    names = {endpoint.name for endpoint in endpoints}
    for deployment in here.snapshot.routes(ws):
        version = versions.get(deployment.model)
        if version is not None and deployment.endpoint not in names:
            endpoint = _endpoint(deployment.endpoint, deployment.created, ws, version, base.name)
            found.append(endpoint.model_copy(update={"deployment": deployment.id}))
    own = [version for version in versions.values() if version.kind == "adapter" and version.base == base.id]
    return found + [_version(here, ws, version, base) for version in own]


async def _switched(here: Gateway, ws: str, model: str) -> Switched:
    await here.snapshot.refresh(here.answering.prepare)
    why = here.snapshot.on(ws, model)
    return Switched(id=model, on=bool(why), on_by=why or None)


def _set_up(endpoint: Endpoint) -> Model:
    return Model(
        id=endpoint.name,
        created=int(endpoint.created),
        owned_by=endpoint.workspace,
        kind="endpoint",
        model_version="",
        base="",
        name=endpoint.name,
    )


def _endpoint(name: str, created: float, ws: str, version: ModelVersion, base: str) -> Model:
    return Model(
        id=name,
        created=int(created),
        owned_by=ws,
        kind="endpoint",
        model_version=version.id,
        base=base,
        name=version.name,
    )


def _version(here: Gateway, ws: str, version: ModelVersion, base: ModelVersion) -> Model:
    is_base = version.kind == "base"
    why = "" if is_base else here.snapshot.on(ws, version.id)
    return Model(
        id=version.name if is_base else version.id,
        created=int(version.created),
        owned_by=version.workspace or "feilun",
        kind=version.kind,
        model_version=version.id,
        base=base.name,
        name=version.name,
        on=is_base or bool(why),
        on_by=why or None,
    )
