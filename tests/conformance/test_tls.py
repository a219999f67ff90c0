"""A server behind TLS, as any that is reached from outside is."""

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from stonechat_conformance.patience import Patience
from stonechat_conformance.people import server
from stonechat_conformance.run import run
from stonechat_conformance.surfaces.table import SURFACES
from tests.conformance.checked import check, failed, named
from tests.conformance.proxy import byte_proxy
from tests.mesh.product import Product


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stonechat")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + signed.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def test_every_surface_is_reached_over_tls(kept: Product, certificate: Path, tls: ssl.SSLContext):
    async with byte_proxy(kept.url, tls=tls) as url, server(url, Patience(), certificate) as tested:
        cases = named("a message arrives", "GetGroup repeated")
        outcomes = [each async for _, found in run(tested, cases, list(SURFACES)) for each in found]
    assert failed(outcomes) == {}
    assert {outcome.surface for outcome in outcomes} == set(SURFACES)


async def test_a_certificate_that_nobody_knows_is_not_trusted(kept: Product, tls: ssl.SSLContext):
    async with byte_proxy(kept.url, tls=tls) as url:
        outcomes = await check(url, named("a message arrives"), "connect", "grpc-web", "rest+poll")
    assert len([outcome for outcome in outcomes if outcome.failure]) == 3
