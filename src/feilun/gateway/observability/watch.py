"""Who is told of calls that are over: the log, OpenTelemetry, both or, as it is by default, nobody.

This module knows who listens. It does not know what they make of it.
"""

from __future__ import annotations

import importlib
import logging
from typing import Protocol

from feilun.errors import MissingDependency
from feilun.gateway.hotpath.calls import Call
from feilun.gateway.hotpath.reading import Reading
from feilun.gateway.hotpath.upstream import Sent, Upstreams
from feilun.gateway.observability.logline import log_call
from feilun.gateway.observability.over import Over, error_code, server_of
from feilun.records import Usage

_TELEMETRY = "feilun.gateway.observability.telemetry"
_log = logging.getLogger(__name__)


class Telling(Protocol):
    """Somebody who is told in the background."""

    def tell(self, over: Over) -> None:
        """Take a call; return at once."""

    def close(self) -> None:
        """Return once all that was told has gone out, or after a while."""


class Watch:
    """Told of every call that is over."""

    def __init__(self, upstreams: Upstreams, telemetry: Telling | None, *, calls: bool, prompts: bool) -> None:
        """Tell ``telemetry``; and the log, if ``calls``, with texts if ``prompts``."""
        self._upstreams, self._telemetry, self._calls, self._prompts = upstreams, telemetry, calls, prompts

    def __call__(
        self,
        call: Call,
        sent: Sent | None,
        reading: Reading | None,
        status: str,
        usage: Usage,
        times: tuple[float, float],
    ) -> None:
        """Tell of a call; what goes wrong here is not the call's matter."""
        try:
            server = server_of(sent, self._upstreams.remotes)
            found = Over(call, sent, reading, status, usage, *times, error_code(status), server)
            if self._calls:
                log_call(found, prompts=self._prompts)
            if self._telemetry is not None:
                self._telemetry.tell(found)
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            _log.warning("%s could not be told: %s", call.id, error)

    def close(self) -> None:
        """Return once everything was told."""
        if self._telemetry is not None:
            self._telemetry.close()


def watching(upstreams: Upstreams, telemetry: str = "", *, calls: bool = False, prompts: bool = False) -> Watch | None:
    """Return who is to be told of calls, or None; raise MissingDependency for an address without the libraries.

    ``telemetry`` is the address of an OTLP/HTTP collector; ``calls`` asks for a line in the log for each call, which
    has its texts too if ``prompts``.
    """
    if not telemetry and not calls:
        return None
    return Watch(upstreams, _telemetry(telemetry) if telemetry else None, calls=calls, prompts=prompts)


def _telemetry(address: str) -> Telling:
    try:
        module = importlib.import_module(_TELEMETRY)
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"The setting telemetry needs {error.name}.", "pip install 'feilun[telemetry]'"
        ) from error
    found: Telling = module.Telemetry(address)
    return found
