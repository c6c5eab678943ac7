"""The sweep catches what an event missed. Paged, and safe to run twice at once: every step checks again in its commit.

It does nothing that a commit did not already decide: leases that ran out, messages overdue, moments that have come,
pauses and caps half-way. Lanes never need repair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from headgate.core.errors import HeadgateError
from headgate.core.leases import expired, publish_wait_ms
from headgate.core.lifecycle import Change, advance
from headgate.core.run import Run, RunState
from headgate.core.scopes import SYSTEM
from headgate.core.tenant import Tenant
from headgate.core.wide import Control
from headgate.flow import audit, dead_letters, draining, fleet, gauges, limits, pressure, work
from headgate.flow.cancel import expire_run
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.ledger import Ledger, put_run
from headgate.flow.pause import finish_pause, resume
from headgate.flow.retention import remove_expired
from headgate.flow.standing import finish_status
from headgate.store.documents import where
from headgate.store.port import Query
from headgate.store.transaction import Tx

PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How many of each were found."""

    leases: int = 0
    republished: int = 0
    due: int = 0
    expired: int = 0
    gates: int = 0
    settled: int = 0
    removed: int = 0


def sweep(deps: Deps, dispatcher: Dispatcher) -> Swept:
    """One round, ending with a dispatch. Raises Unavailable when the store is away; the next round goes on."""
    now = deps.store.now()
    tenants: list[Tenant] = []
    swept = Swept(
        leases=_each(deps, _overdue("lease_until", now, "running"), lambda run: _lose(deps, dispatcher, run)),
        republished=_each(deps, _overdue("publish_due", now, "pending"), lambda run: _republish(deps, dispatcher, run)),
        due=_each(deps, _overdue("not_before", now, "queued", delayed=True), lambda run: _due(deps, run)),
        expired=_each(deps, _overdue("start_by", now, "queued"), lambda run: _expire(deps, run)),
        gates=_gates(deps, dispatcher, now, tenants),
        settled=_controls(deps, dispatcher, now),
        removed=remove_expired(deps, now),
    )
    pressure.look(deps)
    dispatcher.dispatch()
    gauges.publish(deps, tenants)
    deps.telemetry.info("sweep.completed", **{name: getattr(swept, name) for name in Swept.__dataclass_fields__})
    return swept


def start_due(deps: Deps, dispatcher: Dispatcher) -> None:
    """What an alarm rings for: delayed runs whose moment has come, and messages that must be published again."""
    try:
        now = deps.store.now()
        _each(deps, _overdue("not_before", now, "queued", delayed=True), lambda run: _due(deps, run))
        _each(deps, _overdue("publish_due", now, "pending"), lambda run: _republish(deps, dispatcher, run))
        dispatcher.dispatch()
    except HeadgateError as error:
        deps.telemetry.warning("alarm.unavailable", reason=str(error.code), detail=error.detail)


def reclaim(deps: Deps, dispatcher: Dispatcher, worker_prefix: str, living: str = "") -> int:
    """At start: take back at once what a dead process of this very place held, and publish what it left pending.

    `living` is the name of who asks: what it holds itself is in good hands.
    """
    taken = 0
    for run in list(
        _pages(deps, lambda limit: where(Run, ("state", "==", "running"), order=("created_at",), limit=limit))
    ):
        if run.worker is not None and run.worker.startswith(worker_prefix) and run.worker != living:
            work.lose(deps, dispatcher, run, known_dead=True)
            taken += 1
    for run in list(
        _pages(deps, lambda limit: where(Run, ("state", "==", "pending"), order=("created_at",), limit=limit))
    ):
        if not dispatcher.publish(run):
            break
        taken += 1
    dispatcher.dispatch()
    return taken


def _overdue(field: str, now: int, state: str, delayed: bool | None = None) -> Callable[[int], Query]:
    conditions: list[tuple[str, str, object]] = [("state", "==", state), (field, "<=", now)]
    if delayed is not None:
        conditions.append(("delayed", "==", delayed))
    return lambda limit: where(Run, *conditions, order=(field,), limit=limit)


def _each(deps: Deps, query: Callable[[int], Query], act: Callable[[Run], object]) -> int:
    """Act on every run found, page by page; one that fails does not keep the others waiting.

    Unless the act says False, for all the others would fare alike: the broker is down. The next round goes on.
    """
    count = 0
    for run in _pages(deps, query):
        try:
            if act(run) is False:
                break
        except HeadgateError as error:
            deps.telemetry.warning("sweep.failed", run_id=run.id, reason=str(error.code), detail=error.detail)
        count += 1
    return count


