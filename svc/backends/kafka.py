"""Kafka: how it is reached, and what its errors mean."""

import asyncio
import logging
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError

from svc.kernel.addresses import Address
from svc.kernel.errors import StartError, Unavailable

REQUEST_SECONDS = 2.0
"""How long a broker may be silent to one request: then the connection is given up, and another is asked who leads now."""
CALL_SECONDS = 5.0
"""How long a call may take, repeats included. A leader that died or hangs is replaced after 2.6 to 4 s."""
QUIET = logging.CRITICAL
"""Of aiokafka: what it reports and repeats by itself is told here, once, as a transition."""

_STOP_SECONDS = 1.0
_OF_CLIENTS = {"bootstrap_servers", "retry_backoff_ms", "metadata_max_age_ms"}


def options(address: Address) -> dict[str, Any]:
    """What every client of aiokafka is made with. Raises StartError when a file for TLS cannot be read."""
    logging.getLogger("aiokafka").setLevel(QUIET)
    try:
        tls = address.tls()
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"STONECHAT_KAFKA: a file for TLS cannot be read: {error}") from error
    made: dict[str, Any] = {
        "bootstrap_servers": address.host_ports(),
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "retry_backoff_ms": 50,
        "metadata_max_age_ms": 30_000,
        "security_protocol": f"{'SASL_' if address.user else ''}{'PLAINTEXT' if tls is None else 'SSL'}",
        "ssl_context": tls,
    }
    if address.user:
        made |= {
            "sasl_mechanism": address.option("sasl", "PLAIN"),
            "sasl_plain_username": address.user,
            "sasl_plain_password": address.password,
        }
    return made


async def refusal(address: Address) -> str:
    """Why the hosts of an address cannot be spoken to, each; empty when one can. aiokafka keeps that for itself."""
    asked = {name: value for name, value in options(address).items() if name not in _OF_CLIENTS}
    told = []
    for host, port in address.hosts:
        try:
            connection = await create_conn(host, port, **asked)
        except TimeoutError:
            told.append(f"{host}:{port} does not answer in {REQUEST_SECONDS:g} s")
        except (KafkaError, OSError) as error:
            told.append(f"{host}:{port}: {shown(error)}")
        else:
            connection.close()
            return ""
    return "; ".join(told)


def named(address: Address, name: str) -> str:
    """A topic or group of ours as Kafka knows it: several installations may share one Kafka."""
    return f"{address.name}.{name}" if address.name else name


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Whatever Kafka or the way to it says becomes Unavailable: repeat."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"Kafka has not {what} in time") from error
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka has not {what}: {shown(error)}") from error


def shown(error: BaseException) -> str:
    """An error of aiokafka in one line: its texts name the class, sometimes twice, or say nothing."""
    text, name = str(error), type(error).__name__
    return text if name in text else f"{name} {text}".rstrip()


async def ended(ending: Coroutine[Any, Any, None]) -> None:
    """Wait until a client has stopped, a second or two. What it says on its way out changes nothing.

    In a task of its own: aiokafka ends tasks by cancelling them, and that its own calls end so must not look like a
    cancellation of ours.
    """
    task = asyncio.ensure_future(ending)
    for _ in range(2):
        await asyncio.wait([task], timeout=_STOP_SECONDS)
        if task.done():
            break
        task.cancel()
    if task.done() and not task.cancelled():
        task.exception()
