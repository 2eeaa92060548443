"""What outlives a process: rows, immutable tables and contents, with lineage, and permissions enforced by purpose.

Knows every noun in ``records`` and two databases, SQLite and PostgreSQL. Does not know how anything is curated,
trained, judged or served, nor who calls. Each module is one group of nouns:
``sources.add(db, …)``, ``datasets.read(db, …)``.
"""

from feilun.store.database import Database, open_database
from feilun.store.journal import Journal
from feilun.store.lineage import Edge
from feilun.store.sources import record_digests

__all__ = ["Database", "Edge", "Journal", "open_database", "record_digests"]
