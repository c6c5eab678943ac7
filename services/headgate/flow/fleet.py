"""Changes of the wide scopes: caps that settle and are dealt anew, the system's mode, closed kinds.

No admission reads a mode document. A flip is one commit of the control document (by version) and a field mask on every
system and line shard (without precondition, so it cannot be starved); whoever starts or queues a run writes such a
shard under its version, so nothing starts or queues on an old mode after the flip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

from headgate.core import pace, wide
from headgate.core.errors import NotFound
from headgate.core.limits import Override
from headgate.core.policy import PressurePolicy
from headgate.core.run import LIVE, Run
from headgate.core.scopes import LINE, SYSTEM, kind_scope
from headgate.core.tenant import Tenant
from headgate.core.wide import Control, ModeState, Shard
from headgate.flow import audit
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.ledger import Ledger
from headgate.flow.revoke import revoke_all
from headgate.store.documents import where
from headgate.store.transaction import Tx

CONTROL_KEY = "control"


def ensure_scopes(deps: Deps, caps: dict[str, int | None]) -> None:
    """Make control and shards of scopes that do not exist yet. Two processes may try; one commit wins."""
    for scope, cap in caps.items():

        def create(tx: Tx, scope: str = scope, cap: int | None = cap) -> None:
            if tx.get(Control, scope) is None:
                control, shards = wide.new_scope(scope, cap)
                tx.create(control)
                for shard in shards:
                    tx.create(shard)

        deps.store.transact(create, CONTROL_KEY)


def set_cap(deps: Deps, dispatcher: Dispatcher, scope: str, cap: int | None, why: audit.Reason, *,
            until: int | None = None, only: str | None = None) -> Control:  # fmt: skip
    """A wide scope's limit set at run time, or (None) back at the policy's; nobody loses a slot. Raises NotFound.

    `until` in ms since 1970; `only` = nothing is done unless the override of that id stands.
    """

    def change(control: Control, now: int) -> Control:
        standing = control.override
        if (cap is None and standing is None) or (only is not None and (standing is None or standing.id != only)):
            return control
        override = None if cap is None else override_of(why, cap, control.base, now, until)
        return wide.overridden(control, override)

    return _recap(deps, dispatcher, scope, why, "limit.reset" if cap is None else "limit.set", change)


def rebase(deps: Deps, dispatcher: Dispatcher, scope: str, base: int | None, why: audit.Reason) -> Control:
    """The policy's limit of a wide scope has changed; an override keeps standing over it. Raises NotFound."""
    return _recap(deps, dispatcher, scope, why, "limit.base", lambda control, now: wide.rebased(control, base))


def override_of(why: audit.Reason, limit: int, base: int | None, now: int, until: int | None) -> Override:
    """The override that this change sets: its id is the audit record's."""
    return Override(id=why.id, limit=limit, base=base, by=why.actor, reason=why.reason, since=now, until=until)


def shown(base: int | None, override: Override | None) -> dict[str, object]:
    """A limit as audit records tell it."""
    return {"base": base, "limit": base if override is None else override.limit, "until": override and override.until}


def _recap(deps: Deps, dispatcher: Dispatcher, scope: str, why: audit.Reason, action: str,
           change: Callable[[Control, int], Control]) -> Control:  # fmt: skip
    """One commit closes every shard, so nothing starts on the old cap; then the credits are dealt anew. If we die between
    the two, the scope stays closed until the sweep or the next release deals."""

    def cut(tx: Tx) -> Control:
        control = _control(tx, scope)
        after = change(control, tx.now)
        if after == control:
            return control
        tx.put(after)
        for index in range(control.shards if after.cap != control.cap else 0):
            tx.mask(Shard, wide.shard_id(scope, index), {"settle": True, "free": False})
        before = shown(control.base, control.override)
        audit.record(tx, why, action, scope, before, shown(after.base, after.override))
        return after

    after = deps.store.transact(cut, CONTROL_KEY)
    if scope.startswith(kind_scope("")):
        _forgive(deps, scope.removeprefix(kind_scope("")))
    deal(deps, scope)
    dispatcher.dispatch()
    return after


