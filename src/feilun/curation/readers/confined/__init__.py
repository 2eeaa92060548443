"""Reading foreign files where they can do no harm: in child processes with limits, thrown away when they misbehave.

This room knows processes, their limits and their messages. It does not know any file format.
"""

from feilun.curation.readers.confined.pool import Budget, Limits, Member, Pool, shared_pool

__all__ = ["Budget", "Limits", "Member", "Pool", "shared_pool"]
