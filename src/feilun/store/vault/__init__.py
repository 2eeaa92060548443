"""Contents that are kept encrypted, with keys that are outside the database.

Knows keys of workspaces, and files in pieces. Does not know which contents must be encrypted, nor what they mean.
"""

from feilun.store.vault.folder import Vault

__all__ = ["Vault"]
