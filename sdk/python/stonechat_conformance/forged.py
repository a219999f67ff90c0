"""Tokens that nobody should take."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def forgeries(good: str, jwks: dict[str, Any]) -> dict[str, str]:
    """By what is wrong with them; all else is as in the good one."""
    header = jwt.get_unverified_header(good)
    claims = jwt.decode(good, options={"verify_signature": False})
    (key,) = [key for key in jwks["keys"] if key["kid"] == header["kid"]]
    public = base64.urlsafe_b64decode(key["x"] + "==")
    pem = Ed25519PublicKey.from_public_bytes(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    strange = Ed25519PrivateKey.generate()
    head, body, signature = good.split(".")
    later = {**claims, "exp": int(time.time()) + 10**6}

    def signed(changed: dict[str, Any], **headers: Any) -> str:
        return jwt.encode(changed, strange, "EdDSA", headers={"kid": header["kid"], **headers})

    return {
        "nonsense": "nonsense",
        "dots": "..",
        "a signature of somebody else": signed(claims),
        "a key of its own in the header": signed(claims, jwk={"kty": "OKP", "crv": "Ed25519", "x": key["x"]}),
        "an unknown key": signed(claims, kid="unknown"),
        "a path for a key": signed(claims, kid="../../dev/null"),
        "no algorithm": jwt.encode(claims, "", "none", headers={"kid": header["kid"]}),
        "the public key as a secret, raw": _hs256(header, claims, public),
        "the public key as a secret, PEM": _hs256(header, claims, pem),
        "other claims under the signature": f"{head}.{_part(later)}.{signature}",
        "no signature": f"{head}.{body}.",
        "half a signature": f"{head}.{body}.{signature[:40]}",
        "no subject": signed({name: value for name, value in claims.items() if name != "sub"}),
        "too long": good + "a" * 5000,
    }


def _hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    # By hand: PyJWT itself refuses a public key as a secret.
    signed = f"{_part({**header, 'alg': 'HS256'})}.{_part(claims)}"
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
