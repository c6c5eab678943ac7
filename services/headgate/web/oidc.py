"""Who pushes? The OIDC token that Pub/Sub and Cloud Scheduler put on their requests, verified.

A token is believed only if Google signed it (RS256, a key of Google's own list), for our audience, for the one service
account, and it is valid now. Everything else is Unauthenticated, in every mode: no configuration leaves a door open.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from headgate.core import strict_json
from headgate.core.errors import Unauthenticated
from headgate.web.certificates import Certificates

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
MAX_TOKEN = 8192
"""Characters. Google's have about 900."""
SKEW_SECONDS = 10
TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushVerifier:
    """Whether a request comes from our Pub/Sub subscription or scheduler.

    mode `oidc` asks for a token; `none` lets everybody in, for the emulator, which signs nothing (settings allow it
    only with one); None, as in embedded mode, where nobody pushes, lets nobody in.
    """

    mode: Literal["oidc", "none"] | None
    audience: str | None
    service_account: str | None
    certificates: Certificates
    wall_ms: Callable[[], int]

    def verify(self, authorization: str | None) -> None:
        """Check an Authorization header. Raises Unauthenticated, or Unavailable while no certificates can be had."""
        if self.mode == "none":
            return
        if self.mode is None:
            raise Unauthenticated("Nothing is pushed to this server.")
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("A bearer token is needed.")
        self._verify_token(token.strip(" "))

    def _verify_token(self, token: str) -> None:
        """The cheap checks first: a token that could not be accepted anyway costs no look for its key."""
        if len(token) > MAX_TOKEN or not TOKEN.fullmatch(token):
            raise Unauthenticated("The token is no JWT.")
        header, claims, signature = token.split(".")
        kid = _key_id(_part(header))
        self._check_claims(_part(claims))
        key = self.certificates.key(kid)
        if key is None or not key.verify(f"{header}.{claims}".encode(), _decoded(signature)):
            raise Unauthenticated("The token is not signed by Google.")

    def _check_claims(self, claims: Mapping[str, object]) -> None:
        if claims.get("iss") not in ISSUERS:
            raise Unauthenticated("The token's issuer is not Google.")
        if not self.audience or claims.get("aud") != self.audience:
            raise Unauthenticated("The token is for another audience.")
        if not self.service_account or claims.get("email") != self.service_account:
            raise Unauthenticated("The token is another account's.")
        if claims.get("email_verified") is not True:
            raise Unauthenticated("The token's e-mail address is not verified.")
        now = self.wall_ms() / 1000
        issued, expires, not_before = (_moment(claims, name) for name in ("iat", "exp", "nbf"))
        if issued is None or expires is None:
            raise Unauthenticated("The token does not say when it was issued and when it expires.")
        if max(issued, not_before or 0) > now + SKEW_SECONDS:
            raise Unauthenticated("The token is not valid yet.")
        if expires <= now - SKEW_SECONDS:
            raise Unauthenticated("The token has expired.")


def _key_id(header: Mapping[str, object]) -> str:
    """Where the key is to be found is ours to say: `jku`, `jwk` and `x5u` count for nothing."""
    kid = header.get("kid")
    if header.get("alg") != "RS256" or not isinstance(kid, str) or "crit" in header:
        raise Unauthenticated("The token is not signed the way Google signs (RS256, with a key id).")
    return kid


def _moment(claims: Mapping[str, object], name: str) -> int | None:
    """Seconds since 1970, if the claim is there."""
    value = claims.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 0:  # a bool is an int too
        raise Unauthenticated(f"The token's {name} is no time.")
    return value


def _part(text: str) -> Mapping[str, object]:
    try:
        value = strict_json.parse(_decoded(text))
    except ValueError as error:
        raise Unauthenticated("The token is no JWT.") from error
    if not isinstance(value, dict):
        raise Unauthenticated("The token is no JWT.")
    return value


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Unauthenticated("The token is no JWT.") from error
