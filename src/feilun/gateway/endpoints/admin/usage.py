"""``/api/usage``: calls, tokens and cost, by whom and what, as JSON or CSV. Does not know budgets or prices."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from feilun.gateway.door import Viewer
from feilun.gateway.state import Here
from feilun.records import JSON
from feilun.store.access import money
from feilun.store.calls import usage

router = APIRouter(prefix="/usage", tags=["usage"])
_ONE = f"({'|'.join(usage.BY)})"
By = Annotated[
    str, Query(pattern=f"^{_ONE}(,{_ONE})*$", description=f"what to group by, with commas: {', '.join(usage.BY)}")
]
Day = Annotated[str | None, Query(pattern=r"^\d{4}-\d\d-\d\d$", description="a day (UTC), such as 2026-01-31")]
Only = Annotated[str | None, Query(max_length=300)]
Shape = Annotated[Literal["json", "csv"], Query(alias="format")]
_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "sums, in the shape asked for"}
}
_WHOLE = {"builder", "owner"}


class UsageRow(BaseModel):
    """Sums of one group; only what was grouped by is named. ``cost`` is a decimal of money."""

    member: str | None = None
    key: str | None = None
    endpoint: str | None = None
    model: str | None = None
    kind: str | None = None
    day: str | None = None
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost: str


class UsageList(BaseModel):
    """Usage by what was asked for; ``currency`` is that of the costs."""

    object: Literal["list"] = "list"
    currency: str
    data: list[UsageRow]


@router.get("", response_model=UsageList, response_model_exclude_none=True, responses=_CSV)
async def retrieve_usage(
    here: Here,
    key: Viewer,
    by: By = "day,model",
    since: Day = None,
    until: Day = None,
    member: Only = None,
    endpoint: Only = None,
    shape: Shape = "json",
) -> Response | UsageList:
    """Return what was used, each day (UTC) from ``since`` to ``until``; builders see all, others what is theirs."""
    named = {"member": member, "endpoint": endpoint}
    only = {name: value for name, value in named.items() if value is not None}
    if key.role not in _WHOLE:
        only |= {"member": key.member} if key.member else {"key": key.id}
    groups = by.split(",")
    await here.writer.flush()
    found = await asyncio.to_thread(usage.report, here.db, key.workspace, groups, since or "", until or "", only)
    shown = [{**row, "cost": money.amount(row["cost"])} for row in found]
    if shape == "csv":
        return Response(_table(groups, shown), media_type="text/csv; charset=utf-8")
    return UsageList(currency=here.settings.currency, data=[UsageRow(**row) for row in shown])


def _table(groups: list[str], found: list[JSON]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*groups, *(name for name in usage.SUMS if name != "seconds")], extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in found)
    return text.getvalue()


def _cell(value: object) -> object:
    # A spreadsheet would run a name that begins like a formula.
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
