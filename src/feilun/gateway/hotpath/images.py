"""Addresses of pictures in a call: whoever fetches them for a model must not be sent to a private place.

This module knows where a chat's messages may hold addresses. It does not know which addresses are private, nor who
fetches a picture; nothing is fetched here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from feilun.errors import BadRequest, EngineDown
from feilun.records import JSON
from feilun.wire import parse_url, resolve
from feilun.wire.address import Resolver, system_resolver

MOST_HOSTS = 32  # every host is a question to the name server, which is not for callers to flood
LOOKUP_SECONDS = 5.0


async def check_images(body: JSON, allowed: frozenset[str] = frozenset(), resolver: Resolver = system_resolver) -> None:
    """Return if every address in a call's messages may be fetched; ``data:`` is none.

    ``allowed`` are private hosts that an operator allows. Raises BadRequest for what is no address of a picture, and
    Forbidden for a host that is private, or a metadata service.
    """
    hosts: dict[tuple[str, int], None] = {}
    for url in _addresses(body.get("messages")):
        if url[:5].lower() == "data:":
            continue
        try:
            origin, _ = parse_url(url)
        except BadRequest as error:
            error.param = "messages"
            raise
        hosts[origin.host.lower(), origin.port] = None
    if len(hosts) > MOST_HOSTS:
        raise BadRequest(f"The pictures are at more than {MOST_HOSTS} hosts.", "Send them as data: URLs.", "messages")
    for host, port in hosts:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                await resolve(host, port, allowed, resolver)
        except (EngineDown, TimeoutError) as error:
            raise BadRequest(f"{host} has no address.", "Send the picture as a data: URL.", "messages") from error


def _addresses(messages: Any) -> Iterator[str]:
    """Yield every address: some servers take ``video_url`` and the like too, also in parts that do not say a type."""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            for name, value in part.items() if isinstance(part, dict) else ():
                if name.endswith("_url") and value is not None:
                    yield _text(value, name)


def _text(value: Any, name: str) -> str:
    found = value.get("url") if isinstance(value, dict) else value
    if not isinstance(found, str):
        raise BadRequest(f"{name} has to hold a url.", param="messages")
    return found
