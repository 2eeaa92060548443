"""Who saw, exported or changed what: a log of which each entry vouches for all that stand before it.

Knows entries, their hashes, and who acts. Does not know what the acts are about, nor who may read of them.
"""

from feilun.store.audit.acting import acting, actor, note, together
from feilun.store.audit.chain import Break, Entry, Verified, entries, head, verify

__all__ = ["Break", "Entry", "Verified", "acting", "actor", "entries", "head", "note", "together", "verify"]
