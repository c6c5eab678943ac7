"""Gauges and counts as Prometheus reads them: text format 0.0.4."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from headgate.telemetry.counting import Counts, Histogram
from headgate.telemetry.metrics import COUNTERS, DISTRIBUTIONS, GAUGES, Distribution, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "headgate_"


def exposition(samples: Iterable[Sample], counts: Counts) -> str:
    """Every metric of the table that has a value, with its help and type."""
    return "".join(f"{line}\n" for line in (*_gauges(samples), *_counters(counts), *_distributions(counts)))


def _gauges(samples: Iterable[Sample]) -> Iterator[str]:
    by_name: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_name[sample.metric.name].append(sample)
    for gauge in GAUGES:
        if found := by_name[gauge.name]:
            name = PREFIX + gauge.name
            yield from _head(name, gauge.help, "gauge")
            yield from (_line(name, gauge.labels, sample.labels, sample.value) for sample in found)


def _counters(counts: Counts) -> Iterator[str]:
    for counter in COUNTERS:
        if series := counts.counters.get(counter.name):
            name = f"{PREFIX}{counter.name}_total"
            yield from _head(name, f"{counter.help} Of this process.", "counter")
            yield from (_line(name, tuple(counter.labels), labels, n) for labels, n in sorted(series.items()))


def _distributions(counts: Counts) -> Iterator[str]:
    for one in DISTRIBUTIONS:
        if histogram := counts.distributions.get(one.name):
            yield from _head(PREFIX + one.name, f"{one.help} Of this process.", "histogram")
            yield from _buckets(PREFIX + one.name, one, histogram)


def _buckets(name: str, one: Distribution, histogram: Histogram) -> Iterator[str]:
    bounds = (*(f"{bound:g}" for bound in one.bounds), "+Inf")
    running = list(accumulate(histogram.buckets))
    for bound, count in zip(bounds, running, strict=True):
        yield _line(f"{name}_bucket", ("le",), (bound,), count)
    yield _line(f"{name}_sum", (), (), histogram.total)
    yield _line(f"{name}_count", (), (), running[-1])


def _head(name: str, help: str, type: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {type}"


def _line(name: str, labels: Sequence[str], values: Sequence[str], value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {value:.15g}" if pairs else f"{name} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
