"""A token bucket: so many at once, then so many a second. Pure; the caller brings the time."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`burst` tokens at most, filled by `per_second`; it held `level` of them at the moment `at` (seconds, any origin)."""

    per_second: float
    burst: float
    level: float
    at: float


def full_bucket(per_second: float, burst: float, now: float) -> Bucket:
    """A bucket from which nothing was taken yet. Holds one token at least, or nothing could ever be taken."""
    size = max(1.0, burst)
    return Bucket(per_second=per_second, burst=size, level=size, at=now)


def take(bucket: Bucket, now: float, n: float = 1.0) -> tuple[Bucket, float]:
    """The bucket after `n` tokens were taken, and 0; or the bucket as it is and the seconds until there are `n`.

    A clock that went back fills nothing and takes nothing away. More than the burst can never be taken: infinity.
    """
    filled = _filled(bucket, now)
    if n <= filled.level:
        return replace(filled, level=filled.level - n), 0.0
    if n > bucket.burst or bucket.per_second <= 0:
        return filled, float("inf")
    return filled, (n - filled.level) / bucket.per_second


def seconds_to_full(bucket: Bucket) -> float:
    """How long after `bucket.at` it is full again, if nothing more is taken."""
    missing = bucket.burst - bucket.level
    return missing / bucket.per_second if bucket.per_second > 0 else float("inf") if missing else 0.0


def _filled(bucket: Bucket, now: float) -> Bucket:
    passed = max(0.0, now - bucket.at)
    return replace(bucket, level=min(bucket.burst, bucket.level + passed * bucket.per_second), at=max(now, bucket.at))
