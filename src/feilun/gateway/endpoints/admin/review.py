"""``/api/review``: rows that wait for people. Knows who may do what; does not know what decisions come to.

Annotators get rows one by one and decide; builders put rows in, see everything, and make datasets of what is finished.
Who annotates is the member of a key, or the key itself if it is nobody's.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from feilun.curation.recipes import operators
from feilun.feedback import agreement, export, flag_dataset, flag_feedback, review, standings
from feilun.gateway.door import Annotator, Builder, StrictRoute
from feilun.gateway.endpoints.admin import review_forms as forms
from feilun.gateway.endpoints.admin.forms import After, Limit
from feilun.gateway.shapes import Deleted, Page, page
from feilun.gateway.state import Here
from feilun.records import Key
from feilun.store import Database
from feilun.store.access import members
from feilun.store.review import Annotation, ReviewItem, queue
from feilun.store.review.nouns import Status

router = APIRouter(prefix="/review", tags=["review"], route_class=StrictRoute)
OfQueue = Annotated[str | None, Query(alias="queue", max_length=100, description="of which queue; without one, of all")]


@router.post("/next")
async def take_next(given: forms.NextRequest, here: Here, key: Annotator) -> forms.NextObject:
    """Give the caller the next row, or again the one that they have; nobody sees a row twice."""
    return forms.NextObject(
        item=await asyncio.to_thread(_next, here.db, key.workspace, annotator(key), given.queue or "")
    )


@router.post("/items/{review_id}/decision", status_code=201)
async def decide(review_id: str, given: forms.DecisionRequest, here: Here, key: Annotator) -> forms.AnnotationObject:
    """Decide about the row that the caller was given."""
    said = Annotation(review_id, annotator(key), "decided", 0.0, given.decision(), given.reason, given.seconds)
    return forms.annotation_object(await asyncio.to_thread(review.decide, here.db, key.workspace, said))


@router.post("/items/{review_id}/skip", status_code=201)
async def skip(review_id: str, given: forms.SkipRequest, here: Here, key: Annotator) -> forms.AnnotationObject:
    """Leave the row that the caller was given to others."""
    return forms.annotation_object(
        await asyncio.to_thread(review.skip, here.db, key.workspace, review_id, annotator(key), given.reason)
    )


@router.post("/items", status_code=201)
async def add_items(given: forms.ItemsRequest, here: Here, key: Builder) -> Page[forms.ItemObject]:
    """Put rows into the queue: all of them or, if one is wrong, none. The same row again changes nothing."""
    wanted = [one.item(key.workspace) for one in given.items]
    kept = await asyncio.to_thread(review.add, here.db, key.workspace, wanted)
    return Page[forms.ItemObject](**page([_shape(one) for one in kept], False))


@router.get("/items")
async def list_items(
    here: Here,
    key: Builder,
    queue_name: OfQueue = None,
    status: Status | None = None,
    after: After = None,
    limit: Limit = 100,
) -> Page[forms.ItemObject]:
    """List the rows of the queue, oldest first, with their answers if they are known."""
    found = await asyncio.to_thread(
        queue.find, here.db, key.workspace, queue_name or "", status, after or "", limit + 1
    )
    return Page[forms.ItemObject](**page([_shape(one) for one in found[:limit]], len(found) > limit))


@router.get("/items/{review_id}")
async def retrieve_item(review_id: str, here: Here, key: Builder) -> forms.ItemWhole:
    """Return one row with all that was decided about it."""
    return await asyncio.to_thread(_whole, here.db, key.workspace, review_id)


@router.delete("/items/{review_id}")
async def remove_item(review_id: str, here: Here, key: Builder) -> Deleted:
    """Delete a row from the queue with all that was decided about it; datasets that have it keep it."""
    await asyncio.to_thread(queue.remove, here.db, key.workspace, review_id)
    return Deleted(id=review_id, object="review.item")


@router.put("/items/{review_id}/suggestion")
async def suggest(review_id: str, given: forms.SuggestionShape, here: Here, key: Builder) -> forms.ItemObject:
    """Set what a model would decide about a row; annotators see it, and it counts for nothing until one agrees."""
    return _shape(await asyncio.to_thread(review.suggest, here.db, key.workspace, review_id, given.suggestion()))


@router.post("/items/{review_id}/resolution", status_code=201)
async def resolve(review_id: str, given: forms.DecisionRequest, here: Here, key: Builder) -> forms.ItemObject:
    """End a row by one's own word, say one that three people could not agree on."""
    decision, who = given.decision(), annotator(key)
    return _shape(
        await asyncio.to_thread(review.resolve, here.db, key.workspace, review_id, decision, given.reason, who)
    )


