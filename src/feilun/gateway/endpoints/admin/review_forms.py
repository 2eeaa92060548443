"""Shapes of the review queue's bodies. Knows their fields; does not know what becomes of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from feilun.feedback.agreement import Metric
from feilun.feedback.review import LONGEST_REASON, LONGEST_TEXT, MOST_NEEDED, MOST_OPTIONS
from feilun.gateway.shapes import Strict
from feilun.records import JSON
from feilun.store.review import Annotation, Decision, ReviewItem, Suggestion
from feilun.store.review.nouns import Action, Kind, Status

Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(min_length=1, max_length=200)]
Queue = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reason = Annotated[str, Field(max_length=LONGEST_REASON)]


class Message(Strict):
    """What somebody says in a row."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text


class RowShape(Strict):
    """A row: a conversation or a text; for ``prefer`` also two answers to it."""

    messages: list[Message] = Field(default=[], max_length=500)
    text: Text = ""
    a: Text = ""
    b: Text = ""
    meta: dict[str, str | int | float | bool | None] = Field(default={}, max_length=50)


class DecisionShape(Strict):
    """A decision: a label, a corrected text, ``a``, ``b`` or ``tie``; nothing for ``accept`` and ``reject``."""

    action: Action
    value: Text = ""

    def decision(self) -> Decision:
        """Return it as the queue has it."""
        return Decision(self.action, self.value)


class SuggestionShape(Strict):
    """What a model would decide; it counts for nothing until a person decides the same."""

    decision: DecisionShape
    by: Id = Field(description="which model: its id or its name")

    def suggestion(self) -> Suggestion:
        """Return it as the queue has it."""
        return Suggestion(self.decision.decision(), self.by)


class ItemRequest(Strict):
    """A row that is to be reviewed. The permissions of its sources hold for it and for what is made of it."""

    kind: Kind
    row: RowShape
    sources: list[Id] = Field(min_length=1, max_length=100)
    queue: Queue = "review"
    why: str = Field(default="", max_length=500)
    why_zh: str = Field(default="", max_length=500)
    options: list[Label] = Field(default=[], max_length=MOST_OPTIONS, description="the labels, in order")
    scale: Metric = "nominal"
    needed: int = Field(default=1, ge=1, le=MOST_NEEDED, description="how many people decide")
    gold: DecisionShape | None = Field(default=None, description="the known answer of a row that measures annotators")
    suggestion: SuggestionShape | None = None

    def item(self, ws: str) -> ReviewItem:
        """Return it as the queue has it."""
        return ReviewItem(
            id="",
            workspace=ws,
            queue=self.queue,
            kind=self.kind,
            row=self.row.model_dump(exclude_defaults=True),
            sources=tuple(sorted(set(self.sources))),
            why={"en": self.why or self.why_zh, "zh": self.why_zh or self.why},
            options=tuple(self.options),
            scale=self.scale,
            needed=self.needed,
            gold=self.gold.decision() if self.gold else None,
            suggestion=self.suggestion.suggestion() if self.suggestion else None,
        )


class ItemsRequest(Strict):
    """Rows that are to be reviewed."""

    items: list[ItemRequest] = Field(min_length=1, max_length=1000)


class FlagRequest(Strict):
    """Which judgements are to be reviewed; without any, all that found something wrong."""

    feedback: list[Id] | None = Field(default=None, max_length=1000)
    queue: Queue = "feedback"
    needed: int = Field(default=1, ge=1, le=MOST_NEEDED)


class DatasetRequest(Strict):
    """Of which dataset version the records that operators flagged are to be reviewed, and how."""

    dataset: Id
    kind: Literal["correct", "accept"] = "accept"
    queue: Queue = "flagged"
    needed: int = Field(default=1, ge=1, le=MOST_NEEDED)


class NextRequest(Strict):
    """From which queue a row is wanted; without one, from any."""

    queue: Queue | None = None


