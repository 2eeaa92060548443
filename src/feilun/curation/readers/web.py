"""A page or a site of the local network -> its files, with what their owners ask programs not to do.

This module knows HTTP and robots.txt (RFC 9309). It does not know the store, nor what the other signals of pages mean.
It sends no cookies, no credentials, runs no scripts, and asks for one page at a time.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urldefrag, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import httpx

from feilun.curation.documents import MAX_BYTES, Skip, skip
from feilun.curation.readers.signals import AGENT, Head, directives, disallowed, matches, meant, reservations
from feilun.errors import BadRequest, EngineDown, Forbidden
from feilun.wire import resolve

_MEDIA = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "application/json": ".json",
    "application/pdf": ".pdf",
}
_REDIRECTS = 5
_SMALL = 512 * 1024  # robots.txt and its kin are read so far (RFC 9309, 2.5)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What fetching may take: links followed from the first page (``depth``), ``pages``, ``total`` seconds.

    For each page: bytes (``size``), ``seconds``, and the ``pause`` after it.
    """

    depth: int = 3
    pages: int = 500
    size: int = MAX_BYTES
    seconds: float = 30.0
    total: float = 1_800.0
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was fetched: its address, its name as a file, its bytes, its day (ISO), and what is not wanted.

    ``signals`` are the requests found, in the words of their standards; ``said`` what they mean for permissions.
    """

    url: str
    name: str
    data: bytes
    modified: str = ""
    signals: tuple[str, ...] = ()
    said: Mapping[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class Site:
    """What was fetched, what was left out and why, and notes for people."""

    pages: list[Page] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fetch_site(url: str, bounds: Bounds | None = None, client: httpx.Client | None = None) -> Site:
    """Return the page at ``url`` and, to the depth that ``bounds`` give, those of its host that it leads to.

    Depth 0 is the page alone. Only http and https, only the host (and port) of ``url``, also after redirects. Raises
    BadRequest for another kind of address, EngineDown if the host has none.
    """
    begin = _split(url)
    if begin is None:
        raise BadRequest("The address must begin with http:// or https:// and name a host.")
    with client or httpx.Client(trust_env=False, follow_redirects=False) as http:
        return _Visit(begin, bounds or Bounds(), http).site()


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address that may be fetched, else nothing."""
    try:
        parts = urlsplit(urldefrag(url.strip()).url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or port == 0:
        return None
    return parts._replace(netloc=parts.netloc.lower(), path=parts.path or "/")


class _Visit:
    """One visit to one host."""

    def __init__(self, begin: SplitResult, bounds: Bounds, http: httpx.Client) -> None:
        self._begin, self._bounds, self._http = begin, bounds, http
        self._until = time.monotonic() + bounds.total
        host, port = begin.hostname or "", begin.port or (443 if begin.scheme == "https" else 80)
        try:
            # The host was named by somebody who may: private addresses are what this is for, those of clouds are not.
            self._address = asyncio.run(resolve(host, port, frozenset({host.strip("[]").rstrip(".").lower()})))
        except Forbidden as error:
            raise BadRequest(str(error)) from error
        self._robots = RobotFileParser()
        self._reserved: list[str] = []
        self._unwanted: list[str] = []

    def site(self) -> Site:
        """Fetch the site."""
        site = Site()
        self._learn()
        waiting = deque([(self._begin.geturl(), 0)])
        seen = {self._begin.geturl()}
        names: set[str] = set()
        while waiting:
            url, depth = waiting.popleft()
            if len(site.pages) >= self._bounds.pages or time.monotonic() > self._until:
                site.notes.append(f"{len(waiting) + 1} more pages were found and not fetched")
                break
            if not self._robots.can_fetch(AGENT, url):
                site.skipped.append(skip(url, "robots"))
                continue
            answer = self._follow(url)
            if isinstance(answer, Skip):
                site.skipped.append(answer)
                continue
            final, headers, data = answer
            if final != url and final in seen:
                continue
            seen.add(final)
            page, links = self._page(final, headers, data, names)
            site.pages.append(page)
            if depth < self._bounds.depth:
                new = [link for link in links if link not in seen]
                seen.update(new)
                waiting.extend((link, depth + 1) for link in new)
            time.sleep(self._bounds.pause)
        return site

    def _learn(self) -> None:
        """Read what the host asks of programs before anything else is asked of it."""
        root = f"{self._begin.scheme}://{self._begin.netloc}"
        status, text = self._small(f"{root}/robots.txt")
        # A robots.txt that cannot be reached forbids everything, one that is not there nothing (RFC 9309, 2.3.1).
        if status == 200:
            self._robots.parse(text.splitlines())
        elif 400 <= status < 500:
            self._robots.parse([])
        else:
            self._robots.parse(["User-agent: *", "Disallow: /"])
        delay = self._robots.crawl_delay(AGENT)
        if delay:
            self._bounds = replace(self._bounds, pause=max(self._bounds.pause, min(float(delay), 60.0)))
        status, text = self._small(f"{root}/.well-known/tdmrep.json")
        if status == 200:
            self._reserved = reservations(text)
        status, text = self._small(f"{root}/ai.txt")
        if status == 200:
            self._unwanted = disallowed(text)

    def _small(self, url: str) -> tuple[int, str]:
        """Return status and text of one of the host's own files; status 0: no answer."""
        answer = self._follow(url, _SMALL, every_status=True)
        if isinstance(answer, Skip):
            return (404 if answer.reason == "elsewhere" else 0), ""
        _, headers, data = answer
        return int(headers.get(":status", "0")), data.decode("utf-8-sig", "replace")

    def _follow(
        self, url: str, most: int = 0, every_status: bool = False
    ) -> tuple[str, Mapping[str, str], bytes] | Skip:
        """Fetch an address; every step of a redirect is checked as if it had been asked for."""
        first = url
        for _ in range(_REDIRECTS + 1):
            parts = _split(url)
            if parts is not None and self._secured(parts):
                self._begin = self._begin._replace(scheme="https")
            if parts is None or (parts.scheme, parts.netloc) != (self._begin.scheme, self._begin.netloc):
                return skip(first, "elsewhere", f"({url[:200]})")
            if not every_status and not self._robots.can_fetch(AGENT, url):
                return skip(first, "robots")
            try:
                headers, data = self._get(parts, most or self._bounds.size)
            except TimeoutError:
                return skip(first, "too_slow")
            except OverflowError:
                return skip(first, "too_big")
            except (httpx.HTTPError, httpx.InvalidURL, EngineDown, OSError) as error:
                return skip(first, "not_fetched", f"({type(error).__name__})")
            status = int(headers[":status"])
            if status in {301, 302, 303, 307, 308} and headers.get("location"):
                url = urldefrag(urljoin(url, headers["location"])).url
                continue
            if status != 200 and not every_status:
                return skip(first, "not_fetched", f"(HTTP {status})")
            return url, headers, data
        return skip(first, "not_fetched", "(too many redirects)")

    def _secured(self, parts: SplitResult) -> bool:
        """Tell whether this is our host again, now asking for TLS."""
        same = parts.netloc == self._begin.netloc and parts.port is None
        return same and (self._begin.scheme, parts.scheme) == ("http", "https")

    def _get(self, parts: SplitResult, most: int) -> tuple[dict[str, str], bytes]:
        """Ask the address that was checked, whatever the name leads to by now; raise TimeoutError, OverflowError."""
        until = min(time.monotonic() + self._bounds.seconds, self._until + self._bounds.seconds)
        address = f"[{self._address}]" if ":" in self._address else self._address
        netloc = address if parts.port is None else f"{address}:{parts.port}"
        given = {"Host": parts.netloc, "User-Agent": AGENT, "Accept-Encoding": "identity", "Accept": "*/*"}
        request = self._http.build_request(
            "GET",
            parts._replace(netloc=netloc).geturl(),
            headers=given,
            timeout=httpx.Timeout(self._bounds.seconds),
            extensions={"sni_hostname": parts.hostname},
        )
        response = self._http.send(request, stream=True)
        try:
            data = bytearray()
            # Raw: nobody asked for packed content, and what is packed all the same could be a bomb.
            for chunk in response.iter_raw():
                data += chunk
                if len(data) > most:
                    raise OverflowError
                if time.monotonic() > until:
                    raise TimeoutError
        except httpx.TimeoutException as error:
            raise TimeoutError from error
        finally:
            response.close()
        headers = {":status": str(response.status_code)}
        for key, value in response.headers.multi_items():
            headers[key.lower()] = f"{headers[key.lower()]}\n{value}" if key.lower() in headers else value
        if headers.get("content-encoding", "identity") not in {"identity", ""}:
            raise httpx.DecodingError("packed content")
        return headers, bytes(data)

    def _page(self, url: str, headers: Mapping[str, str], data: bytes, names: set[str]) -> tuple[Page, list[str]]:
        """Return the page with its signals, and the addresses on its host that it leads to."""
        described = Message()
        described["Content-Type"] = headers.get("content-type", "application/octet-stream")
        media = described.get_content_type()
        signals = [
            f"X-Robots-Tag: {word}" for line in headers.get("x-robots-tag", "").split("\n") for word in directives(line)
        ]
        if headers.get("tdm-reservation", "").strip() == "1":
            signals.append("tdm-reservation: 1")
        path = urlsplit(url).path
        if any(matches(path, pattern) for pattern in self._reserved):
            signals.append("tdmrep.json: tdm-reservation 1")
        if any(matches(path, pattern) for pattern in self._unwanted):
            signals.append("ai.txt: Disallow")
        links: list[str] = []
        if media in {"text/html", "application/xhtml+xml"}:
            reader = Head()
            charset = described.get_content_charset() or "utf-8"
            try:
                reader.feed(data.decode(charset, "replace"))
            except LookupError:
                reader.feed(data.decode("utf-8", "replace"))
            signals.extend(reader.signals)
            base = urljoin(url, reader.base) if reader.base else url
            links = [] if "nofollow" in reader.words else self._own(base, reader.links)
        name = _name(url, media)
        while name in names:
            name = re.sub(r"(?: \((\d+)\))?(\.\w+)$", lambda m: f" ({int(m[1] or 1) + 1}){m[2]}", name)
        names.add(name)
        return Page(url, name, data, _day(headers.get("last-modified", "")), tuple(signals), meant(signals)), links

    def _own(self, base: str, links: Iterable[str]) -> list[str]:
        """Return the addresses of this host among ``links``, each once, in their order."""
        found: dict[str, None] = {}
        for link in links:
            try:
                parts = _split(urljoin(base, link))
            except ValueError:
                continue
            if parts is not None and (parts.scheme, parts.netloc) == (self._begin.scheme, self._begin.netloc):
                found[parts.geturl()] = None
        return list(found)


def _name(url: str, media: str) -> str:
    """Return the name under which a page is kept: host, path, and the ending of what it is."""
    parts = urlsplit(url)
    path = unquote(parts.path).strip("/") or "index"
    path = "/".join(part for part in re.sub(r"[\x00-\x1f\x7f\\]", "_", path).split("/") if part not in {"", ".", ".."})
    if parts.query:
        path += "?" + re.sub(r"[\x00-\x1f\x7f/\\]", "_", unquote(parts.query))
    ending = _MEDIA.get(media, "")
    if ending and not path.casefold().endswith((ending, ".htm" if ending == ".html" else ending)):
        path += ending
    return f"{parts.netloc.replace(':', '_')}/{path[-400:]}"


def _day(value: str) -> str:
    try:
        return parsedate_to_datetime(value).date().isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""
