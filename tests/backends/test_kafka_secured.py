"""Kafka behind TLS and passwords, as its URL says."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from svc.backends.kafka_log import open_kafka_log
from svc.kernel import addresses
from svc.kernel.errors import StartError
from svc.kernel.eventlog import ACCEPTED, Entry
from tests.backends.kafka import nothing_left
from tests.backends.secured_kafka import PASSWORDS, Secured, secured_kafka

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_kafka(tmp_path_factory.mktemp("kafka")) as started:
        yield started


def url(kafka: Secured, sasl: str, password: str, ca: str) -> str:
    return (
        f"kafka://{sasl}:{quote(password, safe='')}@{kafka.host}:9092/{sasl}"
        f"?{ca}&cert={kafka.cert}&key={kafka.key}&sasl={sasl}&replication=1"
    )


@pytest.mark.parametrize("sasl", PASSWORDS)
async def test_every_client_of_it_gets_in(kafka: Secured, sasl: str):
    """Those that append, read, commit and make topics."""
    address = addresses.parse(addresses.KAFKA, url(kafka, sasl, PASSWORDS[sasl], f"ca={kafka.ca}"))
    async with nothing_left(), open_kafka_log(address) as log, asyncio.timeout(60):
        await log.ensure(1)
        await log.append(ACCEPTED, [Entry(0, "key", b"value")])
        assert [entry.value for entry in await log.read(ACCEPTED, 0, 0, 10)] == [b"value"]
        consumer = await log.consume(ACCEPTED, {0: 0})
        assert [entry.key for entry in await consumer.fetch(10)] == ["key"]
        await consumer.close()
        await log.commit("group", ACCEPTED, {0: 1})
        assert await log.committed("group", ACCEPTED) == {0: 1}


@pytest.mark.parametrize("sasl", PASSWORDS)
async def test_a_wrong_password_is_named_at_the_start(kafka: Secured, sasl: str):
    """And not shown."""
    address = addresses.parse(addresses.KAFKA, url(kafka, sasl, "wrong:one", f"ca={kafka.ca}"))
    async with nothing_left():
        with pytest.raises(StartError, match=r"(?i)authentication.*correct STONECHAT_KAFKA") as raised:
            async with open_kafka_log(address):
                pass
    assert "wrong:one" not in raised.value.message


async def test_a_broker_that_nobody_vouches_for_is_not_spoken_to(kafka: Secured):
    """Its certificate is of nobody whom this machine knows."""
    address = addresses.parse(addresses.KAFKA, url(kafka, "PLAIN", PASSWORDS["PLAIN"], "tls=on"))
    async with nothing_left():
        with pytest.raises(StartError, match="correct STONECHAT_KAFKA"):
            async with open_kafka_log(address):
                pass


async def test_a_missing_file_is_named_at_the_start(kafka: Secured):
    """Before anything is asked."""
    address = addresses.parse(addresses.KAFKA, url(kafka, "PLAIN", "any", "ca=/nowhere/ca.pem"))
    with pytest.raises(StartError, match="STONECHAT_KAFKA: a file for TLS cannot be read"):
        async with open_kafka_log(address):
            pass
