"""Google's signing certificates, kept: a stranger's tokens cost no fetch, and an outage of Google's endpoint no pushes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import requests
from google.auth.crypt import RSAVerifier

from headgate.core import strict_json
from headgate.core.errors import Unavailable
from headgate.telemetry.port import Telemetry

CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"
FETCH_SECONDS = 3.0
FRESH_SECONDS = 3600.0
"""Google changes its keys about once a day and publishes them well before."""
USABLE_SECONDS = 24 * 3600.0
"""How long old certificates serve while new ones cannot be had; then nothing is accepted."""
AGAIN_SECONDS = 60.0
"""Between two fetches, whatever key ids strangers think of."""
AFTER_FAILURE_SECONDS = 5.0


def fetch_google() -> Mapping[str, str]:
    """Key id → certificate (PEM). Raises OSError or ValueError."""
    response = requests.get(CERTIFICATES_URL, timeout=FETCH_SECONDS)  # its errors are OSErrors
    response.raise_for_status()
    return certificates_of(response.content)


def certificates_of(body: bytes) -> Mapping[str, str]:
    """The certificates of an answer. Raises ValueError."""
    found = strict_json.parse(body)
    if not isinstance(found, dict) or not found or not all(isinstance(pem, str) for pem in found.values()):
        raise ValueError("the answer is no object of certificates")
    return found


class Certificates:
    """The public keys by key id; one thread fetches at a time, the others use what there is."""

    def __init__(
        self, fetch: Callable[[], Mapping[str, str]], monotonic: Callable[[], float], telemetry: Telemetry
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._telemetry = telemetry
        self._lock = threading.Lock()
        self._keys: Mapping[str, RSAVerifier] = {}
        self._fetched_at = -USABLE_SECONDS
        self._next_fetch = float("-inf")

    def key(self, kid: str) -> RSAVerifier | None:
        """The key, or None if Google has none of that id. Raises Unavailable when no certificates can be had."""
        known = self._usable(kid)
        if known is None or self._age() >= FRESH_SECONDS:
            # Who has a key that will do does not wait for another thread's fetch.
            if self._lock.acquire(blocking=known is None):
                try:
                    self._refresh()
                finally:
                    self._lock.release()
            known = self._usable(kid)
        if known is None and self._age() >= USABLE_SECONDS:
            raise Unavailable("The certificates that sign pushes cannot be fetched.", retry_after=10)
        return known

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    def _usable(self, kid: str) -> RSAVerifier | None:
        return self._keys.get(kid) if self._age() < USABLE_SECONDS else None

    def _refresh(self) -> None:
        """Fetch, unless another thread just has, or it is too soon."""
        if self._monotonic() < self._next_fetch:
            return
        try:
            self._keys = _keys(self._fetch())
        except (OSError, ValueError) as error:
            # Known keys serve on while they are usable; when none is, `key` says so, and the push comes again.
            self._telemetry.warning("push.certificates_unavailable", detail=str(error)[:500])
            self._next_fetch = self._monotonic() + AFTER_FAILURE_SECONDS
        else:
            self._fetched_at = self._monotonic()
            self._next_fetch = self._fetched_at + AGAIN_SECONDS


def _keys(certificates: Mapping[str, str]) -> Mapping[str, RSAVerifier]:
    parse: Callable[[str], RSAVerifier] = RSAVerifier.from_string
    keys = {kid: parse(pem) for kid, pem in certificates.items()}
    return {kid: key for kid, key in keys.items() if _is_rsa(key)}


def _is_rsa(key: RSAVerifier) -> bool:
    """A key on an elliptic curve passes for one until it is used."""
    try:
        key.verify(b"", b"")
    except TypeError:
        return False
    return True
