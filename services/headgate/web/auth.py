"""Who asks: bearer API keys, and the explicit list of what may be asked without one."""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Mapping

from headgate.core.access import ApiKey, Caller
from headgate.core.errors import Unauthenticated
from headgate.flow.deps import Timing
from headgate.flow.setup import hash_token
from headgate.settings import PUSH_PATH
from headgate.store.reader import Reader

PUBLIC = frozenset({"/healthz", "/readyz", "/openapi.json", PUSH_PATH})
"""Every path that needs no key. The push endpoint has a check of its own: the token that Pub/Sub signs."""

FRESH_SECONDS = 30.0
"""How long a key read from the store is believed: so long may a key revoked elsewhere still work here."""
MOST_KEPT = 1_000

_TOKEN = re.compile(r"hg_([0-9a-z]{1,40})_[A-Za-z0-9_-]{1,128}", re.ASCII)
_REMEDY = "Send the header `Authorization: Bearer <API key>`."


class Authenticator:
    """Callers of API keys. Keys are kept for a moment, so that a busy caller costs no read of the store."""

    def __init__(self, store: Reader, timing: Timing) -> None:
        self._store = store
        self._timing = timing
        self._kept: dict[str, tuple[float, ApiKey]] = {}
        self._lock = threading.Lock()

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Whose credential the headers (names in small letters) carry. Raises Unauthenticated or Unavailable."""
        scheme, _, token = headers.get("authorization", "").strip().partition(" ")
        if not scheme:
            raise Unauthenticated(f"No credential was sent. {_REMEDY}")
        token = token.strip()
        shape = _TOKEN.fullmatch(token)
        key = self._key(f"key_{shape[1]}") if shape and scheme.lower() == "bearer" else None
        if key is None or key.revoked_at is not None or not hmac.compare_digest(key.hash, hash_token(token)):
            raise Unauthenticated(f"The credential is not known, or no longer valid. {_REMEDY}")
        return Caller(credential=key.id, role=key.role, tenant=key.tenant, user=key.user)

    def _key(self, key_id: str) -> ApiKey | None:
        now = self._timing.monotonic()
        with self._lock:
            kept = self._kept.get(key_id)
        if kept is not None and now - kept[0] < FRESH_SECONDS:
            return kept[1]
        found = self._store.get(ApiKey, key_id)
        with self._lock:
            self._kept.pop(key_id, None)
            if found is not None:  # what does not exist is not kept: guesses must not push out real keys
                self._kept[key_id] = (now, found)
            while len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return found
