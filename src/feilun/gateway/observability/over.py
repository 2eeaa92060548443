"""A call that is over, as operators are told of it. Knows what a call leaves behind; does not know whom it is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from feilun.errors import FeilunError, UpstreamError
from feilun.gateway.hotpath.calls import Call
from feilun.gateway.hotpath.reading import Reading
from feilun.gateway.hotpath.upstream import Remote, Sent
from feilun.records import Usage

LOCAL = "feilun"
LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class Over:
    """The call, what answered it (``sent``, ``reading``: None if nothing did), how it ended and what it used.

    ``first`` is the time to the first token, ``seconds`` that to the end (s); ``error`` is the code of what went wrong;
    ``server`` is where the call was sent.
    """

    call: Call
    sent: Sent | None
    reading: Reading | None
    status: str
    usage: Usage
    first: float
    seconds: float
    error: str
    server: tuple[str, int] | None

    @property
    def name(self) -> str:
        """Return what was asked for: an endpoint, or any text where there is none."""
        return self.call.name[:LONGEST_NAME]

    @property
    def model(self) -> str:
        """Return what answered: a model version's id, or ``provider/model``; empty if nothing did."""
        return self.sent.model if self.sent is not None else ""

    @property
    def provider(self) -> str:
        """Return the provider's name, or ours."""
        return (self.sent.choice.target.provider if self.sent is not None else "") or LOCAL

    def finishes(self) -> list[str]:
        """Return how each answer ended."""
        said = self.reading.said if self.reading is not None else {}
        return [said[index].finish or self.status for index in sorted(said)]

    def texts(self) -> list[str]:
        """Return the text of each answer."""
        said = self.reading.said if self.reading is not None else {}
        return ["".join(said[index].parts) for index in sorted(said)]


def error_code(status: str) -> str:
    """Return the code of what a call failed with, which is what is being handled just now; empty if it did not."""
    error = sys.exception()
    if status == "ok":
        return ""
    if isinstance(error, FeilunError):
        return error.code
    if error is not None:
        return type(error).__name__
    return UpstreamError.code if status == "error" else ""


def server_of(sent: Sent | None, remotes: Mapping[tuple[str, str], Remote]) -> tuple[str, int] | None:
    """Return the host and port that a call was sent to."""
    if sent is None:
        return None
    if sent.place is not None:
        return sent.place.host, sent.place.port
    remote = remotes.get((sent.choice.endpoint.workspace, sent.choice.target.provider))
    return (remote.origin.host, remote.origin.port) if remote is not None else None
