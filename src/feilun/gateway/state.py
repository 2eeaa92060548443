"""What the endpoints of one gateway share, and how they get at it. Knows no endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from feilun.gateway.answering import Answering
from feilun.gateway.background import Background
from feilun.gateway.snapshot import Snapshot
from feilun.gateway.writer import Writer
from feilun.settings import Settings
from feilun.store import Database, Journal


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway: the store, what follows it in memory, the engine, the writer of traces, the background jobs."""

    settings: Settings
    db: Database
    journal: Journal
    snapshot: Snapshot
    answering: Answering
    writer: Writer
    background: Background


def _gateway(request: Request) -> Gateway:
    found: Gateway = request.app.state.gateway
    return found


Here = Annotated[Gateway, Depends(_gateway)]
