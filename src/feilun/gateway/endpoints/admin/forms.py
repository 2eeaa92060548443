"""Kinds of fields that the forms of this room share. Does not know any of the forms."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import Query
from pydantic import Field

Limit = Annotated[int, Query(ge=1, le=1000, description="how many at most")]
After = Annotated[str | None, Query(description="the id of the last one that was seen")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Money = Annotated[Decimal, Field(ge=0, le=10**9, description="an amount of money, exactly, such as 2.50")]
Price = Annotated[
    Decimal,
    Field(ge=0, le=10**9, description="money per million tokens, exactly, in steps of 0.001, such as 2.50"),
]
