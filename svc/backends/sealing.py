"""Content at rest: compressed where it pays, and sealed (AES-256-GCM) for the event that it belongs to (protocol W4).

    cell = key version (2 bytes, big-endian) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
    plaintext = 0 ‖ body, or 1 ‖ LZ4 block with its size in front (4 bytes, little-endian)

The data key of a conversation is HKDF-SHA256 of a master key; the nonce is a keyed BLAKE2b of conversation, seq and plaintext:
who writes the same event again writes the same bytes, and no nonce serves two plaintexts. The event's (conversation, seq, kind)
is authenticated: a cell that is moved to another row is refused. Nothing is sealed as nothing: a withdrawn body is empty.
"""

import base64
import binascii
import hashlib
import struct
from collections import OrderedDict
from dataclasses import dataclass

import lz4.block
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from svc.kernel.errors import StartError

_VERSION = struct.Struct(">H")
_EVENT = struct.Struct(">QH")
_MASTER_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_KEYS_KEPT = 4096  # of conversations: 3 kB each, and 11 µs to derive one again
_COMPRESSED_FROM = 128  # bytes: shorter bodies hardly shrink
_LARGEST_BODY = 1 << 20  # what a cell may unfold to: far above what a message may hold
_RAW, _LZ4 = b"\x00", b"\x01"

_EXAMPLE = (
    "set STONECHAT_MASTER_KEYS=1:$(openssl rand -base64 32) and keep it: without it stored content cannot be read"
)


class UnreadableContentError(Exception):
    """A sealed cell cannot be opened. The text says why."""


@dataclass(frozen=True, slots=True)
class _Keys:
    cipher: AESGCM
    nonce_key: bytes


class Seal:
    """Seals with the newest master key, opens with any it was given. Not for several threads at once."""

    def __init__(self, master_keys: dict[int, bytes]) -> None:
        self._masters = master_keys
        self._newest = max(master_keys)
        self._keys: OrderedDict[tuple[int, str], _Keys] = OrderedDict()

    def seal(self, conversation_id: str, seq: int, kind: int, body: bytes) -> bytes:
        """The cell that holds this body. The same arguments give the same bytes."""
        if not body:
            return b""
        keys = self._of(self._newest, conversation_id)
        plaintext, associated = _packed(body), _associated(conversation_id, seq, kind)
        # The associated data say themselves where they end: a fixed head, then an id that holds no zero byte.
        nonce = hashlib.blake2b(associated + b"\x00" + plaintext, digest_size=_NONCE_BYTES, key=keys.nonce_key).digest()
        return _VERSION.pack(self._newest) + nonce + keys.cipher.encrypt(nonce, plaintext, associated)

    def open(self, conversation_id: str, seq: int, kind: int, cell: bytes) -> bytes:
        """The body in a cell of this event. Raises UnreadableContentError."""
        if not cell:
            return b""
        start = _VERSION.size + _NONCE_BYTES
        if len(cell) < start + 1 + _TAG_BYTES:
            raise UnreadableContentError(f"{len(cell)} bytes are too few for sealed content")
        (version,) = _VERSION.unpack_from(cell)
        if version not in self._masters:
            raise UnreadableContentError(
                f"sealed with master key {version}, which is not in STONECHAT_MASTER_KEYS: add it again"
            )
        cipher = self._of(version, conversation_id).cipher
        associated = _associated(conversation_id, seq, kind)
        try:
            plaintext = cipher.decrypt(cell[_VERSION.size : start], cell[start:], associated)
        except InvalidTag:
            raise UnreadableContentError(
                f"not sealed for event {seq} of {conversation_id} by this master key {version}: it is another key, or the"
                " cell was changed"
            ) from None
        return _unpacked(plaintext)

    def _of(self, version: int, conversation_id: str) -> _Keys:
        found = self._keys.get((version, conversation_id))
        if found is not None:
            self._keys.move_to_end((version, conversation_id))
            return found
        info = b"stonechat content 1\x00" + conversation_id.encode()
        derived = HKDF(SHA256(), 2 * _MASTER_BYTES, salt=None, info=info).derive(self._masters[version])
        keys = _Keys(AESGCM(derived[:_MASTER_BYTES]), derived[_MASTER_BYTES:])
        self._keys[version, conversation_id] = keys
        if len(self._keys) > _KEYS_KEPT:
            self._keys.popitem(last=False)
        return keys


def parse_master_keys(text: str) -> Seal:
    """What STONECHAT_MASTER_KEYS says: `version:base64 of 32 bytes`, comma-separated. Raises StartError, without the keys."""
    if not text:
        raise StartError(f"content on Cassandra is sealed, and STONECHAT_MASTER_KEYS is empty: {_EXAMPLE}")
    keys: dict[int, bytes] = {}
    for number, part in enumerate(text.split(","), 1):
        version, colon, encoded = part.strip().partition(":")
        wrong = f"STONECHAT_MASTER_KEYS='***': key {number} "
        if not colon or not version.isascii() or not version.isdecimal() or not 0 < int(version) <= 0xFFFF:
            raise StartError(f"{wrong}must begin with its version, 1 to 65535, and a colon: {_EXAMPLE}")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise StartError(f"{wrong}is no base64: {_EXAMPLE}") from None
        if len(key) != _MASTER_BYTES:
            raise StartError(f"{wrong}has {len(key)} bytes, not {_MASTER_BYTES}: {_EXAMPLE}")
        if int(version) in keys:
            raise StartError(f"{wrong}has version {version}, as another: content names its key by it")
        keys[int(version)] = key
    return Seal(keys)


def _associated(conversation_id: str, seq: int, kind: int) -> bytes:
    return _EVENT.pack(seq, kind) + conversation_id.encode()


def _packed(body: bytes) -> bytes:
    if len(body) >= _COMPRESSED_FROM:
        block: bytes = lz4.block.compress(body, store_size=True)
        if len(block) < len(body):
            return _LZ4 + block
    return _RAW + body


def _unpacked(plaintext: bytes) -> bytes:
    form, rest = plaintext[:1], plaintext[1:]
    if form == _RAW:
        return rest
    if form != _LZ4 or int.from_bytes(rest[:4], "little") > _LARGEST_BODY:
        raise UnreadableContentError("packed in a way that this version does not know: it was written by a newer one")
    try:
        body: bytes = lz4.block.decompress(rest)
    except (lz4.block.LZ4BlockError, ValueError) as error:
        raise UnreadableContentError(f"cannot be unpacked: {error}") from None
    return body
