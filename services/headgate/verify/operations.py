"""What the simulated callers and operators do: each operation of a mix, through the real flows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from headgate.core.access import Caller, Role
from headgate.core.errors import HeadgateError
from headgate.core.policy import OnLimit
from headgate.core.scopes import SYSTEM, full_name, kind_scope
from headgate.core.submission import Submission
from headgate.flow import cancel, fleet, limits, pause, sweep
from headgate.flow.audit import Reason
from headgate.flow.deps import Asking
from headgate.flow.pause import Pause
from headgate.flow.submit import Accepted
from headgate.verify.mixes import Op
from headgate.verify.places import Place
from headgate.verify.scheduler import Scheduler

OPERATOR = Caller(credential="sim", role=Role.OPERATOR)


@dataclass
class Operations:
    """The verbs, and what came of them. `stop` and `freeze` are done to a process by whoever has processes."""

    scheduler: Scheduler
    reached: Counter[str]
    stop: Callable[[Place], None] = field(default=lambda place: None)
    freeze: Callable[[Place], None] = field(default=lambda place: None)
    accepted: dict[str, str] = field(default_factory=dict)
    """Every accepted run, and its tenant."""
    named: dict[object, str] = field(default_factory=dict)

    def begin(self, op: Op, place: Place) -> None:
        """The operation as a task of the process; parts of one that are `together` become one task each."""
        for part in op.parts:
            self.scheduler.spawn(part.verb, place, partial(self.perform, part.drawn(self.scheduler.rng), place))

    def perform(self, op: Op, place: Place) -> None:
        """The operation, here and now; an error that callers may get is counted."""
        self.attempt(partial(getattr(self, f"_{op.verb}"), place, **op.facts))

    def attempt(self, action: Callable[[], object]) -> None:
        """Whatever may be answered with an error."""
        try:
            action()
        except HeadgateError as error:
            self.reached[f"answered {error.code}"] += 1

    def why(self, place: Place) -> Reason:
        """Who did it."""
        return Reason(id=place.deps.ids.new("aud"), actor="sim")

    # --- callers

    def _submit(self, place: Place, tenant: str, name: object, on_limit: str | None, key: str | None = None,
                not_before: int | None = None, start_by: int | None = None, fails: int = 0, **asked: object) -> None:  # fmt: skip
        now = self.scheduler.now
        submission = Submission(
            on_limit=None if on_limit is None else OnLimit(on_limit),
            not_before=None if not_before is None else now + not_before * 1000,
            start_by=None if start_by is None else now + start_by * 1000,
            labels={"fails": str(fails)},
            **asked,  # type: ignore[arg-type]  # a mix's facts: kind, user, repo, priority, concurrency_key
        )
        caller = Caller(credential="sim", role=Role.OWNER, tenant=tenant)
        answer = place.submitter.submit(caller, tenant, submission, Asking(), key)
        if not isinstance(answer, Accepted):
            self.reached[f"refused {answer.refusal.code}"] += 1
            return
        self.accepted[answer.run.id] = tenant
        self.named[name] = answer.run.id
        self.reached["accepted, waits" if answer.status == 202 else "accepted, starts"] += 1
        self.reached["answered again by its key"] += answer.replayed

    def _cancel(self, place: Place, name: object) -> None:
        chosen = self.scheduler.rng.choice(sorted(self.accepted)) if self.accepted else None
        run_id = chosen if name is None else self.named.get(name)
        if run_id is not None:
            self.reached[f"cancel: {cancel.cancel_run(place.deps, self.accepted[run_id], run_id).state}"] += 1
            place.dispatcher.dispatch()

    # --- operators of a tenant

    def _pause(self, place: Place, tenant: str, scope: str, mode: str, seconds: int | None) -> None:
        until = None if seconds is None else self.scheduler.now + seconds * 1000
        pause.pause(place.deps, place.dispatcher, tenant, Pause(scope=scope, mode=mode, until=until), self.why(place))
        self.reached[f"paused: {mode}"] += 1

    def _resume(self, place: Place, tenant: str, scope: str) -> None:
        pause.resume(place.deps, place.dispatcher, tenant, scope, self.why(place))

    def _limit(self, place: Place, tenant: str, scope: str, cap: int) -> None:
        asked = limits.Change(scope=full_name(tenant, scope), limit=cap)
        limits.put_limit(place.deps, place.dispatcher, OPERATOR, asked, self.why(place))
        self.reached["limit inside a tenant changed"] += 1

    # --- operators of the fleet

    def _cap(self, place: Place, scope: str, cap: int | None) -> None:
        name = scope if scope == SYSTEM else kind_scope(scope)
        fleet.set_cap(place.deps, place.dispatcher, name, cap, self.why(place))
        self.reached["cap changed"] += 1

    def _mode(self, place: Place, name: str) -> None:
        fleet.set_mode(place.deps, place.dispatcher, name, self.why(place))
        self.reached[f"mode: {name}"] += 1

    def _close(self, place: Place, kind: str, mode: str) -> None:
        fleet.close_kind(place.deps, place.dispatcher, kind, mode, self.why(place))
        self.reached["kind closed"] += 1

    def _reopen(self, place: Place, kind: str) -> None:
        fleet.open_kind(place.deps, place.dispatcher, kind, self.why(place))

    def _sweep(self, place: Place) -> None:
        sweep.sweep(place.deps, place.dispatcher)

    # --- what happens to processes

    def _stop(self, place: Place) -> None:
        self.stop(place)

    def _freeze(self, place: Place) -> None:
        self.freeze(place)
