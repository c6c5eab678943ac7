"""A run in words: one line on where it stands, a row of the table, the whole record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Run = Mapping[str, Any]

RUN_TITLES = ("RUN", "STATE", "KIND", "PRIORITY", "REPO", "USER", "CREATED", "")


def standing(run: Run) -> str:
    """`queued, 3 of 10, waiting for SCOPE_FULL:repo`; `running, attempt 2`; `failed, EXIT_NONZERO: …`."""
    parts = [str(run["state"])]
    line, error = run.get("line"), run.get("error")
    if line:
        parts += _in_line(line)
    if run.get("attempt", 1) > 1:
        parts.append(f"attempt {run['attempt']}")
    if run.get("waiting"):
        parts.append(f"needs {run['waiting']}")
    if error:
        parts.append(f"{error['code']}: {error['message']}")
    return ", ".join(parts)


def position(line: Mapping[str, Any]) -> str:
    """`3 of 10`; a delayed run has no position."""
    return (
        f"delayed, {line['length']} in line" if line["position"] is None else f"{line['position']} of {line['length']}"
    )


def _in_line(line: Mapping[str, Any]) -> Iterator[str]:
    yield position(line)
    if line.get("waitingFor"):
        yield f"waiting for {' '.join(line['waitingFor'])}"
    wait = line.get("estimatedWait")
    if wait:
        yield f"about {wait['p50']:g} to {wait['p90']:g} s"


def run_row(run: Run) -> Sequence[object]:
    """Under RUN_TITLES."""
    line, error = run.get("line"), run.get("error")
    remark = position(line) if line else error["code"] if error else None
    return (*(run.get(key) for key in ("runId", "state", "kind", "priority", "repo", "user")), when(run), remark)


def when(run: Run) -> str:
    """Its creation, to the second."""
    return str(run.get("createdAt", ""))[:19].replace("T", " ")


def run_facts(run: Run) -> Iterator[tuple[str, object]]:
    """Everything there is to say, by name."""
    yield "run", run["runId"]
    yield "state", run["state"]
    if run.get("line"):
        yield "line", ", ".join(_in_line(run["line"]))
    yield from ((key, run.get(key)) for key in ("tenantId", "kind", "priority", "repo", "user", "labels", "input"))
    yield "limits", run.get("limits")
    yield "attempt", f"{run['attempt']} of {run['maxAttempts']}" if "maxAttempts" in run else None
    times = ("retryOf", "waiting", "notBefore", "createdAt", "queuedAt", "startedAt", "finishedAt")
    yield from ((key, run.get(key)) for key in times)
    if run.get("error"):
        yield "error", f"{run['error']['code']}: {run['error']['message']}"
    yield "result", run.get("result")
    for artifact in run.get("artifacts") or ():
        yield "artifact", f"{artifact['name']}  {artifact['bytes']:,} bytes  sha256 {artifact['sha256']}"
    yield from (("usage " + key, value) for key, value in (run.get("usage") or {}).items())
    yield "receipt", run.get("receiptId")