def deal(deps: Deps, scope: str) -> None:
    """Open a closed scope with credits for its cap; while more is held than that, leave it to a later release."""

    def body(tx: Tx) -> None:
        control = _control(tx, scope)
        if not control.settle:
            return
        shards = tx.hint(Shard, where(Shard, ("scope", "==", scope), order=("index",)))
        dealt = wide.deal(control, shards)
        if dealt is not None:
            tx.put(dealt[0])
            for shard in dealt[1]:
                tx.put(shard)

    deps.store.transact(body, CONTROL_KEY)


def deal_all(deps: Deps, scopes: Iterable[str]) -> None:
    """What a release has to do after its commit when it met closed shards."""
    for scope in sorted(scopes):
        deal(deps, scope)


def set_mode(deps: Deps, dispatcher: Dispatcher, mode: str, why: audit.Reason) -> Control:
    """normal, draining or maintenance. When it returns, nothing has started on the old mode since. Saying it again
    changes nothing: a drain goes on counting from when it began."""

    def change(control: Control, now: int) -> Control:
        if control.mode == mode:
            return control
        how_far = "set" if mode == "normal" else "pausing"
        state = ModeState(id=why.id, state=how_far, mode=mode, reason=why.reason, by=why.actor, since=now)
        resumes = control.mode == "maintenance" and mode != "maintenance" and crowd
        control = ramped(control, SYSTEM, now, deps.policy.pressure) if resumes else control
        return replace(control, mode=mode, mode_state=state)

    crowd = _somebody_waits(deps)
    _flip(deps, why, "mode.set", SYSTEM, change)
    state = _read_control(deps).mode_state
    if mode != "normal" and state is not None:
        finish_mode(deps, state.id)
    dispatcher.dispatch()
    return _read_control(deps)


def finish_mode(deps: Deps, id: str) -> None:
    """In maintenance give back every pending run; count what is live, for nothing is added to it any more; then say
    `paused`. Also the sweep's way to end what a dead process began."""
    if _read_control(deps).mode == "maintenance":
        deal_all(deps, revoke_all(deps, (), lambda tenant, shard: shard.mode == "maintenance"))
    total = deps.store.count(where(Run, ("state", "in", sorted(LIVE))))
    _settle_state(deps, id, lambda c: c.mode_state, lambda c, state: replace(c, mode_state=replace(state, total=total)))


def close_kind(
    deps: Deps,
    dispatcher: Dispatcher,
    kind: str,
    mode: str,
    why: audit.Reason,
    *,
    until: int | None = None,
    ticket: str | None = None,
) -> Control:
    """Pause a kind for everybody. When it returns, no run of the kind has started since. `until` in ms since 1970."""

    def change(control: Control, now: int) -> Control:
        state = ModeState(id=why.id, state="pausing", mode=mode, reason=why.reason, by=why.actor, since=now,
                          until=until, ticket=ticket)  # fmt: skip
        return replace(control, closed={**control.closed, kind: state})

    _flip(deps, why, "kind.paused", kind_scope(kind), change)
    finish_kind(deps, kind, why.id)
    dispatcher.dispatch()
    return _read_control(deps)


def finish_kind(deps: Deps, kind: str, id: str) -> None:
    """Do to the runs of the kind what the pause's mode says, then say `paused`."""
    state = _read_control(deps).closed.get(kind)
    if state is None:
        return
    conditions = (("kind", "==", kind),)
    deal_all(deps, revoke_all(deps, conditions, lambda tenant, shard: kind in shard.closed, state.mode))
    _settle_state(
        deps, id, lambda control: control.closed.get(kind), lambda c, s: replace(c, closed={**c.closed, kind: s})
    )


