"""Work: the three commits of an attempt. Claim takes the run, heartbeats keep it, finish records the one outcome.

Every write carries the attempt's fence: what a dead, duplicated or late attempt still writes changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from headgate.core.admission import gate_mode
from headgate.core.errors import StaleFence
from headgate.core.leases import backoff_ms, beaten, expired, may_retry
from headgate.core.lifecycle import Change, advance
from headgate.core.run import Artifact, Run, RunError, RunState
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.fleet import deal_all
from headgate.flow.ledger import DAY_MS, Ledger, put_run
from headgate.handlers.interface import Done, Failed
from headgate.store.documents import LogChunk
from headgate.store.transaction import Tx

CHUNK_CHARACTERS = 64 * 1024
"""At most four bytes each: a chunk stays far under the 1 MiB that a document may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended: the handler's answer, its artifacts and the last of its output."""

    outcome: Done | Failed
    artifacts: tuple[Artifact, ...] = ()
    output: str = ""


def claim(deps: Deps, run_id: str, fence: int, worker: str) -> Run | None:
    """Take a pending run under a lease, or None: it was claimed, cancelled, given back or ended, so the message is dealt with.

    Only the run is written, not the tenant: a revoke and a claim race for the run's version and one of them wins.
    """

    def body(tx: Tx) -> Run | None:
        run = tx.get(Run, run_id)
        if run is None or run.state is not RunState.PENDING or run.fence != fence:
            return None
        run = advance(run, Change.CLAIM, tx.now, worker=worker, waiting=None)
        put_run(tx, run, deps.policy)
        return run

    run = deps.store.transact(body, f"run:{run_id}")
    if run is None:
        deps.telemetry.info("run.duplicate_delivery", run_id=run_id, fence=fence)
        return None
    deps.changes.announce(run_id)
    deps.telemetry.info("run.started", **_facts(run), start_delay_ms=(run.started_at or 0) - (run.holding_since or 0))
    return run


def beat(deps: Deps, run: Run, output: str = "") -> None:
    """Extend the lease and store new output, in one commit. Raises StaleFence when the attempt is over: stop working."""

    def body(tx: Tx) -> None:
        now = _current(tx, run)
        after = beaten(now, tx.now)
        put_run(tx, _with_output(tx, deps, after, output), deps.policy)

    deps.store.transact(body, f"run:{run.id}")
    if output:
        deps.changes.announce(run.id)


def finish(deps: Deps, dispatcher: Dispatcher, run: Run, ending: Ending) -> Run | None:
    """Record the attempt's outcome and give its slots to who is next. None: the attempt was over, nothing has changed.

    If we die before the commit, the lease runs out and the sweep retries; after it, the outcome stands.
    """
    return _finish(deps, dispatcher, run, ending, silent=False)


def _finish(deps: Deps, dispatcher: Dispatcher, run: Run, ending: Ending, silent: bool) -> Run | None:
    """`silent` = only if the worker still is: a heartbeat that came meanwhile keeps its attempt."""

    def body(tx: Tx) -> tuple[Run, set[str]]:
        tx.prefetch((Tenant, run.tenant), (Run, run.id))
        ledger = Ledger.open(tx, run.tenant, deps.policy)
        now = _with_output(tx, deps, _current(tx, run), ending.output)
        if silent and not expired(now, tx.now):
            raise StaleFence(f"run {run.id} has renewed its lease")
        after = _retry(deps, ledger, now, ending.outcome) or _end(ledger, now, ending)
        ledger.close()
        return after, ledger.settling

    return _commit(deps, dispatcher, run, body)


def lose(deps: Deps, dispatcher: Dispatcher, run: Run, known_dead: bool = False) -> Run | None:
    """The lease ran out (or the worker is `known_dead`): tried again while attempts last, else failed with WORKER_LOST."""
    lost = Failed(code="WORKER_LOST", message="The worker stopped sending heartbeats.", retryable=True)
    return _finish(deps, dispatcher, run, Ending(outcome=lost), silent=not known_dead)


def hand_back(deps: Deps, dispatcher: Dispatcher, run: Run) -> Run | None:
    """The worker shuts down: the run goes back in line at once, its attempt unused; cancelled if its line is drained."""

    def body(tx: Tx) -> tuple[Run, set[str]]:
        ledger = Ledger.open(tx, run.tenant, deps.policy)
        now = _current(tx, run)
        if _drained(ledger, now):
            after = ledger.end(now, Change.CANCEL)
        else:
            after = ledger.put_back(now, Change.HAND_BACK, deps.timing.random())
        ledger.close()
        return after, ledger.settling

    return _commit(deps, dispatcher, run, body)