@router.post("/feedback", status_code=201)
async def flag(given: forms.FlagRequest, here: Here, key: Builder) -> forms.FlaggedObject:
    """Put answers that people judged bad or corrected into the queue; doing it again adds nothing twice."""
    found = await asyncio.to_thread(flag_feedback, here.db, key.workspace, given.feedback, given.queue, given.needed)
    left_out = [forms.LeftOut(id=one, reason=reason) for one, reason in found.left_out]
    return forms.FlaggedObject(data=[_shape(one) for one in found.items], left_out=left_out)


@router.post("/dataset", status_code=201)
async def flag_records(given: forms.DatasetRequest, here: Here, key: Builder) -> forms.FlaggedObject:
    """Put the records of a dataset version that operators flagged into the queue, each with the operator's words."""
    like = ReviewItem("", key.workspace, given.queue, given.kind, {}, (), {}, needed=given.needed)
    found = await asyncio.to_thread(flag_dataset, here.db, given.dataset, like, _words)
    return forms.FlaggedObject(data=[_shape(one) for one in found], left_out=[])


@router.get("/agreement")
async def show_agreement(here: Here, key: Builder, queue_name: OfQueue = None) -> Page[forms.AgreementObject]:
    """Say how far people agree, by queue and kind of rows."""
    found = await asyncio.to_thread(agreement, here.db, key.workspace, queue_name or "")
    told = [forms.AgreementObject(id=f"{one.queue}/{one.kind}/{n}", **asdict(one)) for n, one in enumerate(found)]
    return Page[forms.AgreementObject](**page(told, False))


@router.get("/annotators")
async def list_annotators(here: Here, key: Builder, queue_name: OfQueue = None) -> Page[forms.StandingObject]:
    """Say how each annotator does, and how often they were right on rows whose answer is known."""
    told = await asyncio.to_thread(_standings, here.db, key.workspace, queue_name or "")
    return Page[forms.StandingObject](**page(told, False))


@router.post("/export", status_code=201)
async def export_rows(given: forms.ExportRequest, here: Here, key: Builder) -> forms.ExportObject:
    """Make a dataset version of the finished rows whose sources permit the purpose."""
    made = await asyncio.to_thread(export, here.db, key.workspace, given.dataset, given.queue or "", given.purpose)
    version = made.version
    left_out = [forms.LeftOut(id=one, reason=reason) for one, reason in made.left_out]
    return forms.ExportObject(
        dataset=version.id, name=version.name, version=version.version, rows=version.rows, left_out=left_out
    )


def annotator(key: Key) -> str:
    """Return who annotates with a key."""
    return key.member or key.id


def _words(operator: str, reason: str) -> tuple[str, str]:
    known = operators().get(operator)
    return known.reasons.get(reason, (reason, reason)) if known else (reason, reason)


def _next(db: Database, ws: str, who: str, name: str) -> forms.TaskObject | None:
    given = review.following(db, ws, who, name)
    if given is None:
        return None
    item, until = given
    return forms.TaskObject(
        id=item.id,
        queue=item.queue,
        kind=item.kind,
        row=item.row,
        why=item.why,
        options=list(item.options),
        suggestion=forms.suggestion_object(item.suggestion),
        until=until,
    )


def _standings(db: Database, ws: str, name: str) -> list[forms.StandingObject]:
    names = {one.id: one.name for one in members.find(db, ws)}
    found = [asdict(one) for one in standings(db, ws, name)]
    told = [(one.pop("annotator"), one) for one in found]
    return [forms.StandingObject(id=who, name=names.get(who, ""), **one) for who, one in told]


def _whole(db: Database, ws: str, item_id: str) -> forms.ItemWhole:
    item = queue.get(db, ws, item_id)
    made = [forms.annotation_object(one) for one in queue.decisions(db, ws, item_id)]
    return forms.ItemWhole(**_shape(item).model_dump(), annotations=made)


def _shape(item: ReviewItem) -> forms.ItemObject:
    return forms.ItemObject(
        id=item.id,
        queue=item.queue,
        kind=item.kind,
        row=item.row,
        sources=list(item.sources),
        why=item.why,
        options=list(item.options),
        scale=item.scale,
        needed=item.needed,
        gold=forms.decision_object(item.gold),
        suggestion=forms.suggestion_object(item.suggestion),
        status=item.status,
        result=item.result,
        created_at=int(item.created),
    )
