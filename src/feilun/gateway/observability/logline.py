"""One line of JSON in the log for each call that is over; without its texts, unless somebody asked for them.

This module knows the line. It does not know where the log goes.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from feilun.gateway.observability.over import Over
from feilun.records import JSON

_log = logging.getLogger("feilun.calls")
_encode = msgspec.json.Encoder(enc_hook=str).encode


def log_call(over: Over, *, prompts: bool = False) -> None:
    """Write the line of a call that is over; ``prompts``: with what was asked and answered."""
    if not _log.isEnabledFor(logging.INFO):
        return
    call, usage = over.call, over.usage
    line: JSON = {
        "time": call.created,
        "trace": call.id,
        "workspace": call.key.workspace,
        "key": call.key.id,
        "kind": call.kind,
        "endpoint": over.name,
        "model": over.model,
        "status": over.status,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "seconds": round(over.seconds, 6),
        "first": round(over.first, 6),
    }
    if over.error:
        line["error"] = over.error
    if prompts:
        line["asked"] = _asked(call.body)
        line["answered"] = over.texts()
    _log.info("%s", _encode(line).decode())


def _asked(body: JSON) -> Any:
    return next((body[name] for name in ("messages", "prompt", "input", "query") if name in body), None)
