"""No address that is not of the internet is called for somebody else, however it is written."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.wire.peers import read_request, upstream

from feilun.errors import BadRequest, EngineDown, Forbidden
from feilun.wire import Origin, Pool, Timeouts, parse_url, resolve
from feilun.wire.address import Resolver

PRIVATE = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255", "100.100.100.200", "192.0.0.1"),
    *("192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1"),
    *("::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::", "2002:a00:1::", "2001::1", "2001:db8::1", "100::1", "fc00::1"),
    *("fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"),
]
ODD = [
    *("2130706433", "017700000001", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "0x7f.0.0.1", "127.0.0.01"),
    *("1.2.3", "fe80::1%eth0", "a..b", "-a", "a_/b"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::"]


def knows(*addresses: str) -> Resolver:
    """Return a resolver that gives these addresses for every name."""

    async def resolver(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolver


@pytest.mark.parametrize("address", PRIVATE)
async def test_private_addresses_are_refused(address: str) -> None:
    """Written out, and as what a name resolves to, alone or behind a public one."""
    with pytest.raises(Forbidden):
        await resolve(address, 80)
    with pytest.raises(Forbidden):
        await resolve("name.example", 443, frozenset(), knows(address))
    with pytest.raises(Forbidden) as caught:
        await resolve("name.example", 443, frozenset(), knows("8.8.8.8", address))
    assert address not in str(caught.value)


@pytest.mark.parametrize("host", ODD)
async def test_odd_spellings_are_refused(host: str) -> None:
    """Decimal, octal, hexadecimal and short addresses, zones and what is no name never reach the resolver."""
    with pytest.raises(BadRequest):
        await resolve(host, 80, frozenset(), knows("8.8.8.8"))


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_addresses_are_returned(address: str) -> None:
    """An address of the internet is returned as it is, and as what a name means."""
    expected = str(ip_address(address))
    assert await resolve(address, 443) == expected
    assert await resolve("Name.example.", 443, frozenset(), knows(address)) == expected


async def test_what_an_operator_allows() -> None:
    """By name, by name and port, by address, by network; never the metadata services."""
    private = knows("10.1.2.3")
    for allowed in ("gpu.internal", "gpu.internal:8000", "10.1.2.3", "10.1.0.0/16"):
        assert await resolve("gpu.internal", 8000, frozenset({allowed}), private) == "10.1.2.3"
    for other in ("gpu.internal:8001", "internal", "10.2.0.0/16", "fd00::/8"):
        with pytest.raises(Forbidden):
            await resolve("gpu.internal", 8000, frozenset({other}), private)
    assert await resolve("127.0.0.1", 8000, frozenset({"127.0.0.1:8000"})) == "127.0.0.1"
    for secret in ("169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"):
        with pytest.raises(Forbidden):
            await resolve("gpu.internal", 80, frozenset({"gpu.internal", "0.0.0.0/0", "::/0"}), knows(secret))


async def test_names_without_address() -> None:
    """A name that is not known is EngineDown, not a traceback."""

    async def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    for resolver in (unknown, knows()):
        with pytest.raises(EngineDown):
            await resolve("name.example", 443, frozenset(), resolver)


async def test_rebinding_a_name_does_not_move_the_call() -> None:
    """The call goes to the address that was checked, by the name that was asked for, whatever the name means later."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    async def rebinding(_host: str, _port: int) -> list[str]:
        return next(answers)

    heads = []

    async def once(reader, writer) -> None:
        heads.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with upstream(once) as port:
        origin, path = parse_url(f"http://models.example:{port}/v1?x=1")
        checked = await resolve(origin.host, origin.port, frozenset({"127.0.0.0/8"}), rebinding)
        pool = Pool()
        pinned = Origin(origin.scheme, origin.host, origin.port, checked)
        head = f"GET {path} HTTP/1.1\r\nHost: {origin.host}\r\n".encode()
        reply = await pool.request(pinned, head, b"", Timeouts())
        assert await reply.read() == b"ok"
        await pool.close()
    assert heads == [b"GET /v1?x=1 HTTP/1.1\r\nHost: models.example\r\n\r\n"]
    with pytest.raises(Forbidden):
        await resolve(origin.host, origin.port, frozenset({"127.0.0.0/8"}), rebinding)


def test_urls() -> None:
    """Scheme, host, port and path are told; the port is that of the scheme unless another is given."""
    assert parse_url("https://api.example/v1/x?y=z#part") == (Origin("https", "api.example", 443), "/v1/x?y=z")
    assert parse_url("http://EXAMPLE.com:8080") == (Origin("http", "example.com", 8080), "/")
    assert parse_url("http://[2606:4700::1111]:8080/") == (Origin("http", "2606:4700::1111", 8080), "/")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example/", "file:///etc/passwd", "gopher://a.example/", "//a.example", "a.example", "", "http://"),
        *("http://user:secret@a.example/", "http://a.example@b.example/", "http://@a.example/", "http:///path"),
        *("http://a.example:22/", "http://a.example:6379/", "http://a.example:0/", "http://a.example:99999/"),
        *("http://a.example:x/", "http://a.ex ample/", "http://a.example/\r\nX: y", "http://a.example\\@b.example/"),
        *(
            "http://[::1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://ａ.example/",
            "http://a.example/" + "x" * 9000,
        ),
    ],
)
def test_urls_that_nobody_should_send(url: str) -> None:
    """Other schemes, credentials, ports of other protocols, line ends, odd hosts: refused before anything is asked."""
    with pytest.raises(BadRequest):
        parse_url(url)