class DecisionRequest(DecisionShape):
    """A decision about the row that one was given; a rejection needs a reason."""

    reason: Reason = ""
    seconds: float = Field(default=0.0, ge=0, le=86_400, description="how long it took")


class SkipRequest(Strict):
    """Why a row is left to others."""

    reason: Reason = ""


class ExportRequest(Strict):
    """Which finished rows become a dataset version, under which name, and what for."""

    dataset: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
    queue: Queue | None = None
    purpose: Literal["train", "retrieve", "evaluate"] = "train"


class TaskObject(BaseModel):
    """A row to decide about, as annotators see it; ``until`` (seconds since 1970) it is theirs."""

    id: str
    object: Literal["review.task"] = "review.task"
    queue: str
    kind: Kind
    row: JSON
    why: dict[str, str]
    options: list[str]
    suggestion: JSON | None
    until: float


class NextObject(BaseModel):
    """The next row, or null if none waits for the caller."""

    object: Literal["review.next"] = "review.next"
    item: TaskObject | None


class AnnotationObject(BaseModel):
    """What somebody decided about a row, or that they skipped it, or have it now."""

    object: Literal["review.annotation"] = "review.annotation"
    item: str
    annotator: str
    state: Literal["leased", "decided", "skipped"]
    decision: JSON | None
    reason: str
    seconds: float
    suggested: bool
    created_at: int


class ItemObject(BaseModel):
    """A row in the queue, as those who run it see it."""

    id: str
    object: Literal["review.item"] = "review.item"
    queue: str
    kind: Kind
    row: JSON
    sources: list[str]
    why: dict[str, str]
    options: list[str]
    scale: Metric
    needed: int
    gold: JSON | None
    suggestion: JSON | None
    status: Status
    result: JSON | None
    created_at: int


class ItemWhole(ItemObject):
    """A row with all that was decided about it."""

    annotations: list[AnnotationObject]


class AgreementObject(BaseModel):
    """How far people agree on one kind of rows; alpha is Krippendorff's, null where it is not defined."""

    object: Literal["review.agreement"] = "review.agreement"
    id: str
    queue: str
    kind: Kind
    scale: Metric
    rows: int
    decisions: int
    people: int
    agreed: float | None
    alpha: float | None


class StandingObject(BaseModel):
    """How an annotator does; ``accuracy`` on rows whose answer is known, with its 95 % interval (Wilson)."""

    object: Literal["review.annotator"] = "review.annotator"
    id: str
    name: str
    decided: int
    skipped: int
    gold: int
    right: int
    accuracy: float | None
    low: float
    high: float
    seconds: float | None
    as_settled: float | None
    suggestions: float | None


class LeftOut(BaseModel):
    """What is not in it, and why."""

    id: str
    reason: str


class FlaggedObject(BaseModel):
    """The rows that judgements became, and the judgements that became none."""

    object: Literal["review.flagged"] = "review.flagged"
    data: list[ItemObject]
    left_out: list[LeftOut]


class ExportObject(BaseModel):
    """The dataset version that finished rows became, and the rows that are not in it."""

    object: Literal["review.export"] = "review.export"
    dataset: str
    name: str
    version: int
    rows: int
    left_out: list[LeftOut]


def annotation_object(one: Annotation) -> AnnotationObject:
    """Return an annotation as people see it."""
    return AnnotationObject(
        item=one.item,
        annotator=one.annotator,
        state=one.state,
        decision=decision_object(one.decision),
        reason=one.reason,
        seconds=one.seconds,
        suggested=one.suggested,
        created_at=int(one.created),
    )


def decision_object(decision: Decision | None) -> JSON | None:
    """Return a decision as people see it."""
    return {"action": decision.action, "value": decision.value} if decision else None


def suggestion_object(one: Suggestion | None) -> JSON | None:
    """Return a suggestion as people see it."""
    return {"decision": decision_object(one.decision), "by": one.by} if one else None
