"""``/api/leaderboard``: models against exams, with intervals and what a right answer costs.

This module knows the shapes. It does not know how the figures are worked out.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from feilun.evaluation.leaderboard import board
from feilun.gateway.door import StrictRoute, Viewer
from feilun.gateway.state import Here, settled

router = APIRouter(prefix="/api", tags=["proof"], dependencies=[Depends(settled)], route_class=StrictRoute)
Bar = Annotated[float | None, Query(ge=0, le=1, description="share that must be reached (default: the pass mark)")]
Only = Annotated[str, Query(max_length=300, description="one exam alone, by id or name")]


class CellObject(BaseModel):
    """One model on one exam. Costs are of one right answer; null is what nobody measured."""

    exam: str
    model: str
    run: str
    complete: bool
    answered: int
    questions: int
    right: int
    share: float
    interval: list[float]
    identity: str
    seconds_per_right: float | None
    joules_per_right: float | None
    money_per_right: float | None


class ModelObject(BaseModel):
    """A model that sat something; ``bytes`` are those of its weights."""

    id: str
    name: str
    kind: str
    bytes: int | None


class ExamObject(BaseModel):
    """An exam, and the smallest model that is shown to pass the bar on it."""

    id: str
    name: str
    smallest: str | None


class Leaderboard(BaseModel):
    """Everything; ``smallest`` passes on all exams of the list. Money is in ``currency``."""

    object: Literal["leaderboard"] = "leaderboard"
    bar: float
    currency: str
    smallest: str | None
    exams: list[ExamObject]
    models: list[ModelObject]
    cells: list[CellObject]


@router.get("/leaderboard")
async def retrieve_leaderboard(
    here: Here, key: Viewer, bar: Bar = None, exam: Only = "", every: bool = False
) -> Leaderboard:
    """Compare the models of the workspace over its exams; of exams of one name the newest, or every one."""
    wanted = here.settings.pass_mark if bar is None else bar
    found = await asyncio.to_thread(board, here.db, key.workspace, wanted, exam, every=every)
    cells = []
    for one in (cell for name in found.exams for cell in found.ranked(name)):
        cost = one.per_right()
        cells.append(
            CellObject(
                exam=one.exam,
                model=one.model,
                run=one.run,
                complete=one.complete,
                answered=one.answered,
                questions=one.questions,
                right=one.right,
                share=one.share,
                interval=list(one.interval),
                identity=one.identity,
                seconds_per_right=cost["seconds"],
                joules_per_right=cost["joules"],
                money_per_right=cost["money"],
            )
        )
    return Leaderboard(
        bar=found.bar,
        currency=here.settings.currency,
        smallest=found.smallest.get(""),
        exams=[ExamObject(id=key, name=name, smallest=found.smallest.get(key)) for key, name in found.exams.items()],
        models=[ModelObject(id=one.id, name=one.name, kind=one.kind, bytes=one.size) for one in found.models],
        cells=cells,
    )
