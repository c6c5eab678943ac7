"""Who pushes: the good token is accepted, every other is Unauthenticated, and nothing else ever comes out."""

from __future__ import annotations

import contextlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import Unauthenticated
from headgate.web.certificates import Certificates
from headgate.web.oidc import PushVerifier
from tests.support import tokens
from tests.support.tokens import ACCOUNT, AUDIENCE, CLAIMS, HEADER, KID, NOW, b64, bearer, rsa_key, signed, token
from tests.support.world import Facts

ALL = tokens.certificates() | {"elliptic": tokens.certificate(ec.generate_private_key(ec.SECP256R1()))}


def verifier(**changes: Any) -> PushVerifier:
    certificates = Certificates(lambda: ALL, lambda: 0.0, Facts())
    facts: dict[str, Any] = {"mode": "oidc", "audience": AUDIENCE, "service_account": ACCOUNT}
    facts |= {"certificates": certificates, "wall_ms": lambda: NOW * 1000}
    return PushVerifier(**(facts | changes))


OURS = verifier()

GOOD = {
    "as Google makes them": bearer(token()),
    "the other spelling of the issuer": bearer(token(iss="accounts.google.com")),
    "scheme in small letters": "bearer " + token(),
    "just expired, within the skew": bearer(token(exp=NOW - 9)),
    "issued by a clock ahead, within the skew": bearer(token(iat=NOW + 9)),
    "with nbf": bearer(token(nbf=NOW - 10)),
    "a place for the key that nobody looks at": bearer(token({"jku": "https://evil.example/keys"})),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_token_is_accepted(name: str):
    OURS.verify(GOOD[name])


PUBLIC_PEM = (
    rsa_key(KID).public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)


def hs256(secret: bytes) -> str:
    content = f"{b64(HEADER | {'alg': 'HS256'})}.{b64(CLAIMS)}"
    return f"{content}.{b64(hmac.digest(secret, content.encode(), 'sha256'))}"


def other_signature(algorithm: hashes.HashAlgorithm, pad: Any) -> str:
    content = f"{b64(HEADER)}.{b64(CLAIMS)}"
    return f"{content}.{b64(rsa_key(KID).sign(content.encode(), pad, algorithm))}"


def swapped() -> str:
    """The signature of one token under the claims of another."""
    header, _, signature = token(email="stranger@evil.example").split(".")
    return f"{header}.{b64(CLAIMS)}.{signature}"


def parts(text: str) -> list[str]:
    return text.split(".")


PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
H, C, S = parts(token())

HOSTILE: dict[str, str | None] = {
    # no token at all
    "no header": None,
    "empty": "",
    "scheme only": "Bearer",
    "scheme and a blank": "Bearer ",
    "basic": "Basic dXNlcjpwYXNz",
    "another scheme": f"Basic {token()}",
    "no scheme": token(),
    "an API key": bearer("hg_0123456789abcdefghjk_secret"),
    "two tokens": bearer(f"{token()} {token()}"),
    "two, with a comma": bearer(f"{token()},{token()}"),
    # not three parts
    "one part": bearer(H),
    "two parts": bearer(f"{H}.{C}"),
    "four parts": bearer(f"{H}.{C}.{S}.{S}"),
    "dots": bearer(".."),
    "no signature": bearer(f"{H}.{C}."),
    "no header part": bearer(f".{C}.{S}"),
    "padded": bearer(f"{H}=.{C}.{S}"),
    "other alphabet": bearer(f"{H}.{C}.+/+/"),
    "line break inside": bearer(f"{H}.\n{C}.{S}"),
    "not ASCII": bearer(f"{H}.{C}.é"),
    "digits of another script": bearer(f"{H}.{C}.٣٣٣٣"),
    "a length base64 cannot have": bearer(f"{H}.{C}.A"),
    "too long": bearer(token(more="x" * 9000)),
    # parts that are no JSON objects
    "header no JSON": bearer(signed(b"x", CLAIMS)),
    "header a list": bearer(signed([HEADER], CLAIMS)),
    "claims no JSON": bearer(signed(HEADER, b"{")),
    "claims a text": bearer(signed(HEADER, "claims")),
    "claims null": bearer(signed(HEADER, None)),
    "claims not UTF-8": bearer(signed(HEADER, b"\xff")),
    "claims nested deep": bearer(signed(HEADER, b"[" * 4000)),
    "claims with a key twice": bearer(signed(HEADER, json.dumps(CLAIMS).encode()[:-1] + b',"aud":"x"}')),
    # algorithms and keys
    "alg none, no signature": bearer(f"{b64(HEADER | {'alg': 'none'})}.{C}."),
    "alg none, a signature": bearer(f"{b64(HEADER | {'alg': 'none'})}.{C}.{S}"),
    "alg nOnE": bearer(token({"alg": "nOnE"})),
    "alg missing": bearer(signed({"kid": KID}, CLAIMS)),
    "alg a list": bearer(token({"alg": ["RS256"]})),
    "alg in small letters": bearer(token({"alg": "rs256"})),
    "HS256 with the public key": bearer(hs256(PUBLIC_PEM)),
    "HS256 with the certificate": bearer(hs256(ALL[KID].encode())),
    "RS512 said": bearer(token({"alg": "RS512"})),
    "RS512 done": bearer(other_signature(hashes.SHA512(), padding.PKCS1v15())),
    "PSS done": bearer(other_signature(hashes.SHA256(), PSS)),
    "kid missing": bearer(signed({"alg": "RS256"}, CLAIMS)),
    "kid null": bearer(token({"kid": None})),
    "kid a list": bearer(token({"kid": [KID]})),
    "kid unknown": bearer(token({"kid": "key-9"})),
    "kid a path": bearer(token({"kid": "../../dev/null"})),
    "kid of a key on a curve": bearer(token({"kid": "elliptic"})),
    "critical extension": bearer(token({"crit": ["exp"]})),
    "another's key": bearer(signed(HEADER, CLAIMS, rsa_key("stranger"))),
    "another's key, brought along": bearer(
        signed(HEADER | {"jwk": {"kty": "RSA"}, "x5c": [ALL[KID]]}, CLAIMS, rsa_key("stranger"))
    ),
    "signature of other claims": bearer(swapped()),
    "signature changed": bearer(f"{H}.{C}.{'A' * len(S)}"),
    "signature cut": bearer(f"{H}.{C}.{S[:-8]}"),
    # issuer, audience, account
    "issuer missing": bearer(token(iss=None)),
    "issuer in http": bearer(token(iss="http://accounts.google.com")),
    "issuer with a slash": bearer(token(iss="https://accounts.google.com/")),
    "issuer alike": bearer(token(iss="https://accounts.google.com.evil.example")),
    "issuer Firebase": bearer(token(iss="https://securetoken.google.com/test-project")),
    "issuer a list": bearer(token(iss=["https://accounts.google.com"])),
    "audience missing": bearer(token(aud=None)),
    "audience another": bearer(token(aud="https://other.example/pubsub/push")),
    "audience longer": bearer(token(aud=AUDIENCE + "/")),
    "audience in capitals": bearer(token(aud=AUDIENCE.upper())),
    "audience among others": bearer(token(aud=[AUDIENCE, "https://other.example"])),
    "audience alone in a list": bearer(token(aud=[AUDIENCE])),
    "audience an object": bearer(token(aud={AUDIENCE: True})),
    "account missing": bearer(token(email=None)),
    "account another": bearer(token(email="stranger@test-project.iam.gserviceaccount.com")),
    "account in capitals": bearer(token(email=ACCOUNT.upper())),
    "account with a blank": bearer(token(email=ACCOUNT + " ")),
    "account in a list": bearer(token(email=[ACCOUNT])),
    "e-mail not verified": bearer(token(email_verified=False)),
    "e-mail verified missing": bearer(token(email_verified=None)),
    "e-mail verified in words": bearer(token(email_verified="true")),
    "e-mail verified 1": bearer(token(email_verified=1)),
    # times
    "expired": bearer(token(exp=NOW - 10)),
    "exp missing": bearer(token(exp=None)),
    "exp a text": bearer(token(exp=str(NOW + 60))),
    "exp true": bearer(token(exp=True)),
    "exp infinite": bearer(signed(HEADER, json.dumps(CLAIMS | {"exp": 0}).replace('"exp": 0', '"exp": 1e999').encode())),
    "exp NaN": bearer(signed(HEADER, json.dumps(CLAIMS | {"exp": float("nan")}).encode())),
    "exp negative": bearer(token(exp=-1)),
    "iat missing": bearer(token(iat=None)),
    "iat in the future": bearer(token(iat=NOW + 60)),
    "iat a list": bearer(token(iat=[NOW])),
    "nbf in the future": bearer(token(nbf=NOW + 60)),
    "nbf a text": bearer(token(nbf="now")),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_token_is_refused(name: str):
    with pytest.raises(Unauthenticated) as refused:
        OURS.verify(HOSTILE[name])
    assert refused.value.detail.endswith(".")


def test_there_are_enough_of_them():
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("changes", [{"audience": None}, {"audience": ""}, {"service_account": None}])
def test_what_is_not_configured_matches_nothing(changes: dict[str, Any]):
    for claims in ({}, {"aud": None}, {"aud": ""}, {"email": None}, {"email": ""}):
        with pytest.raises(Unauthenticated):
            verifier(**changes).verify(bearer(token(**claims)))


@pytest.mark.parametrize("name", [*GOOD, *HOSTILE])
def test_embedded_nobody_gets_in(name: str):
    with pytest.raises(Unauthenticated):
        verifier(mode=None).verify((GOOD | HOSTILE)[name])


def test_towards_the_emulator_everybody_gets_in():
    verifier(mode="none").verify(None)


# --- nothing but Unauthenticated comes out

CLAIM = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(max_size=5))


def refused(text: str) -> None:
    with contextlib.suppress(Unauthenticated):
        OURS.verify(bearer(text))
        pytest.fail("accepted")


@given(st.text(max_size=200))
def test_any_text(text: str):
    refused(text)


@given(st.sampled_from(sorted(CLAIMS.keys() - {"azp", "sub"})), CLAIM)
def test_any_claim(name: str, value: object):
    if value not in (CLAIMS[name], "accounts.google.com") and name not in ("iat", "exp"):
        refused(token({}, **{name: value}))


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=300))
def test_any_parts(header: bytes, claims: bytes, signature: bytes):
    refused(f"{b64(header)}.{b64(claims)}.{b64(signature)}")


@given(st.integers(0), st.characters())
def test_any_character_of_what_is_signed_changed(place: int, other: str):
    text = token()
    place %= text.rindex(".")
    if text[place] != other:
        refused(text[:place] + other + text[place + 1 :])
