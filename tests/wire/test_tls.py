"""Upstreams behind TLS, with a certificate made here."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.wire.peers import pool_of, read_request

from feilun.errors import EngineDown
from feilun.wire import Origin, Pool, Timeouts

HEAD = b"POST /v1/x HTTP/1.1\r\nHost: test\r\n"
TIMEOUTS = Timeouts(connect=2, first=5, between=5)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a self-made certificate for a name and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return folder / "cert.pem", folder / "key.pem"


async def test_tls(tmp_path: Path) -> None:
    """The name is checked although the address is pinned; an unknown certificate or another name is refused."""
    cert, key = certificate(tmp_path, "models.example")
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(cert, key)
    names: list[str | None] = []
    served.sni_callback = lambda _socket, name, _context: names.append(name)

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await read_request(reader)
            writer.write(OK)
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0, ssl=served)
    port = server.sockets[0].getsockname()[1]
    good = Origin("https", "models.example", port, "127.0.0.1")
    trusted = ssl.create_default_context(cafile=str(cert))
    async with pool_of(Pool(context=trusted)) as pool, pool_of() as strict:
        assert await (await pool.request(good, HEAD, b"{}", TIMEOUTS)).read() == b"ok"
        for bad_pool, origin in ((strict, good), (pool, Origin("https", "other.example", port, "127.0.0.1"))):
            with pytest.raises(EngineDown, match="certificate"):
                await bad_pool.request(origin, HEAD, b"{}", TIMEOUTS)
    assert names[0] == "models.example"
    server.close()
    await asyncio.sleep(0.05)
