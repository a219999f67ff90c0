"""TLS to Cassandra: nothing is sent to a server that cannot show who it is. The server here only shakes hands."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from svc.backends.cassandra import open_cassandra
from svc.kernel.addresses import Address
from svc.kernel.errors import StartError
from tests.backends.cassandra import SEAL


@dataclass(frozen=True)
class Signed:
    """A certificate with its key, in files."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    file: Path
    key_file: Path


def sign(folder: Path, name: str, signer: Signed | None = None, address: str = "") -> Signed:
    """A certificate for an address, or without a signer one that signs others."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=signer.certificate.subject if signer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(hours=1),
    ).add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    if address:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(signer.key if signer else key, hashes.SHA256())
    file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Signed(certificate, key, file, key_file)


Serve = Callable[[Signed], AbstractAsyncContextManager[int]]


@pytest.fixture
def received() -> list[bytes]:
    """What was sent to the server once hands were shaken."""
    return []


@pytest.fixture
def serve(received: list[bytes]) -> Serve:
    """A server with this certificate, by its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(100))
        writer.close()

    @asynccontextmanager
    async def serving(shown: Signed) -> AsyncIterator[int]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(shown.file, shown.key_file)
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with server:
            yield server.sockets[0].getsockname()[1]

    return serving


async def test_a_server_that_shows_who_it_is_is_spoken_to(tmp_path: Path, serve: Serve, received: list[bytes]):
    """Its certificate names its address, and is signed by whom the setting names."""
    trusted = sign(tmp_path, "trusted")
    async with serve(sign(tmp_path, "node", trusted, "127.0.0.1")) as port:
        await refused(port, trusted, "does not answer")
    assert any(received)


@pytest.mark.parametrize("address", ["10.0.0.1", ""])
async def test_a_certificate_of_another_address_is_refused(
    tmp_path: Path, serve: Serve, received: list[bytes], address: str
):
    """Or of none: whoever was given one by the same signer could pretend to be any node."""
    trusted = sign(tmp_path, "trusted")
    async with serve(sign(tmp_path, "node", trusted, address)) as port:
        await refused(port, trusted, "certificate is not accepted")
    assert not any(received)


async def test_a_certificate_of_another_signer_is_refused(tmp_path: Path, serve: Serve, received: list[bytes]):
    """Whatever it says."""
    trusted, other = sign(tmp_path, "trusted"), sign(tmp_path, "other")
    async with serve(sign(tmp_path, "node", other, "127.0.0.1")) as port:
        await refused(port, trusted, "certificate is not accepted")
    assert not any(received)


async def refused(port: int, trusted: Signed, told: str) -> None:
    """It is no Cassandra, so the start fails; as told."""
    options = {"ca": str(trusted.file)}
    address = Address((("127.0.0.1", port),), "stonechat", "user", "secret-password", options)
    with pytest.raises(StartError, match=told) as caught:
        async with open_cassandra(address, SEAL):
            pass
    assert "secret-password" not in caught.value.message
