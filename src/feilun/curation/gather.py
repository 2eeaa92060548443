"""Tables of a database, pages of a site -> sources in the store.

This module knows how what is no file of a folder gets a name, a place and permissions. It does not know databases or
the web, nor how sources are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from feilun.curation.documents import MAX_ROWS, Skip, skip
from feilun.curation.ingest import IngestReport, Piece, Progress, keep_all
from feilun.curation.readers.archives import ending
from feilun.curation.readers.confined import Pool, shared_pool
from feilun.curation.readers.database import ENDING, dump, table_names
from feilun.curation.readers.web import Bounds, Page, fetch_site
from feilun.curation.scan import READERS, Found
from feilun.errors import NothingUsable
from feilun.records import Permissions
from feilun.store.database import Database


def ingest_tables(
    db: Database,
    ws: str,
    url: str,
    tables: Sequence[str] = (),
    said: Mapping[str, Any] | None = None,
    most: int = MAX_ROWS,
    progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Add tables of the database at ``url`` (an SQLAlchemy URL; none named: all) as sources, read only.

    ``said`` are permissions as a rule of a folder has them (``{"train": False}``); at most ``most`` rows of each table
    are read. Raises NotFound for an unknown table, BadRequest, BadSource, MissingDependency, OutOfSpace.
    """
    where = sa.make_url(url) if tables else None
    names = list(tables) or table_names(url)
    where = where or sa.make_url(url)
    place = where.database if where.get_backend_name() == "sqlite" else where.render_as_string(hide_password=True)
    given = dict(said or {})

    def pieces() -> Iterator[Piece]:
        for at, name in enumerate(names, 1):
            title = f"{Path(where.database or 'database').name}/{name}{ENDING}"
            file = Found(Path(place or "") / f"{name}{ENDING}", title, Permissions(**given), said=given)
            yield Piece(file, dump(url, name, most), at=at)

    report = keep_all(db, ws, pieces(), shared_pool(), progress, len(names))
    return _usable(report, "the tables")


def ingest_site(
    db: Database,
    ws: str,
    url: str,
    said: Mapping[str, Any] | None = None,
    bounds: Bounds | None = None,
    client: httpx.Client | None = None,
    pool: Pool | None = None,
) -> IngestReport:
    """Add the page at ``url``, and those of its host that it leads to within ``bounds``, as sources.

    What a page asks programs not to do is forbidden for its source, whatever ``said`` (permissions as a rule of a
    folder has them) permits; the notes tell. Raises BadRequest, NothingUsable, OutOfSpace.
    """
    site = fetch_site(url, bounds, client)
    pieces = (_piece(page, dict(said or {}), at) for at, page in enumerate(site.pages, 1))
    report = keep_all(db, ws, pieces, pool or shared_pool(), files=len(site.pages))
    report.skipped[:0] = site.skipped
    report.notes.extend(site.notes)
    report.notes.extend(f"{page.name}: {', '.join(page.signals)}" for page in site.pages if page.said)
    return _usable(report, url)


def _piece(page: Page, said: dict[str, Any], at: int) -> Piece:
    values = {**said, **{key: value for key, value in page.said.items() if not value}}
    file = Found(Path(page.url), page.name, Permissions(**values), page.modified, values)
    problem: Skip | None = None if ending(page.name) in READERS else skip(page.name, "unsupported")
    return Piece(file, page.data, problem, at, {"url": page.url, "signals": list(page.signals)})


def _usable(report: IngestReport, what: str) -> IngestReport:
    if not report.added and not report.unchanged:
        reasons = "; ".join(f"{item.name}: {item.en}" for item in report.skipped[:5])
        raise NothingUsable(f"Nothing of {what} could be used. {reasons}".strip(), "See what was left out, and why.")
    return report
