"""A broker behind TLS, client certificates and passwords, with certificates made for it."""

import datetime
import ipaddress
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORDS = {"PLAIN": "p@ss/word", "SCRAM-SHA-512": "sc:ram"}
"""Of the user who is named as the mechanism."""
_RUN = Path(__file__).parents[2] / "backends" / "run"
_START_SECONDS = 60
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:9093
listeners=SASL_SSL://{host}:9092,CONTROLLER://{host}:9093
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_SSL
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs={folder}/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  username="broker" password="inner" user_broker="inner" user_PLAIN="{plain}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


@dataclass(frozen=True)
class Secured:
    """Where it is, and the files that a client shows and checks with."""

    host: str
    ca: Path
    cert: Path
    key: Path


@contextmanager
def secured_kafka(folder: Path) -> Iterator[Secured]:
    """It serves for as long as the block lasts."""
    host = f"127.{16 + secrets.randbelow(200)}.{secrets.randbelow(256)}.1"
    subprocess.run([_RUN, "install", "kafka"], check=True, capture_output=True)
    found = _certificates(folder, host)
    properties = folder / "server.properties"
    properties.write_text(_PROPERTIES.format(host=host, folder=folder, plain=PASSWORDS["PLAIN"]))
    jars = Path(os.environ.get("BACKENDS_JARS", Path.home() / ".cache/stonechat/jars")) / "kafka"
    java = next(iter(Path("/usr/lib/jvm").glob("java-17-openjdk-*/bin/java")), "java")
    command = [java, "-Xmx384m", "-cp", f"{jars}/*"]
    scram = f"SCRAM-SHA-512=[name=SCRAM-SHA-512,password={PASSWORDS['SCRAM-SHA-512']}]"
    made = [
        *command,
        "kafka.tools.StorageTool",
        "format",
        "-t",
        "A" * 22,
        "-c",
        properties,
        "--standalone",
        "-S",
        scram,
    ]
    subprocess.run(made, check=True, capture_output=True)
    with (folder / "kafka.log").open("wb") as log:
        process = subprocess.Popen([*command, "kafka.Kafka", properties], stdout=log, stderr=log)
    try:
        _await(host, process, folder / "kafka.log")
        yield found
    finally:
        process.kill()
        process.wait()


def _await(host: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            create_connection((host, 9092)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"Kafka does not serve: {log.read_text()[-2000:]}")


def _certificates(folder: Path, host: str) -> Secured:
    authority, authority_key = _signed("Stonechat's tests", None, None, host)
    for name in ("broker", "client"):
        certificate, key = _signed(name, authority, authority_key, host)
        (folder / f"{name}.key").write_bytes(_pem(key))
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "broker.pem").write_bytes((folder / "broker.key").read_bytes() + (folder / "broker.crt").read_bytes())
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    return Secured(host, folder / "ca.pem", folder / "client.crt", folder / "client.key")


def _signed(
    name: str, by: x509.Certificate | None, by_key: ec.EllipticCurvePrivateKey | None, host: str
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
    )
    return builder.sign(by_key or key, hashes.SHA256()), key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
