"""Dead letters once somebody has looked: do again what was given up, or lay it aside. Each on its own, with a record in
the audit log; doing it twice does it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from headgate.core.access import Caller
from headgate.core.errors import Conflicting, NotFound
from headgate.core.policy import OnLimit
from headgate.core.run import TERMINAL, Run, RunState
from headgate.flow import audit
from headgate.flow.broker import unavailable
from headgate.flow.deps import Asking, Deps
from headgate.flow.dispatch import Dispatcher
from headgate.flow.retry import retry
from headgate.flow.submit import Accepted, Answer, Submitter
from headgate.store.documents import DeadLetter, where
from headgate.store.transaction import Tx

MOST = 200
"""Dead letters that one call deals with, at most."""

OPEN, REPLAYED, DISCARDED = "open", "replayed", "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the list, newest first, and where to go on: moment and id of the last one."""

    letters: Sequence[DeadLetter]
    after: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class Redelivered:
    """The run waits for its message still: it was published again."""

    run: Run


def list_letters(deps: Deps, equal: Mapping[str, object], limit: int, after: tuple[int, str] | None = None) -> Page:
    """Dead letters whose fields (tenant, run, reason, state) are as said."""
    conditions = [(name, "==", value) for name, value in sorted(equal.items())]
    found = deps.store.query(DeadLetter, where(DeadLetter, *conditions, order=("-at",), limit=limit + 1, after=after))
    letters = found[:limit]
    return Page(letters=letters, after=(letters[-1].at, letters[-1].id) if len(found) > limit else None)


def find_letter(deps: Deps, id: str) -> DeadLetter:
    """Raises NotFound."""
    letter = deps.store.get(DeadLetter, id)
    if letter is None:
        raise NotFound(f"There is no dead letter {id!r}.")
    return letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayer:
    """What a replay needs. `why.id` is not used: each letter has a record of its own."""

    deps: Deps
    dispatcher: Dispatcher
    submitter: Submitter
    caller: Caller
    asking: Asking
    why: audit.Reason

    def replay(self, id: str) -> Answer | Redelivered:
        """Its run again. A refusal leaves the letter open. Raises NotFound, Conflicting, and what a retry raises."""
        letter = find_letter(self.deps, id)
        if letter.state == DISCARDED:
            raise Conflicting(f"Dead letter {id} was discarded.")
        run = self._run_of(letter)
        answer = self._again(run)
        if isinstance(answer, Accepted | Redelivered):
            self._mark(id, REPLAYED)
        return answer

    def discard(self, id: str) -> DeadLetter:
        """Lay it aside. Raises NotFound; Conflicting if it was replayed."""
        letter = find_letter(self.deps, id)
        if letter.state == REPLAYED:
            raise Conflicting(f"Dead letter {id} was replayed: there is nothing to discard.")
        return self._mark(id, DISCARDED)

    def _run_of(self, letter: DeadLetter) -> Run:
        if letter.run is None:
            raise Conflicting(f"Dead letter {letter.id} is {letter.reason}: it names no run, discard it.")
        run = self.deps.store.get(Run, letter.run)
        if run is None:
            raise NotFound(f"Run {letter.run} of dead letter {letter.id} is not there (any more): discard it.")
        return run

    def _again(self, run: Run) -> Answer | Redelivered:
        if run.state in TERMINAL:
            return retry(self.deps, self.submitter, self.caller, run.tenant, run.id, self.asking, OnLimit.QUEUE)
        if run.state is RunState.PENDING:
            if not self.dispatcher.publish(run):
                raise unavailable()
            return Redelivered(run)
        raise Conflicting(f"Run {run.id} has moved on by itself, it is {run.state}: discard the dead letter.")

    def _mark(self, id: str, state: str) -> DeadLetter:
        """The letter's new state and its record, in one commit; nothing if it is in that state already."""
        why = replace(self.why, id=self.deps.ids.new("aud"))

        def body(tx: Tx) -> DeadLetter:
            letter = tx.get(DeadLetter, id)
            if letter is None:
                raise NotFound(f"There is no dead letter {id!r}.")
            if letter.state != OPEN:
                return letter
            after = replace(letter, state=state)
            tx.put(after)
            subject = f"dead-letter:{id}"
            audit.record(tx, why, f"dead_letter.{state}", subject, _said(letter), _said(after), letter.tenant)
            return after

        letter = self.deps.store.transact(body, f"dead_letter:{id}")
        self.deps.telemetry.info(f"dead_letter.{state}", dead_letter=id, run_id=letter.run, tenant=letter.tenant)
        return letter


def _said(letter: DeadLetter) -> dict[str, object]:
    return {name: value for name, value in asdict(letter).items() if name in ("state", "run", "reason")}
