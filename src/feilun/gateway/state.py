"""What the endpoints of one gateway share, and how they get at it. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from feilun.gateway.answering import Answering
from feilun.gateway.background import Background
from feilun.gateway.health import ProviderHealth
from feilun.gateway.hotpath import Hotpath
from feilun.gateway.snapshot import Snapshot
from feilun.gateway.writer import Writer
from feilun.records import Key
from feilun.serving.fleet import Fleet
from feilun.settings import Settings
from feilun.store import Database, Journal
from feilun.wire import Exchange


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway: the store and what follows it in memory, the engines, the way of calls, background jobs."""

    settings: Settings
    db: Database
    journal: Journal
    snapshot: Snapshot
    fleet: Fleet
    answering: Answering
    hotpath: Hotpath
    writer: Writer
    background: Background
    health: ProviderHealth


def _gateway(request: Request) -> Gateway:
    found: Gateway = request.app.state.gateway
    return found


Here = Annotated[Gateway, Depends(_gateway)]


async def settled(here: Here) -> None:
    """Have calls that are over in rows before anybody asks about them."""
    await here.writer.settled()


HotHandler = Callable[[Gateway, Key, Exchange], Awaitable[None]]
