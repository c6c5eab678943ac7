"""Counters and distributions of this process, counted from what it says: telemetry that counts and passes on."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.telemetry.metrics import COUNTERS, DISTRIBUTIONS, Counter, Distribution
from headgate.telemetry.port import Telemetry

MOST_SERIES = 200
"""Of one counter. Labels are words of closed lists; should one not be, what comes after these counts as `other`."""
OTHER = "other"


@dataclass(slots=True)
class Histogram:
    """How many values fell into each bucket, and their sum. The last bucket has what exceeds every bound."""

    buckets: list[int]
    total: float = 0.0


@dataclass
class Counts:
    """What was counted so far."""

    counters: dict[str, dict[tuple[str, ...], int]] = field(default_factory=lambda: defaultdict(dict))
    """By the metric's name, then the labels' values in the metric's order."""
    distributions: dict[str, Histogram] = field(default_factory=dict)


_COUNTERS: dict[str, list[Counter]] = defaultdict(list)
for _counter in COUNTERS:
    for _action in _counter.actions if _counter.above is None else ():
        _COUNTERS[_action].append(_counter)
_DISTRIBUTIONS: Mapping[str, Distribution] = {one.action: one for one in DISTRIBUTIONS}


class CountingTelemetry:
    """Counts by the table, and passes everything on. Thread-safe."""

    def __init__(self, inner: Telemetry) -> None:
        self._inner = inner
        self._counts = Counts()
        self._lock = threading.Lock()

    def info(self, action: str, **facts: object) -> None:
        """See Telemetry."""
        self._count(action, facts)
        self._inner.info(action, **facts)

    def warning(self, action: str, **facts: object) -> None:
        """See Telemetry."""
        self._count(action, facts)
        self._inner.warning(action, **facts)

    def error(self, action: str, error: BaseException | None = None, **facts: object) -> None:
        """See Telemetry."""
        self._count(action, facts)
        self._inner.error(action, error, **facts)

    def counted(self) -> Counts:
        """A copy of what was counted so far."""
        with self._lock:
            distributions = {n: Histogram(list(h.buckets), h.total) for n, h in self._counts.distributions.items()}
            return Counts({name: dict(series) for name, series in self._counts.counters.items()}, distributions)

    def _count(self, action: str, facts: Mapping[str, object]) -> None:
        counters, distribution = _COUNTERS.get(action, ()), _DISTRIBUTIONS.get(action)
        if not counters and distribution is None:
            return
        with self._lock:
            for counter in counters:
                self._add(counter, {**facts, "action": action})
            if distribution is not None:
                self._put(distribution, facts.get(distribution.fact))

    def _add(self, counter: Counter, facts: Mapping[str, object]) -> None:
        series = self._counts.counters[counter.name]
        labels = tuple(str(facts.get(fact) or "") for fact in counter.labels.values())
        if labels not in series and len(series) >= MOST_SERIES:
            labels = (OTHER,) * len(labels)
        series[labels] = series.get(labels, 0) + 1

    def _put(self, distribution: Distribution, value: object) -> None:
        if not isinstance(value, int | float):
            return
        empty = Histogram([0] * (len(distribution.bounds) + 1))
        histogram = self._counts.distributions.setdefault(distribution.name, empty)
        histogram.buckets[bisect_left(distribution.bounds, value)] += 1
        histogram.total += value
