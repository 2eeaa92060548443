"""What changed in the store, brought to those who use it on a call's way: limits to the ledger, providers to calls.

This module knows both sides. It does not know when something changes, nor any call.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from feilun.gateway.hotpath.ledger import Ledger
from feilun.gateway.hotpath.upstream import Remote, Upstreams, authorization
from feilun.gateway.snapshot import Found
from feilun.records import Provider
from feilun.wire import Origin

_PORTS = {"http": 80, "https": 443}


class Providing:
    """Told by the snapshot whenever something changed."""

    def __init__(self, private: frozenset[str], upstreams: Upstreams, ledger: Ledger) -> None:
        """Keep both sides; ``private`` are hosts of private networks that providers may be at."""
        self._private, self._upstreams, self._ledger = private, upstreams, ledger

    def __call__(self, found: Found) -> None:
        """Put what is in force into use; a provider that did not change keeps its checked address."""
        self._ledger.limit(found.limits)
        remotes: dict[tuple[str, str], Remote] = {}
        for provider, secret in found.providers:
            place = (provider.workspace, provider.name)
            made = _remote(provider, secret, self._private)
            kept = self._upstreams.remotes.get(place)
            if kept is not None and kept.authorization == made.authorization and kept.url == made.url:
                made = kept
            remotes[place] = made
        self._upstreams.remotes = remotes


def _remote(provider: Provider, secret: str, private: frozenset[str]) -> Remote:
    parts = urlsplit(provider.url)
    scheme = parts.scheme if parts.scheme in _PORTS else "https"
    origin = Origin(scheme, (parts.hostname or "").lower(), parts.port or _PORTS[scheme])
    prefix = parts.path.rstrip("/")
    return Remote(
        provider.id,
        provider.api,
        origin,
        prefix,
        authorization(provider.api, secret),
        private,
        url=provider.url,
    )
