"""Dead letters: messages that were given up, each kept as a record of its own until somebody has looked at it.

Whoever dies before the commit has recorded nothing and acknowledged nothing: the message comes again. After it, coming
again only raises the record's `count`.
"""

from __future__ import annotations

from dataclasses import replace

from headgate.core.lifecycle import Change
from headgate.core.run import Run, RunState
from headgate.delivery.envelope import data_of
from headgate.delivery.port import Message
from headgate.flow import work
from headgate.flow.deps import Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.ledger import DAY_MS, Ledger
from headgate.store.documents import DeadLetter
from headgate.store.transaction import Tx

MOST_BODY = 16 * 1024
"""Characters kept of a body: ours have some hundred."""


def quarantine(deps: Deps, id: str, body: str, why: str) -> DeadLetter:
    """Record what is no message of ours and never will be. `id` is the same at every delivery. Raises Unavailable."""

    def commit(tx: Tx) -> DeadLetter:
        return _keep(tx, deps, DeadLetter(id=id, at=tx.now, reason="malformed", detail=why, body=body, expire_at=0))

    letter = deps.store.transact(commit, f"dead_letter:{id}")
    _say(deps, letter)
    return letter


def bury(deps: Deps, dispatcher: Dispatcher, message: Message, body: str) -> DeadLetter:
    """The broker gave a message up: its run fails if it still waits for that very message, in the record's own commit.

    Raises Unavailable.
    """
    found = deps.store.get(Run, message.run_id)
    letter = _letter(message, body, "dead_lettered", "The broker gave the message up after its last delivery.")
    if found is None:
        letter = deps.store.transact(lambda tx: _keep(tx, deps, replace(letter, outcome="unknown")), letter.id)
        _say(deps, letter)
        return letter
    kept = _end_and_keep(deps, dispatcher, found, replace(letter, tenant=found.tenant), always=True)
    assert kept is not None  # always
    return kept


def give_up(deps: Deps, dispatcher: Dispatcher, run: Run) -> DeadLetter | None:
    """A pending run's message was published as often as the policy allows and never taken: the run fails. None: it was
    taken meanwhile. Without this a run whose messages all get lost would hold its slots for ever."""
    message = Message(run_id=run.id, fence=run.fence)
    why = f"The message was published {run.publishes} times and no worker took it."
    letter = _letter(message, data_of(message).decode(), "undelivered", why)
    return _end_and_keep(deps, dispatcher, run, replace(letter, tenant=run.tenant), always=False)


def _letter(message: Message, body: str, reason: str, why: str) -> DeadLetter:
    """One record for one message, whoever gives it up and however often: run and fence name it."""
    id = f"dl_{message.run_id}~{message.fence}"
    return DeadLetter(
        id=id, at=0, reason=reason, detail=why, body=body, expire_at=0, run=message.run_id, fence=message.fence
    )


def _end_and_keep(
    deps: Deps, dispatcher: Dispatcher, run: Run, letter: DeadLetter, *, always: bool
) -> DeadLetter | None:
    """The run's end and the record in one commit; if the run has moved on, the record alone or (not `always`) nothing."""

    def commit(tx: Tx) -> tuple[DeadLetter | None, Run | None, set[str]]:
        ledger = Ledger.open(tx, run.tenant, deps.policy)
        now = tx.get(Run, run.id)
        if now is None or now.state is not RunState.PENDING or now.fence != letter.fence:
            return _keep(tx, deps, replace(letter, outcome="moved_on")) if always else None, None, set()
        after = ledger.end(now, Change.DEAD_LETTER)
        ledger.close()
        return _keep(tx, deps, replace(letter, outcome="ended")), after, ledger.settling

    kept, after, settling = deps.store.transact(commit, run.tenant)
    if kept is not None:
        _say(deps, kept)
    if after is not None:
        work.settle(deps, dispatcher, after, settling)
    return kept


def _keep(tx: Tx, deps: Deps, letter: DeadLetter) -> DeadLetter:
    """The record, new or once more. What became of the first stands: a duplicate finds only that its run has ended."""
    before = tx.get(DeadLetter, letter.id)
    if before is not None:
        outcome = "ended" if letter.outcome == "ended" else before.outcome
        after = replace(before, count=before.count + 1, outcome=outcome)
    else:
        expire_at = tx.now + deps.policy.retention.dead_letters * DAY_MS
        after = replace(letter, at=tx.now, body=letter.body[:MOST_BODY], expire_at=expire_at)
    tx.put(after)
    return after


def _say(deps: Deps, letter: DeadLetter) -> None:
    facts: dict[str, object] = {"dead_letter": letter.id, "reason": letter.reason, "outcome": letter.outcome}
    facts |= {"run_id": letter.run, "tenant": letter.tenant, "count": letter.count, "detail": letter.detail}
    deps.telemetry.warning("dead_letter.kept", **facts)