def _pages(deps: Deps, query: Callable[[int], Query]) -> Iterator[Run]:
    """Every run found, though acting on one usually takes it out of the query: what was seen is asked over, not twice."""
    seen: set[str] = set()
    while True:
        fresh = [run for run in deps.store.query(Run, query(PAGE + len(seen))) if run.id not in seen]
        yield from fresh
        seen |= {run.id for run in fresh}
        if len(fresh) < PAGE:
            return


def _lose(deps: Deps, dispatcher: Dispatcher, run: Run) -> None:
    if expired(run, deps.store.now()):
        deps.telemetry.warning("lease.reclaimed", run_id=run.id, tenant=run.tenant, worker=run.worker)
        work.lose(deps, dispatcher, run)


def _republish(deps: Deps, dispatcher: Dispatcher, run: Run) -> bool:
    """Publish again, then mark when to look again: whoever dies between publishes once more, which the fence makes
    harmless. Only what the broker took counts; after `max_publishes` the run is given up. False: the broker is down."""
    if run.publishes >= deps.policy.execution.max_publishes:
        dead_letters.give_up(deps, dispatcher, run)
        return True
    taken = dispatcher.publish(run)

    def mark(tx: Tx) -> None:
        now = tx.get(Run, run.id)
        if now is None or now.state is not RunState.PENDING or now.fence != run.fence:
            return
        if now.publish_due == run.publish_due:  # else another sweep has marked it
            publishes = now.publishes + taken
            wait = publish_wait_ms(publishes if taken else 1, deps.policy.execution)
            put_run(tx, replace(now, publishes=publishes, publish_due=tx.now + wait), deps.policy)

    deps.store.transact(mark, f"run:{run.id}")
    return taken


def _due(deps: Deps, run: Run) -> None:
    """A delayed run's moment has come: it joins its lane."""

    def body(tx: Tx) -> None:
        ledger = Ledger.open(tx, run.tenant, deps.policy)
        now = tx.get(Run, run.id)
        if now is None or now.state is not RunState.QUEUED or not now.delayed or (now.not_before or 0) > tx.now:
            return
        ledger.put_run(ledger.enter_lane(advance(now, Change.DUE, tx.now)))
        ledger.close()

    deps.store.transact(body, run.tenant)
    deps.changes.announce(run.id)


def _expire(deps: Deps, run: Run) -> None:
    if run.waiting is None:  # a run that waits for an answer is not expired by its start deadline
        expire_run(deps, run.tenant, run.id)


def _gates(deps: Deps, dispatcher: Dispatcher, now: int, tenants: list[Tenant]) -> int:
    """Pauses: end those whose time is over, finish those that a dead process left half-way. Limits: the same.

    `tenants` is filled with those read.
    """
    count = 0
    for tenant in deps.store.every(Tenant):
        tenants.append(tenant)
        for scope, gate in tenant.gates.items():
            if gate.until is not None and gate.until <= now:
                why = audit.Reason(id=deps.ids.new("aud"), actor="system:sweep", reason="the pause's time is over")
                resume(deps, dispatcher, tenant.id, scope, why)
                count += 1
            elif gate.state == "pausing":
                finish_pause(deps, tenant.id, scope, gate.id)
                count += 1
        if tenant.status_gate is not None and tenant.status_gate.state == "pausing":
            finish_status(deps, tenant.id, tenant.status_gate.id)
            count += 1
        count += limits.expire(deps, dispatcher, tenant, now)
    return count


def _controls(deps: Deps, dispatcher: Dispatcher, now: int) -> int:
    """Wide scopes: deal what is closed, open kinds whose pause is over, finish a mode or a closed kind that a dead
    process left half-way, record the end of a drain."""
    count = 0
    for control in deps.store.query(Control, where(Control)):
        if control.settle:
            fleet.deal(deps, control.id)
            count += 1
        count += limits.expire(deps, dispatcher, control, now)
        if control.id == SYSTEM:
            count += _reopened(deps, dispatcher, control, now) + _unfinished(deps, control)
            count += draining.note_drained(deps)
    return count


def _reopened(deps: Deps, dispatcher: Dispatcher, control: Control, now: int) -> int:
    over = [kind for kind, state in control.closed.items() if state.until is not None and state.until <= now]
    for kind in over:
        why = audit.Reason(id=deps.ids.new("aud"), actor="system:sweep", reason="the pause's time is over")
        fleet.open_kind(deps, dispatcher, kind, why)
    return len(over)


def _unfinished(deps: Deps, control: Control) -> int:
    pausing = [(kind, state) for kind, state in control.closed.items() if state.state == "pausing"]
    for kind, state in pausing:
        fleet.finish_kind(deps, kind, state.id)
    mode = control.mode_state
    if mode is not None and mode.state == "pausing":
        fleet.finish_mode(deps, mode.id)
        return len(pausing) + 1
    return len(pausing)
