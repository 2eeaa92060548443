"""Pages and sites of the local network: bounds, robots.txt, signals that become permissions, redirects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from feilun.curation import documents
from feilun.curation.gather import ingest_site
from feilun.curation.readers.web import Bounds, fetch_site
from feilun.errors import BadRequest, EngineDown, NothingUsable
from feilun.store import Database, open_database, sources, workspaces

WS = "harbour"
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give an empty store with one workspace."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, WS)
    yield database
    database.close()


class Site(ThreadingHTTPServer):
    """A site of the tests: paths with their answers, and what was asked."""

    pages: dict[str, Answer | Callable[[Any], None]]
    asked: list[str]

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers from the pages of the site."""

    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        """Answer one request."""
        self.server.asked.append(self.path)
        answer = self.server.pages.get(self.path, (404, {}, b"nothing here"))
        if callable(answer):
            answer(self)
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in ({"Content-Type": "text/html; charset=utf-8"} | headers).items():
            for line in value.split("\n"):
                self.send_header(name, line)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serving(pages: dict[str, Any]) -> Iterator[Site]:
    """Serve pages: bytes, or (status, headers, bytes)."""
    site = Site(("127.0.0.1", 0), Handler)
    site.pages = {path: page if not isinstance(page, bytes) else (200, {}, page) for path, page in pages.items()}
    site.asked = []
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


def page(text: str, *links: str, head: str = "") -> bytes:
    """Return a page with links."""
    anchors = "".join(f'<a href="{link}">more</a>' for link in links)
    return f"<html><head>{head}</head><body><main><p>{text}</p>{anchors}</main></body></html>".encode()


def test_a_site_is_followed_within_its_bounds() -> None:
    """Links of the same host are followed to the depth and number given, each page once, others never."""
    pages = {
        "/": page(
            "home", "/a", "a#part", "/b?x=1", "http://127.0.0.1:9/other", "mailto:a@example.org", "//example.org/"
        ),
        "/a": page("a", "/", "deep/c"),
        "/b?x=1": page("b", "http://[broken"),
        "/deep/c": page("c", "../d"),
        "/d": page("d"),
    }
    with serving(pages) as site:
        got = fetch_site(site.url, Bounds(depth=2))
        assert [each.url.removeprefix(site.url) for each in got.pages] == ["/", "/a", "/b?x=1", "/deep/c"]
        assert [path for path in site.asked if path in pages] == ["/", "/a", "/b?x=1", "/deep/c"]
        host = site.url.removeprefix("http://").replace(":", "_")
        assert [each.name for each in got.pages] == [
            f"{host}/{name}.html" for name in ("index", "a", "b?x=1", "deep/c")
        ]
        assert len(fetch_site(site.url, Bounds(depth=0)).pages) == 1
        few = fetch_site(site.url, Bounds(pages=2))
        assert (len(few.pages), few.notes) == (2, ["2 more pages were found and not fetched"])


def test_robots_are_obeyed() -> None:
    """What robots.txt forbids is not even asked for, also after a redirect; without an answer nothing is."""
    robots = b"User-agent: other\nDisallow: /\n\nUser-agent: *\nDisallow: /private\n"
    pages = {
        "/robots.txt": robots,
        "/": page("home", "/private/a", "/open", "/moved"),
        "/open": page("open"),
        "/moved": (302, {"Location": "/private/b"}, b""),
    }
    with serving(pages) as site:
        got = fetch_site(site.url)
        assert [each.url.removeprefix(site.url) for each in got.pages] == ["/", "/open"]
        assert [(each.name.removeprefix(site.url), each.reason) for each in got.skipped] == [
            ("/private/a", "robots"),
            ("/moved", "robots"),
        ]
        assert not any("private" in path for path in site.asked)
        site.pages["/robots.txt"] = (503, {}, b"")
        assert [each.reason for each in fetch_site(site.url).skipped] == ["robots"]


