"""Google's part, played offline: keys, certificates, and tokens good and bad."""

from __future__ import annotations

import base64
import datetime
import functools
import json
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

AUDIENCE = "https://worker.example/pubsub/push"
ACCOUNT = "pusher@test-project.iam.gserviceaccount.com"
KID = "key-1"
NOW = 1_800_000_000
"""Seconds."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A key of its own for each name."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: PrivateKey) -> str:
    """A certificate as Google's list has them."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federated-signon.test")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=7))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def certificates(*names: str) -> dict[str, str]:
    return {name: certificate(rsa_key(name)) for name in names or (KID,)}


HEADER: dict[str, Any] = {"alg": "RS256", "kid": KID, "typ": "JWT"}
CLAIMS: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "aud": AUDIENCE,
    "azp": "113774264463038321964",
    "sub": "113774264463038321964",
    "email": ACCOUNT,
    "email_verified": True,
    "iat": NOW - 10,
    "exp": NOW + 3590,
}


def b64(data: bytes | object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(header: bytes | object, claims: bytes | object, key: rsa.RSAPrivateKey | None = None) -> str:
    """Whatever is asked for, properly signed."""
    content = f"{b64(header)}.{b64(claims)}"
    return f"{content}.{b64((key or rsa_key(KID)).sign(content.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def token(header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A good token, but for these; a value of None takes the claim away."""
    return signed(HEADER | (header or {}), {k: v for k, v in (CLAIMS | claims).items() if v is not None})


def bearer(text: str) -> str:
    return f"Bearer {text}"
