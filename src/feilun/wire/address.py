"""Addresses that may be called on behalf of somebody who gave a URL.

This module knows which networks are nobody's business from outside, and how such addresses are disguised. It does not
know who asked. What it returns is an address, not a name, so that a name cannot mean another host when it is called.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from feilun.errors import BadRequest, EngineDown, Forbidden
from feilun.wire.client import Origin

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Iterable[str]]]

_PORTS = {"http": 80, "https": 443}
_WHATEVER = frozenset({"http", "https"})
# Beyond what the standard library calls not global: carrier NAT, benchmarks, old 6to4 relays, multicast, the future.
_REFUSED = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3"),
            *("::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
            *("fc00::/7", "fe80::/9", "ff00::/8"),
        ),
    )
)
_METADATA = {"169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"}
_NAT64 = IPv6Network("64:ff9b::/96")
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}\.?", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.IGNORECASE)
# Ports of services that are not HTTP, which a request's bytes could be made to speak to.
_NOT_HTTP = {*range(1, 80), *range(81, 443), 445, 465, 512, 513, 514, 515, 587, 636, 873, 993, 995, 1433, 1521}
_NOT_HTTP |= {2049, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 6000, 6379, 6667, 10250, 11211, 27017}


async def system_resolver(host: str, port: int) -> list[str]:
    """Return the addresses that the system knows for a name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


async def resolve(
    host: str, port: int, allowed_private: frozenset[str] = frozenset(), resolver: Resolver = system_resolver
) -> str:
    """Return one address of ``host`` that may be called.

    ``allowed_private`` are hosts, ``host:port`` pairs or networks (``10.1.0.0/16``) that an operator has allowed; the
    metadata services of clouds stay refused. Raise Forbidden if any address of the name is refused, BadRequest if the
    host is written oddly, EngineDown if it has no address.
    """
    name = host.strip("[]").rstrip(".").lower()
    literal = _literal(name)
    if literal is not None:
        found: list[Address] = [literal]
    else:
        if len(name) > 253 or not _NAME.fullmatch(name):
            raise BadRequest(f"{host[:100]!r} is not the name of a host.")
        try:
            found = [ip_address(each.partition("%")[0]) for each in await resolver(name, port)]
        except (OSError, UnicodeError) as error:
            raise EngineDown(f"{host} has no address: {error}.") from error
    if not found:
        raise EngineDown(f"{host} has no address.")
    named = name in allowed_private or f"{name}:{port}" in allowed_private
    for address in found:
        # The error names no address: what a private name resolves to is not for everybody.
        if _metadata(address) or not (named or is_public(address) or _within(address, allowed_private)):
            raise Forbidden(f"{host} is not an address that may be called.", "An operator can allow private hosts.")
    return str(found[0])


def parse_url(url: str, schemes: frozenset[str] = _WHATEVER) -> tuple[Origin, str]:
    """Return where a URL leads, and its path with its query; raise BadRequest for what no such URL should have."""
    if len(url) > 8192 or any(ord(c) <= 0x20 or ord(c) >= 0x7F or c in '\\"<>^`{|}' for c in url):
        raise BadRequest("The URL has characters that no URL has, or is too long.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadRequest(f"This is not a URL: {error}.") from error
    if parts.scheme not in schemes:
        raise BadRequest(f"The URL has to begin with {' or '.join(f'{each}://' for each in sorted(schemes))}.")
    if "@" in parts.netloc:
        raise BadRequest("The URL may not carry a user or a password.")
    if _literal(host) is None and not _NAME.fullmatch(host):
        raise BadRequest("The URL names no host.")
    if port is None:
        port = _PORTS[parts.scheme]
    if not port or port in _NOT_HTTP:
        raise BadRequest(f"Port {port} is not one of HTTP.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, host.rstrip("."), port), path


def ensure_callable(url: str) -> None:
    """Raise BadRequest for a URL that can never be called, whatever its name comes to mean and operators allow."""
    hint = "Give the address of a provider, such as https://api.example.com/v1."
    try:
        origin, _ = parse_url(url)
        literal = _literal(origin.host)
    except BadRequest as error:
        raise BadRequest(error.message, hint, "url") from error
    if literal is not None and (_metadata(literal) or literal.is_multicast or literal.is_unspecified):
        raise BadRequest(f"{origin.host} is never called: no provider can be there.", hint, "url")


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the internet, whatever it is wrapped in."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
    if any(address.version == network.version and address in network for network in _REFUSED):
        return False
    return address.is_global and not address.is_multicast


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def _metadata(address: Address) -> bool:
    inner = _embedded(address) if isinstance(address, IPv6Address) else None
    return str(inner or address) in _METADATA


def _within(address: Address, allowed: frozenset[str]) -> bool:
    inner = (_embedded(address) if isinstance(address, IPv6Address) else None) or address
    for each in allowed:
        try:
            network = ip_network(each, strict=False)
        except ValueError:
            continue
        if network.version == inner.version and inner in network:
            return True
    return False


def _literal(name: str) -> Address | None:
    """Return the address that a host is written as; raise BadRequest for spellings that mean one in disguise."""
    try:
        address: Any = ip_address(name)
    except ValueError:
        if _NUMERIC.fullmatch(name) or ":" in name:
            raise BadRequest(f"{name[:100]!r} is an odd way to write an address.") from None
        return None
    if getattr(address, "scope_id", None):
        raise BadRequest("An address with a zone cannot be called.")
    return IPv4Address(address) if address.version == 4 else IPv6Address(address)
