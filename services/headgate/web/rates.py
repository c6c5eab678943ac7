"""How many requests a tenant may make: a token bucket per tenant and process, after authentication and before the flow.

The rate is the policy's divided by the processes (HEADGATE_INSTANCES); nothing is shared between them, and a start fills
every bucket. Operators have no tenant and no limit; probes and pushes are not asked who they are, and not counted.

Answers say where the tenant stands in the form of the IETF draft "RateLimit header fields for HTTP" (draft 8 and later):
`RateLimit-Policy: "tenant";q=500;w=5` (the burst, and the seconds that fill it) and `RateLimit: "tenant";r=499;t=1` (what
is left, and the seconds until all of it is there again).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.core.access import Caller
from headgate.core.bucket import Bucket, full_bucket, seconds_to_full, take
from headgate.core.errors import Code, LimitReached, Unavailable
from headgate.flow.deps import Deps
from headgate.flow.receipts import keep_rate_receipt, recount

POLICY, STATE = "RateLimit-Policy", "RateLimit"
RECEIPT_SECONDS = 1.0
"""Refusals of one tenant within this share a receipt: a flood of requests must not become one of writes."""
MOST_KEPT = 10_000
"""Tenants whose bucket is remembered; of more the one asked longest ago is forgotten, which fills it."""


@dataclass
class _Kept:
    """What a process knows of a tenant's requests."""

    bucket: Bucket
    lock: threading.Lock = field(default_factory=threading.Lock)
    receipt: str = ""
    receipt_at: float = -math.inf
    refused: int = 0
    counted: int = 1
    """What its receipt says; `refused` is the truth."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Headers of the answer, and the refusal if there was no token left."""

    headers: Mapping[str, str]
    refusal: LimitReached | None = None


class RequestRates:
    """The buckets of one process. `_shared` = tenants whose last receipt stands for more refusals than it says."""

    def __init__(self, deps: Deps, instances: int) -> None:
        self._deps = deps
        self._per_second = deps.policy.requests_per_second / instances
        self._burst = deps.policy.request_burst / instances
        self._kept: dict[str, _Kept] = {}
        self._shared: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def take(self, caller: Caller, request_id: str) -> Taken:
        """One request of this caller. Raises Unavailable when a refusal's receipt cannot be stored."""
        now = self._deps.timing.monotonic()
        self._settle(now)
        if caller.tenant is None:
            return Taken({})
        with self._lock:
            kept = self._kept.pop(caller.tenant, None) or _Kept(full_bucket(self._per_second, self._burst, now))
            self._kept[caller.tenant] = kept  # the last in order: asked most recently
            kept.bucket, wait = take(kept.bucket, now)
            headers = _headers(kept.bucket)
            while len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return Taken(headers, self._refusal(caller.tenant, kept, wait, now, request_id) if wait else None)

    def _refusal(self, tenant: str, kept: _Kept, wait: float, now: float, request_id: str) -> LimitReached:
        retry_after = max(1, math.ceil(wait))
        reason = f"The tenant sends more than {kept.bucket.per_second:g} requests a second. Send fewer."
        return LimitReached(
            Code.RATE_LIMITED,
            "Rate limit exceeded",
            reason,
            retry_after=retry_after,
            receipt_id=self._receipt(tenant, kept, now, retry_after, request_id),
        )

    def _receipt(self, tenant: str, kept: _Kept, now: float, retry_after: int, request_id: str) -> str:
        """The receipt of this second."""
        with kept.lock:
            if now - kept.receipt_at >= RECEIPT_SECONDS:
                self._count(kept)
                kept.receipt = keep_rate_receipt(self._deps, tenant, retry_after, request_id)
                kept.receipt_at, kept.refused, kept.counted = now, 0, 1
                self._deps.telemetry.warning("request.refused", reason=str(Code.RATE_LIMITED), tenant=tenant)
            kept.refused += 1
            if kept.refused > kept.counted:
                with self._lock:
                    self._shared[tenant] = kept
            return kept.receipt

    def _settle(self, now: float) -> None:
        """Add to each receipt that no more can share how many did. Any request does it, so whoever reads one (which is
        a request) finds the count of every second that is over."""
        with self._lock:
            over = {id: kept for id, kept in self._shared.items() if now - kept.receipt_at >= RECEIPT_SECONDS}
            for id in over:
                del self._shared[id]
        for id, kept in over.items():
            try:
                with kept.lock:
                    self._count(kept)
            except Unavailable as problem:  # not the trouble of whoever asks now: a later request tries again
                self._deps.telemetry.warning("receipt.not_counted", reason=problem.detail, tenant=id)
                with self._lock:
                    self._shared.setdefault(id, kept)

    def _count(self, kept: _Kept) -> None:
        if kept.refused > kept.counted:
            recount(self._deps, kept.receipt, kept.refused)
            kept.counted = kept.refused


def _headers(bucket: Bucket) -> dict[str, str]:
    quota, window = math.floor(bucket.burst), max(1, math.ceil(bucket.burst / bucket.per_second))
    left, seconds = math.floor(bucket.level), math.ceil(seconds_to_full(bucket))
    return {POLICY: f'"tenant";q={quota};w={window}', STATE: f'"tenant";r={left};t={seconds}'}
