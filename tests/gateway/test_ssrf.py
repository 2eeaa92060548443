"""Addresses that callers give: providers and pictures. Nothing of a private network is ever called for them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from feilun.errors import BadRequest, Forbidden
from feilun.gateway.hotpath.images import MOST_HOSTS, check_images
from feilun.records import Provider, new_id
from feilun.settings import Settings, load
from feilun.store.access import providers
from feilun.wire.address import Resolver

HI = [{"role": "user", "content": "hello"}]
LOOPBACK = [
    *("http://127.0.0.1:{port}/v1", "http://localhost:{port}/v1", "http://localhost.:{port}/v1", "http://[::1]:{port}"),
    *(
        "http://[::ffff:127.0.0.1]:{port}",
        "http://[64:ff9b::7f00:1]:{port}",
        "http://0.0.0.0:{port}",
        "http://127.1:{port}",
    ),
    *("http://2130706433:{port}", "http://0x7f000001:{port}", "http://0177.0.0.1:{port}", "http://127.0.0.01:{port}"),
    *("http://%31%32%37.0.0.1:{port}", "http://127。0。0。1:{port}", "http://①②⑦.0.0.1:{port}"),
]
ELSEWHERE = [
    *(
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/latest",
        "http://10.0.0.1/v1",
        "http://192.168.0.1:8000",
    ),
    *("http://100.100.100.200/", "http://[::ffff:a9fe:a9fe]/", "http://172.16.0.1", "http://[fe80::1]/v1"),
]
NEVER = [
    *("file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "ftp://example.com", "//example.com", "example.com", ""),
    *("http://user:secret@127.0.0.1:{port}/v1", "http://user@example.com", "https://:secret@example.com/v1"),
    *("http://169.254.169.254/v1", "http://[fd00:ec2::254]/v1", "http://[::ffff:a9fe:a9fe]/", "http://100.100.100.200"),
    *("http://224.0.0.1/v1", "http://0.0.0.0:{port}/v1", "http://2130706433:{port}", "http://example.com:22/v1"),
    *("http://example.com@127.0.0.1:{port}\\", "http://exa mple.com", "http://example.com/v1\r\nX: y", "http://"),
]


class Trap:
    """A port on loopback that counts who connects."""

    def __init__(self) -> None:
        """Listen, for IPv4 and IPv6 alike."""
        self._listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self._listener.getsockname()[1]
        self.caught = 0
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            with peer:
                if peer.recv(4) == b"stop":
                    return
                self.caught += 1

    def close(self) -> None:
        """Stop listening."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    """Give a port that nobody may call."""
    found = Trap()
    yield found
    found.close()


def put(http: httpx.Client, name: str, url: str) -> httpx.Response:
    """Add a provider and an endpoint that leads to it."""
    answer = http.put(f"/api/providers/{name}", json={"url": url, "key": "sk-secret-of-the-provider"})
    if answer.status_code == 200:
        target = {"model": "words", "provider": name}
        assert http.put(f"/api/endpoints/to-{name}", json={"targets": [target], "retries": 0}).status_code == 200
    return answer


def ask(http: httpx.Client, name: str, **more: Any) -> httpx.Response:
    """Ask what a provider is behind."""
    return http.post("/v1/chat/completions", json={"model": f"to-{name}", "messages": HI, **more})


def test_no_provider_is_called_at_a_private_address(gateway: Any, trap: Trap) -> None:
    """Loopback, private and metadata addresses in every spelling: refused when set up, or when they are called."""
    http = gateway.http(gateway.key())
    for number, form in enumerate([*LOOPBACK, *ELSEWHERE]):
        url = form.format(port=trap.port)
        if put(http, f"p{number}", url).status_code != 200:
            continue
        for stream in (False, True):
            answer = ask(http, f"p{number}", stream=stream)
            assert answer.status_code in {502, 503}, url
            assert answer.json()["error"]["code"], url
            assert "sk-secret" not in answer.text
    assert trap.caught == 0


def test_addresses_that_are_none_are_refused_when_they_are_given(gateway: Any, trap: Trap) -> None:
    """Other schemes, users and passwords, blanks and line breaks: 400, and the error does not repeat a password."""
    http = gateway.http(gateway.key())
    for number, form in enumerate(NEVER):
        answer = put(http, f"p{number}", form.format(port=trap.port))
        assert answer.status_code == 400, form
        assert "secret" not in answer.text
    assert trap.caught == 0


@pytest.fixture
def allowing(tmp_path: Any) -> Settings:
    """Give settings by which providers may be on this machine."""
    given = {"home": str(tmp_path / "home"), "engine": "fake", "private_hosts": "127.0.0.1,169.254.169.254,localhost"}
    return load(environment={}, given=given)


def test_a_redirect_leads_nowhere(allowing: Settings, serve: Any, trap: Trap) -> None:
    """An allowed host that answers with a redirect to another one: 502, and nobody went there."""
    ready, ended = threading.Event(), threading.Event()
    redirect = f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{trap.port}/\r\nContent-Length: 0\r\n\r\n".encode()
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)

    def answer() -> None:
        ready.set()
        while not ended.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            with peer:
                heads.append(peer.recv(65536))
                peer.sendall(redirect)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        for gateway in serve(allowing):
            http = gateway.http(gateway.key())
            assert put(http, "near", f"http://localhost:{listener.getsockname()[1]}/v1").status_code == 200
            for stream in (False, True):
                found = ask(http, "near", stream=stream)
                assert found.status_code == 502
                assert "redirect" in found.json()["error"]["message"]
            # What was checked is what is called: the address is pinned, the name only in the header.
            remote = gateway.state.hotpath.upstreams.remotes["bank", "near"]
            assert remote.origin.address in {"127.0.0.1", "::1"}
            assert b"Host: localhost:" in heads[0]
            # Not even an operator can allow what gives away a cloud's credentials.
            assert put(http, "cloud", "http://169.254.169.254/latest").status_code == 400
            given = Provider(new_id("provider"), "bank", "cloud", "openai", "http://169.254.169.254/latest")
            providers.put(gateway.db, given)  # as one that was there before such were refused
            http.put("/api/endpoints/to-cloud", json={"targets": [{"model": "words", "provider": "cloud"}]})
            assert ask(http, "cloud").status_code == 502
    finally:
        ended.set()
        thread.join(10)
        listener.close()
    assert trap.caught == 0


def picture(url: Any, **more: Any) -> dict[str, Any]:
    """Return a body with a picture in it."""
    part = {"type": "image_url", "image_url": {"url": url}} | more
    return {"messages": [*HI, {"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]}


def knows(*addresses: str) -> Resolver:
    """Return a resolver that gives these addresses for every name."""

    async def resolver(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolver


PUBLIC = knows("8.8.8.8")


async def test_pictures_of_the_internet_and_in_the_call_pass() -> None:
    """``data:`` asks nobody; a public name does; texts and bodies without messages are no matter."""
    await check_images(picture("data:image/png;base64,aaaa"), resolver=knows())
    await check_images(picture("https://example.com/a.png?b=c"), resolver=PUBLIC)
    await check_images(picture("http://8.8.8.8/a.png"))
    for body in ({}, {"messages": None}, {"messages": ["x", {"content": None}, {"content": ["x"]}]}, {"messages": HI}):
        await check_images(body, resolver=knows())


@pytest.mark.parametrize("form", [*LOOPBACK, *ELSEWHERE, *NEVER])
async def test_pictures_of_private_places_are_refused(form: str) -> None:
    """However they are written, before anybody is asked for them."""
    with pytest.raises((BadRequest, Forbidden)):
        await check_images(picture(form.format(port=8080)))


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "fd00:ec2::254"])
async def test_names_of_private_places_are_refused(address: str) -> None:
    """Also when the name has public addresses as well; an operator may allow a host, but no metadata service."""
    body = picture("https://pictures.example.com/a.png")
    with pytest.raises(Forbidden):
        await check_images(body, resolver=knows("8.8.8.8", address))
    allowed = frozenset({"pictures.example.com"})
    if address in {"169.254.169.254", "fd00:ec2::254"}:
        with pytest.raises(Forbidden):
            await check_images(body, allowed, knows(address))
    else:
        await check_images(body, allowed, knows(address))


@pytest.mark.parametrize("part", [{"video_url": {"url": "http://10.0.0.1/"}}, {"image_url": "http://10.0.0.1/"}])
async def test_parts_that_only_some_servers_take_are_looked_at_too(part: dict[str, Any]) -> None:
    """Addresses of films, and parts that do not say what they are."""
    body = {"messages": [{"role": "user", "content": [part]}]}
    with pytest.raises(Forbidden):
        await check_images(body)


PARTS = [
    {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}},
    {"type": "image_url", "image_url": {"url": "http://localhost:8000/a.png"}},
    {"image_url": "http://10.0.0.1/a.png"},
    {"type": "video_url", "video_url": {"url": "http://[::1]/a.mp4"}},
]


@pytest.mark.parametrize("part", PARTS)
def test_a_call_with_a_picture_of_a_private_place_goes_nowhere(gateway: Any, trap: Trap, part: dict[str, Any]) -> None:
    """403 in each API that takes pictures, before any target is called; the same picture as data may go on."""
    http = gateway.http(gateway.key())
    assert put(http, "eyes", f"http://127.0.0.1:{trap.port}/v1").status_code == 200
    target = {"model": "words", "provider": "eyes", "images": True}
    assert http.put("/api/endpoints/to-eyes", json={"targets": [target], "retries": 0}).status_code == 200
    content = [{"type": "text", "text": "What is it?"}, part]
    for stream in (False, True):
        body = {"model": "to-eyes", "messages": [{"role": "user", "content": content}], "stream": stream}
        assert http.post("/v1/chat/completions", json=body).status_code == 403
    inner = part.get("image_url")
    if isinstance(inner, dict):
        shown = [{"type": "image", "source": {"type": "url", "url": inner["url"]}}]
        body = {"model": "to-eyes", "max_tokens": 9, "messages": [{"role": "user", "content": shown}]}
        assert http.post("/v1/messages", json=body).status_code == 403
        asked = [{"role": "user", "content": [{"type": "input_image", "image_url": inner["url"]}]}]
        assert http.post("/v1/responses", json={"model": "to-eyes", "input": asked}).status_code == 403
    data = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}}]
    body = {"model": "to-eyes", "messages": [{"role": "user", "content": data}]}
    assert http.post("/v1/chat/completions", json=body).status_code == 502
    assert trap.caught == 0


async def test_what_is_no_address_is_the_callers_mistake() -> None:
    """A number, nothing, a name without address, a name server that does not answer, and too many hosts: 400."""
    for wrong in (5, ["http://a"], {}, "x" * 9000):
        with pytest.raises(BadRequest) as caught:
            await check_images(picture(wrong), resolver=PUBLIC)
        assert caught.value.param == "messages"
    with pytest.raises(BadRequest, match="no address"):
        await check_images(picture("https://nowhere.example"), resolver=knows())
    parts = [picture(f"https://h{n}.example/")["messages"][1]["content"][1] for n in range(MOST_HOSTS + 1)]
    asked = []

    async def counting(host: str, _port: int) -> list[str]:
        asked.append(host)
        await asyncio.sleep(0)
        return ["8.8.8.8"]

    with pytest.raises(BadRequest, match="hosts"):
        await check_images({"messages": [{"role": "user", "content": parts}]}, resolver=counting)
    assert asked == []
    await check_images({"messages": [{"role": "user", "content": parts[:1] * 100}]}, resolver=counting)
    assert asked == ["h0.example"]
