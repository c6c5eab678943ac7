"""Changes of the wide scopes: caps that settle and are dealt anew, the system's mode, closed kinds.

No admission reads a mode document. A flip is one commit of the control document (by version) and a field mask on every
system and line shard (without precondition, so it cannot be starved); whoever starts or queues a run writes such a
shard under its version, so nothing starts or queues on an old mode after the flip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

from headgate.core import wide
from headgate.core.errors import NotFound
from headgate.core.scopes import LINE, SYSTEM
from headgate.core.wide import Control, ModeState, Shard
from headgate.flow import audit
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
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


def set_cap(deps: Deps, dispatcher: Dispatcher, scope: str, cap: int | None, why: audit.Reason) -> Control:
    """A new cap for a wide scope, up or down; nobody loses a slot. Raises NotFound.

    One commit closes every shard, so nothing starts on the old cap; then the credits are dealt anew. If we die between
    the two, the scope stays closed until the sweep or the next release deals.
    """

    def cut(tx: Tx) -> Control:
        control = _control(tx, scope)
        after = replace(control, cap=cap, settle=True)
        tx.put(after)
        for index in range(control.shards):
            tx.mask(Shard, wide.shard_id(scope, index), {"settle": True, "free": False})
        audit.record(tx, why, "limit.set", scope, {"limit": control.cap}, {"limit": cap})
        return after

    after = deps.store.transact(cut, CONTROL_KEY)
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
    """normal, draining or maintenance. When it returns, nothing has started on the old mode since."""

    def change(control: Control, now: int) -> Control:
        pausing = ModeState(id=why.id, state="pausing", mode=mode, reason=why.reason, by=why.actor, since=now)
        state = pausing if mode == "maintenance" else replace(pausing, state="set")
        return replace(control, mode=mode, mode_state=state)

    _flip(deps, why, "mode.set", change)
    if mode == "maintenance":
        finish_mode(deps, why.id)
    dispatcher.dispatch()
    return _read_control(deps)


def finish_mode(deps: Deps, id: str) -> None:
    """Give back every pending run, then say `paused`; also the sweep's way to end what a dead process began."""

    def still(shard: Shard) -> bool:
        return shard.mode == "maintenance"

    deal_all(deps, revoke_all(deps, (), lambda tenant, shard: still(shard)))
    _settle_state(deps, id, lambda control: control.mode_state, lambda control, s: replace(control, mode_state=s))


def close_kind(deps: Deps, dispatcher: Dispatcher, kind: str, mode: str, why: audit.Reason) -> Control:
    """Pause a kind for everybody. When it returns, no run of the kind has started since."""

    def change(control: Control, now: int) -> Control:
        state = ModeState(id=why.id, state="pausing", mode=mode, reason=why.reason, by=why.actor, since=now)
        return replace(control, closed={**control.closed, kind: state})

    _flip(deps, why, "kind.paused", change)
    finish_kind(deps, kind, why.id)
    dispatcher.dispatch()
    return _read_control(deps)


def finish_kind(deps: Deps, kind: str, id: str) -> None:
    """Give back every pending run of the kind, then say `paused`."""
    deal_all(deps, revoke_all(deps, (("kind", "==", kind),), lambda tenant, shard: kind in shard.closed))
    _settle_state(
        deps, id, lambda control: control.closed.get(kind), lambda c, s: replace(c, closed={**c.closed, kind: s})
    )


def open_kind(deps: Deps, dispatcher: Dispatcher, kind: str, why: audit.Reason) -> Control:
    """Resume a kind."""

    def change(control: Control, now: int) -> Control:
        return replace(control, closed={k: state for k, state in control.closed.items() if k != kind})

    _flip(deps, why, "kind.resumed", change)
    dispatcher.dispatch()
    return _read_control(deps)


def _flip(deps: Deps, why: audit.Reason, action: str, change: Callable[[Control, int], Control]) -> None:
    line_shards = _read_control(deps, LINE).shards  # never changes after the scope was made

    def body(tx: Tx) -> None:
        before = _control(tx, SYSTEM)
        after = change(before, tx.now)
        tx.put(after)
        fields = {"mode": after.mode, "closed": {kind: state.mode for kind, state in after.closed.items()}}
        for scope, count in ((SYSTEM, before.shards), (LINE, line_shards)):
            for index in range(count):
                tx.mask(Shard, wide.shard_id(scope, index), fields)
        audit.record(tx, why, action, SYSTEM, _visible(before), _visible(after))

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


def _visible(control: Control) -> dict[str, object]:
    return {"mode": control.mode, "closed": {kind: asdict(state) for kind, state in control.closed.items()}}
