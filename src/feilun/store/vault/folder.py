"""Sealed files of workspaces below a home folder, and the keys that open them.

A workspace's keys are 32 random bytes each, in files below ``secrets/`` that the master key seals; the newest seals,
any opens. Knows workspaces by name, places and keys. Does not know which contents belong here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from feilun.errors import FeilunError
from feilun.store.access import sealing
from feilun.store.blobs import written_whole
from feilun.store.vault.cipher import KEY_ID, Broken, key_of, seal, unseal

KINDS = ("blobs", "tables")


class Vault:
    """The sealed files of one home folder: of a ``kind``, a workspace, with a name (their content's sum)."""

    def __init__(self, root: Path) -> None:
        """Keep the home folder."""
        self._root = root

    def path(self, kind: str, ws: str, name: str) -> Path:
        """Return where the file is, or would be."""
        return self._root / kind / "sealed" / ws / name

    def put(self, kind: str, ws: str, name: str, pieces: Iterable[bytes]) -> None:
        """Keep what the pieces hold, all of it or nothing; the workspace's first key is made if there is none."""
        key_id = (self._key_ids(ws) or [self.new_key(ws)])[-1]
        with written_whole(self.path(kind, ws, name)) as file:
            seal(self._key(ws, key_id), key_id, pieces, file)

    def pieces(self, kind: str, ws: str, name: str) -> Iterator[bytes]:
        """Give the content piece by piece; raise FeilunError if it is missing or damaged, or its key is not there."""
        path = self.path(kind, ws, name)
        try:
            with path.open("rb") as file:
                yield from unseal(self._key(ws, key_of(file)), file)
        except Broken as error:
            raise FeilunError(
                f"The file {path} is damaged ({error}), or sealed with another key of the same name.",
                "Restore it from a backup, or add the file again.",
            ) from error
        except OSError as error:
            raise FeilunError(f"Cannot read {path}: {error.strerror}.", "Restore it from a backup.") from error

    def read(self, kind: str, ws: str, name: str, sha: str = "") -> bytes:
        """Return the content; raise FeilunError, also if its SHA-256 is not ``sha``."""
        data = b"".join(self.pieces(kind, ws, name))
        if sha and hashlib.sha256(data).hexdigest() != sha:
            raise FeilunError(f"The file {self.path(kind, ws, name)} is damaged.", "Restore it from a backup.")
        return data

    def has(self, kind: str, ws: str, name: str) -> bool:
        """Return whether the file is there."""
        return self.path(kind, ws, name).is_file()

    def remove(self, kind: str, ws: str, name: str) -> None:
        """Remove the file, if it is there."""
        self.path(kind, ws, name).unlink(missing_ok=True)

    def used(self, ws: str) -> bool:
        """Return whether anything of a workspace was ever sealed."""
        return bool(self._key_ids(ws))

    def new_key(self, ws: str) -> bytes:
        """Make a key that seals from now on; return its id, by which keys sort in the order of their making."""
        key_id = time.time_ns().to_bytes(KEY_ID, "big")
        path = self._key_path(ws, key_id)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = sealing.seal(self._root, base64.b64encode(secrets.token_bytes(32)).decode())
        with written_whole(path) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text.encode())
        return key_id

    def rotate(self, ws: str) -> int:
        """Seal every file of a workspace anew under a new key, and forget the earlier keys; return how many files.

        Run again after a kill: a file is under the old key or the new one, and a key goes last.
        """
        newest, count = self.new_key(ws), 0
        for kind in KINDS:
            for path in sorted(self.path(kind, ws, "x").parent.glob("[!.]*")):
                self.put(kind, ws, path.name, self.pieces(kind, ws, path.name))
                count += 1
        for key_id in self._key_ids(ws):
            if key_id < newest:
                self._key_path(ws, key_id).unlink()
        return count

    def _key_path(self, ws: str, key_id: bytes) -> Path:
        return self._root / "secrets" / "workspaces" / ws / f"{key_id.hex()}.key"

    def _key_ids(self, ws: str) -> list[bytes]:
        found = self._key_path(ws, b"").parent.glob("[!.]*.key")
        return sorted(bytes.fromhex(path.stem) for path in found)

    def _key(self, ws: str, key_id: bytes) -> bytes:
        path = self._key_path(ws, key_id)
        try:
            sealed = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise FeilunError(
                f"The key {path} is not there: what it sealed cannot be read.", "Restore it from a backup."
            ) from error
        return base64.b64decode(sealing.unseal(self._root, sealed))