@pytest.mark.parametrize(
    ("headers", "head", "train", "retrieve"),
    [
        ({}, "", True, True),
        ({}, '<meta name="robots" content="index, follow, max-image-preview:large">', True, True),
        ({}, '<META NAME="ROBOTS" CONTENT="NoAI, NoImageAI">', False, True),
        ({}, '<meta name="robots" content="noindex">', False, False),
        ({}, '<meta name="robots" content="none">', False, False),
        ({}, '<meta name="tdm-reservation" content="1">', False, True),
        ({}, '<meta name="tdm-reservation" content="0">', True, True),
        ({"X-Robots-Tag": "noai"}, "", False, True),
        ({"X-Robots-Tag": "otherbot: noindex\nnoimageai"}, "", False, True),
        ({"X-Robots-Tag": "otherbot: noindex, noai"}, "", True, True),
        ({"TDM-Reservation": "1"}, "", False, True),
    ],
)
def test_signals_become_permissions(
    db: Database, headers: dict[str, str], head: str, train: bool, retrieve: bool
) -> None:
    """What a page asks programs not to do is forbidden for its source, whatever was permitted for the site."""
    with serving({"/a": (200, headers, page("The fee is five dollars a year.", head=head))}) as site:
        report = ingest_site(db, WS, f"{site.url}/a", {"train": True, "retrieve": True, "leave": True})
        (source,) = sources.find(db, WS)
        assert (source.permissions.train, source.permissions.retrieve) == (train, retrieve)
        assert source.permissions.leave is train
        assert source.meta["url"] == f"{site.url}/a"
        assert bool(source.meta["signals"]) is not train
        assert bool(report.notes) is not train
        assert len(documents(db, WS, "train")) == train


def test_signals_of_the_whole_host() -> None:
    """ai.txt and tdmrep.json speak about paths."""
    pages = {
        "/ai.txt": b"User-Agent: *\nDisallow: *.txt\nDisallow: /art/\nAllow: /\n",
        "/.well-known/tdmrep.json": (200, {"Content-Type": "application/json"},
                                     b'[{"location": "/press/*", "tdm-reservation": 1}, {"location": "/", "x": 0}]'),
        "/": page("home", "/notes.txt", "/art/a", "/press/b", "/free"),
        "/notes.txt": (200, {"Content-Type": "text/plain"}, b"notes"),
        "/art/a": page("a"), "/press/b": page("b"), "/free": page("free"),
    }  # fmt: skip
    with serving(pages) as site:
        got = {each.url.removeprefix(site.url): each.signals for each in fetch_site(site.url).pages}
    assert got == {
        "/": (),
        "/notes.txt": ("ai.txt: Disallow",),
        "/art/a": ("ai.txt: Disallow",),
        "/press/b": ("tdmrep.json: tdm-reservation 1",),
        "/free": (),
    }


def test_redirects_never_leave_the_host() -> None:
    """Every step of a redirect is checked: other hosts, other schemes and circles are refused."""
    pages = {
        "/out": (302, {"Location": "http://127.0.0.1:9/x"}, b""),
        "/file": (302, {"Location": "file:///etc/passwd"}, b""),
        "/meta": (302, {"Location": "http://169.254.169.254/latest"}, b""),
        "/circle": (301, {"Location": "/circle"}, b""),
        "/twice": (301, {"Location": "/then"}, b""),
        "/then": (307, {"Location": "end"}, b""),
        "/end": page("end"),
    }
    with serving(pages) as site:
        reasons = {path: [each.reason for each in fetch_site(site.url + path).skipped] for path in pages}
        assert reasons == {
            "/out": ["elsewhere"], "/file": ["elsewhere"], "/meta": ["elsewhere"], "/circle": ["not_fetched"],
            "/twice": [], "/then": [], "/end": [],
        }  # fmt: skip
        assert fetch_site(f"{site.url}/twice").pages[0].url == f"{site.url}/end"


def test_pages_that_take_too_much() -> None:
    """A page that never ends, is too large, is packed or is missing is left out with its reason."""

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        stop = threading.Event()
        try:
            while not stop.wait(0.02):
                handler.wfile.write(b"x")
        except OSError:
            handler.close_connection = True

    packed = (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b" + b"\0" * 50)
    with serving({"/drip": drip, "/big": page("x" * 5_000), "/packed": packed}) as site:
        # Only what never ends is given little time: a busy machine may need long for the others.
        asked = (("/drip", 0.3), ("/big", 30.0), ("/packed", 30.0), ("/none", 30.0))
        reasons = [
            fetch_site(site.url + path, Bounds(seconds=seconds, size=2_000, depth=0)).skipped[0].reason
            for path, seconds in asked
        ]
    assert reasons == ["too_slow", "too_big", "not_fetched", "not_fetched"]


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "http://", "http://a:b@127.0.0.1/", "x", "http://169.254.169.254/"],
)
def test_addresses_that_are_not_fetched(url: str) -> None:
    """Only http and https, no credentials, and never the metadata services of clouds."""
    with pytest.raises(BadRequest):
        fetch_site(url)


def test_nothing_there(db: Database) -> None:
    """A site without a usable page says so, and a name without an address too."""
    with serving({"/": (200, {"Content-Type": "application/x-thing"}, b"?")}) as site, pytest.raises(NothingUsable):
        ingest_site(db, WS, site.url)
    with pytest.raises(EngineDown):
        fetch_site("http://no-such-host.invalid/")
