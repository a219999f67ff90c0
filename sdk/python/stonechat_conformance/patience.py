"""How long the suite waits, and how it behaves towards a server that asks for patience.

A server may refuse a call because too many came (RATE_LIMITED) or a session because too many say Hello (BUSY). Both say when to
come back; the suite does, because its promises are about what a polite client gets.
"""

import asyncio
import binascii
import json
import ssl
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError, Message

from stonechat_conformance.refusal import Broken, NoAnswer, Refused
from stonechat_conformance.surfaces.model import Caller

_COMES_BACK = frozenset({"RATE_LIMITED", "BUSY"})


@dataclass(frozen=True)
class Patience:
    """`seconds` for one answer or one event, `case_seconds` for a case as a whole."""

    seconds: float = 20.0
    case_seconds: float = 90.0

    async def comes_back(self, refused: BaseException) -> bool:
        """Wait as long as a refusal says; false when it is none that passes, or asks for more than there is."""
        if not isinstance(refused, Refused) or refused.reason not in _COMES_BACK or refused.retry_after is None:
            return False
        if refused.retry_after > self.case_seconds:
            return False
        await asyncio.sleep(refused.retry_after)
        return True


async def call(surface: Caller, request: Message, token: str, patience: Patience) -> Any:
    """The answer to a request. Raises Refused, NoAnswer at the deadline, Broken when what came is no answer at all."""
    # A Poll waits as long as it was told to.
    seconds = patience.seconds + getattr(request, "wait_seconds", 0)
    while True:
        try:
            async with asyncio.timeout(seconds):
                return await surface.call(request, token)
        except TimeoutError:
            raise NoAnswer(f"an answer to {type(request).__name__} within {seconds:g} s") from None
        except Refused as refused:
            if not await patience.comes_back(refused):
                raise
        except (Broken, asyncio.CancelledError):
            raise
        except Exception as error:  # whatever a server does that is no server of this contract
            raise Broken(f"an answer to {type(request).__name__}", came=unforeseen(error)) from error


def unforeseen(error: BaseException) -> str:
    """What an error that no case foresees says of the server, for people."""
    said = str(error) or type(error).__name__
    match error:
        case httpx.ConnectError() | ConnectionRefusedError():
            return f"nobody listens: {said}"
        case ssl.SSLError():
            return f"no TLS: {said}"
        case httpx.TimeoutException() | TimeoutError():
            return f"no answer in time ({type(error).__name__})"
        case httpx.HTTPError() | OSError() | EOFError():
            return f"the connection broke: {said}"
        case grpc.aio.AioRpcError():
            return f"the stream broke: {error.code().name} {error.details()}"
        case ParseError():
            return f"JSON that is no message of the contract: {said}"
        case DecodeError():
            return f"bytes that are no message of the contract: {said}"
        case binascii.Error() | json.JSONDecodeError():
            return f"bytes that are no base64 or no JSON: {said}"
    return f"{type(error).__name__}: {said}"