def open_kind(deps: Deps, dispatcher: Dispatcher, kind: str, why: audit.Reason) -> Control:
    """Resume a kind."""

    def change(control: Control, now: int) -> Control:
        resumes = kind in control.closed and crowd
        control = ramped(control, kind_scope(kind), now, deps.policy.pressure) if resumes else control
        return replace(control, closed={k: state for k, state in control.closed.items() if k != kind})

    _forgive(deps, kind)
    crowd = _somebody_waits(deps, ("kind", "==", kind))
    _flip(deps, why, "kind.resumed", kind_scope(kind), change)
    dispatcher.dispatch()
    return _read_control(deps)


def _forgive(deps: Deps, kind: str) -> None:
    """Whom a full or closed kind has kept waiting starts at the fleet's virtual time: that saved up no credit."""
    for tenant in deps.store.query(Tenant, where(Tenant, ("offers", "array_contains_any", [kind]), order=("turn",))):

        def body(tx: Tx, id: str = tenant.id) -> None:
            ledger = Ledger.open(tx, id, deps.policy)
            ledger.forgive()
            ledger.close()

        deps.store.transact(body, tenant.id)


def _somebody_waits(deps: Deps, *conditions: tuple[str, str, str]) -> bool:
    """Whether a resume would let anybody loose: without a crowd there is nothing to pace."""
    query = where(Run, *conditions, ("state", "==", "queued"), order=("created_at",), limit=1)
    return bool(deps.store.query(Run, query))


def stamp(tx: Tx, system: Control, line_shards: int) -> None:
    """What every system and line shard carries alike, so that whoever starts or queues a run sees it."""
    fields = {
        "mode": system.mode,
        "closed": {kind: state.mode for kind, state in system.closed.items()},
        "pressure": system.pressure.state,
        "slow": system.pressure.slow,
        "ramps": dict(system.ramps),
    }
    for scope, count in ((SYSTEM, system.shards), (LINE, line_shards)):
        for index in range(count):
            tx.mask(Shard, wide.shard_id(scope, index), fields)


def ramped(control: Control, scope: str, now: int, policy: PressurePolicy) -> Control:
    """`system` with a ramp that begins for a wide scope: what waited for it takes up again at a pace."""
    going_on = {s: since for s, since in control.ramps.items() if pace.ramping(since, now, policy)}
    return replace(control, ramps={**going_on, scope: now})


def _flip(deps: Deps, why: audit.Reason, action: str, subject: str, change: Callable[[Control, int], Control]) -> None:
    line_shards = _read_control(deps, LINE).shards  # never changes after the scope was made

    def body(tx: Tx) -> None:
        before = _control(tx, SYSTEM)
        after = change(before, tx.now)
        if after is before:
            return
        tx.put(after)
        stamp(tx, after, line_shards)
        audit.record(tx, why, action, subject, _visible(before, subject), _visible(after, subject))

    deps.store.transact(body, CONTROL_KEY)


def _settle_state(
    deps: Deps,
    id: str,
    read: Callable[[Control], ModeState | None],
    write: Callable[[Control, ModeState], Control],
) -> None:
    def body(tx: Tx) -> None:
        control = _control(tx, SYSTEM)
        state = read(control)
        if state is not None and state.id == id and state.state == "pausing":
            tx.put(write(control, replace(state, state="paused")))

    deps.store.transact(body, CONTROL_KEY)


def _control(tx: Tx, scope: str) -> Control:
    control = tx.get(Control, scope)
    if control is None:
        raise NotFound(f"There is no wide scope {scope!r}.")
    return control


def _read_control(deps: Deps, scope: str = SYSTEM) -> Control:
    control = deps.store.get(Control, scope)
    if control is None:
        raise NotFound(f"There is no wide scope {scope!r}.")
    return control


def _visible(control: Control, subject: str) -> dict[str, object] | None:
    """What audit records tell of the mode, or of the pause of one kind."""
    if subject == SYSTEM:
        return {"mode": control.mode}
    state = control.closed.get(subject.partition(":")[2])
    return None if state is None else asdict(state)
