"""HTTP/1.1 as fast as Python goes: a server, a client pool, server-sent events, and addresses that may be called.

The room knows bytes, connections and time limits. It does not know keys, models, workspaces or any API's shapes.
"""

from feilun.wire.address import ensure_callable, parse_url, resolve
from feilun.wire.asgi import ASGIApp
from feilun.wire.client import Origin, Pool
from feilun.wire.exchange import Exchange, Handler
from feilun.wire.reply import Reply, Timeouts
from feilun.wire.server import Server, ServerLimits
from feilun.wire.sse import Event, Splitter, events, last_id, payloads

__all__ = [
    "ASGIApp",
    "Event",
    "Exchange",
    "Handler",
    "Origin",
    "Pool",
    "Reply",
    "Server",
    "ServerLimits",
    "Splitter",
    "Timeouts",
    "ensure_callable",
    "events",
    "last_id",
    "parse_url",
    "payloads",
    "resolve",
]