def _commit(deps: Deps, dispatcher: Dispatcher, run: Run, body: Callable[[Tx], tuple[Run, set[str]]]) -> Run | None:
    try:
        after, settling = deps.store.transact(body, run.tenant)
    except StaleFence as stale:
        deps.telemetry.warning("run.late_result", **_facts(run), detail=stale.detail)
        return None
    settle(deps, dispatcher, after, settling)
    return after


def settle(deps: Deps, dispatcher: Dispatcher, after: Run, settling: set[str]) -> None:
    """What follows the commit that took a run's slots back: tell, deal closed scopes, start who is next."""
    deps.changes.announce(after.id)
    deps.telemetry.info("run.retried" if after.state is RunState.QUEUED else "run.finished", **_facts(after))
    if after.delayed and after.not_before is not None and after.queued_at is not None:
        deps.alarm.arm((after.not_before - after.queued_at) / 1000)
    deal_all(deps, settling)
    dispatcher.dispatch()


def _current(tx: Tx, run: Run) -> Run:
    """The run as stored, if this attempt still stands."""
    now = tx.get(Run, run.id)
    if now is None or now.state is not RunState.RUNNING or now.fence != run.fence:
        state = "gone" if now is None else f"{now.state} with fence {now.fence}"
        raise StaleFence(f"attempt with fence {run.fence} of run {run.id} is over: it is {state}")
    return now


def _retry(deps: Deps, ledger: Ledger, run: Run, outcome: Done | Failed) -> Run | None:
    """The run back in line after a failure that may be tried again; None if it is not to be."""
    if isinstance(outcome, Done) or not outcome.retryable or not may_retry(run):
        return None
    if _drained(ledger, run):
        return ledger.end(run, Change.CANCEL)
    wait = backoff_ms(run.attempt, deps.policy.execution, deps.timing.random())
    error = RunError(code=outcome.code, message=outcome.message)
    facts = {"not_before": ledger.tx.now + wait, "error": error, "told": _told(outcome)}
    return ledger.put_back(run, Change.RETRY, deps.timing.random(), **facts)


def _drained(ledger: Ledger, run: Run) -> bool:
    """Whether a pause stands over the run under which nobody waits."""
    return gate_mode(ledger.tenant, run, _closed(ledger, run)) in ("drain", "drain_cancel")


def _closed(ledger: Ledger, run: Run) -> Mapping[str, str]:
    """The kinds that are paused, as the shard says in which the run stands: this commit writes it."""
    shard = ledger.tx.get(Shard, run.shards.system) if run.shards.system is not None else None
    return {} if shard is None else shard.closed


def _end(ledger: Ledger, run: Run, ending: Ending) -> Run:
    outcome = ending.outcome
    duration = (ledger.tx.now - (run.started_at or ledger.tx.now)) / 1000
    usage = outcome.usage
    if usage is not None:
        usage = replace(usage, duration_seconds=usage.duration_seconds or duration)
    result = None if outcome.result is None else json.dumps(outcome.result, separators=(",", ":"))
    facts = {"artifacts": ending.artifacts, "usage": usage, "result": result, "told": _told(outcome)}
    if isinstance(outcome, Done):
        return ledger.end(run, Change.FINISH, RunState.COMPLETED, error=None, **facts)
    error = RunError(code=outcome.code, message=outcome.message)
    return ledger.end(run, Change.FINISH, outcome.state, error=error, **facts)


def _told(outcome: Done | Failed) -> dict[str, object]:
    """What the event of the end says besides: the layers around the run's children, if it had any."""
    return {"sandbox": list(outcome.sandbox)} if outcome.sandbox else {}


def _with_output(tx: Tx, deps: Deps, run: Run, output: str) -> Run:
    """New output in chunks under the run's next event numbers: one order for events and log."""
    expire_at = tx.now + deps.policy.retention.events * DAY_MS
    seq = run.event_seq
    for start in range(0, len(output), CHUNK_CHARACTERS):
        seq += 1
        text = output[start : start + CHUNK_CHARACTERS]
        tx.create(LogChunk(id=f"{run.id}~{seq:08d}", run=run.id, seq=seq, at=tx.now, text=text, expire_at=expire_at))
    return replace(run, event_seq=seq, log_bytes=run.log_bytes + len(output.encode("utf-8", "replace")))


def _facts(run: Run) -> dict[str, object]:
    facts: dict[str, object] = {"run_id": run.id, "tenant": run.tenant, "kind": run.kind, "attempt": run.attempt}
    facts |= {"state": str(run.state), "request_id": run.request_id}
    if run.error is not None:
        facts["reason"] = run.error.code
    return facts
