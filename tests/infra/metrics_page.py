"""docs/metrics.md, made from the table in the code and the catalogue of alerts.

python -m tests.infra.metrics_page    # writes it
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.telemetry.metrics import COUNTERS, DISTRIBUTIONS, GAUGES
from tests.infra.platform import in_promql
from tests.infra.reading import INFRA, Infra, read

FILE = INFRA.parent / "docs" / "metrics.md"
HEAD = """\
# Metrics

<!-- Made by `python -m tests.infra.metrics_page`. Change services/headgate/telemetry/metrics.py, not this. -->

One table in the code, two ways out of it:

- **`GET /metrics`**, Prometheus's text format, on every server of the API: with an operator's key, or, with
  `HEADGATE_METRICS=local`, also without one from the very machine (what a proxy forwards does not count as local).
  Gauges are the whole system's, at most 15 seconds old. Counters and distributions are the process's own: sum them.
- **Google Cloud Monitoring**: the sweep, and nobody else, writes the gauges once a round as
  `custom.googleapis.com/headgate/NAME`; counters and distributions are log-based metrics,
  `logging.googleapis.com/user/headgate_NAME`, counted from the structured log of all processes.

Labels are words of closed lists. No metric names a tenant, a user or a repository: who holds what is a question
for the API (`GET /admin/slots`, `headgate fairness`), not for a series each.

A round of the sweep measures with what it reads anyway (the tenants), the wide scopes, four counts, and the oldest of the
line and of the dead letters; fairness, which reads the runs of half an hour, is measured every ten minutes.

```yaml
scrape_configs:
  - job_name: headgate
    authorization: {credentials: OPERATOR_KEY}
    static_configs: [{targets: ["127.0.0.1:8080"]}]
```
"""


def rendered(infra: Infra) -> str:
    """The page as it should be."""
    return "\n".join((HEAD, *_gauges(infra), "", *_counters(infra), "", *_distributions(infra), ""))


def _gauges(infra: Infra) -> Iterator[str]:
    yield from (
        "## Gauges",
        "",
        "| on /metrics | unit | labels | meaning | alerts |",
        "| --- | --- | --- | --- | --- |",
    )
    for one in GAUGES:
        alerts = _alerts(infra, f"custom.googleapis.com/headgate/{one.name}", one.name)
        yield f"| `headgate_{one.name}` | {one.unit} | {', '.join(one.labels)} | {one.help} | {alerts} |"


def _counters(infra: Infra) -> Iterator[str]:
    yield from ("## Counters", "", "| on /metrics | labels | counts the actions | meaning | alerts |")
    yield "| --- | --- | --- | --- | --- |"
    for one in COUNTERS:
        alerts = _alerts(infra, f"logging.googleapis.com/user/headgate_{one.name}", one.name)
        here = f"`headgate_{one.name}_total`" if one.above is None else f"only on Google Cloud: `{one.name}`"
        yield f"| {here} | {', '.join(one.labels)} | {', '.join(one.actions)} | {one.help} | {alerts} |"


def _distributions(infra: Infra) -> Iterator[str]:
    yield from ("## Distributions", "", "| on /metrics | unit | of the action | meaning | alerts |")
    yield "| --- | --- | --- | --- | --- |"
    for one in DISTRIBUTIONS:
        alerts = _alerts(infra, f"logging.googleapis.com/user/headgate_{one.name}", one.name)
        yield f"| `headgate_{one.name}` | {one.unit} | {one.action} | {one.help} | {alerts} |"


def _alerts(infra: Infra, metric: str, name: str) -> str:
    found = [entry["id"] for entry in infra.alerts if _asks(entry.get("query", ""), in_promql(metric))]
    objectives = {"http_answers": "api", "http_failures": "api", "start_delay_ms": "start"}
    found += [entry["id"] for entry in infra.alerts if entry.get("slo") and entry["slo"] == objectives.get(name)]
    return ", ".join(f"`{id}`" for id in found)


def _asks(query: str, name: str) -> bool:
    return any(query.startswith(f"{name}{end}", at) for at in _places(query, name) for end in ("{", "[", ")", " "))


def _places(query: str, name: str) -> Iterator[int]:
    at = query.find(name)
    while at >= 0:
        yield at
        at = query.find(name, at + 1)


if __name__ == "__main__":
    FILE.write_text(rendered(read()))
