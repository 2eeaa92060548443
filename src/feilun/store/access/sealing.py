"""Secrets encrypted at rest, with a master key that is never in the database.

The master key is the environment's ``FEILUN_MASTER_KEY`` (32 bytes in base64), else a file that is made once. Fernet:
AES-128-CBC with HMAC-SHA-256. Knows keys and ciphertexts; does not know whose secrets they are.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from feilun.errors import BadSetting, FeilunError
from feilun.store.blobs import sync_folder

VARIABLE = "FEILUN_MASTER_KEY"
_PLACE = Path("secrets") / "master.key"
_HINT = f"It is 32 random bytes in base64: openssl rand -base64 32 makes one for {VARIABLE}."


def seal(root: Path, secret: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return ``secret`` encrypted; the master key of the home folder is made if there is none."""
    return _fernet(root, environment, make=True).encrypt(secret.encode()).decode()


def unseal(root: Path, sealed: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return what :func:`seal` was given; raise FeilunError if the master key is not there, or is another one."""
    try:
        return _fernet(root, environment, make=False).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise FeilunError(
            "A stored secret cannot be opened: the master key is not the one that it was sealed with.",
            f"Restore {root / _PLACE} (or {VARIABLE}), or enter the secret again.",
        ) from error


def derived(root: Path, what: str, ws: str, environment: Mapping[str, str] = os.environ) -> bytes:
    """Return a key of 32 bytes for one use in one workspace; the master key is made if there is none (RFC 2104)."""
    return hmac.digest(_master(root, environment, make=True)[0].encode(), f"{what}\0{ws}".encode(), "sha256")


def _master(root: Path, environment: Mapping[str, str], *, make: bool) -> tuple[str, str]:
    given, where = environment.get(VARIABLE, "").strip(), VARIABLE
    if not given:
        given, where = _from_file(root / _PLACE, make=make), str(root / _PLACE)
    return given, where


def _fernet(root: Path, environment: Mapping[str, str], *, make: bool) -> Fernet:
    given, where = _master(root, environment, make=make)
    try:
        return Fernet(given.replace("+", "-").replace("/", "_"))
    except ValueError as error:
        raise BadSetting(f"{where} holds no master key.", _HINT) from error


def _from_file(path: Path, *, make: bool) -> str:
    try:
        if make and not path.exists():
            _make(path)
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise FeilunError(f"The master key {path} is not there.", "Restore it from a backup.") from error
    except UnicodeDecodeError as error:
        raise BadSetting(f"{path} holds no master key.", _HINT) from error
    except OSError as error:
        raise FeilunError(f"Cannot use {path}: {error.strerror}.", "Check the folder's permissions.") from error


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, Fernet.generate_key() + b"\n")
        os.fsync(handle)
        # A link fails where a rename would replace: of two processes that make a key at once, one key stays.
        path.hardlink_to(part)
        sync_folder(path.parent)
    except FileExistsError:
        return
    finally:
        os.close(handle)
        part.unlink()
