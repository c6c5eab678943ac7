"""What must be true after a kill: start again, wait the lease and one sweep, run everything to its end, recount."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headgate.core.run import Run, RunState
from headgate.core.tenant import Tenant
from headgate.core.wide import Shard
from headgate.flow import fleet, invariants, pause, sweep
from headgate.handlers.interface import Done
from headgate.store.documents import AuditRecord, where
from headgate.verify.crash_scene import LEASE_SECONDS, SWEEP_SECONDS, WORKER, World, keyed, rounds

Told = Sequence[Mapping[str, Any]]

RECLAIM, LEASE = "reclaim", "lease"
RECOVERIES = (RECLAIM, LEASE)
"""How the dead process's runs come back: its own successor takes them at once, or strangers wait for the lease."""

MOST_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One broken promise. `what`: lost, leaked, double, integrity or violation."""

    what: str
    subject: str
    detail: str

    def as_json(self) -> dict[str, str]:
        """As it goes through a pipe."""
        return asdict(self)


def recover(world: World, told: Told, how: str) -> None:
    """Bring everything to its end and tell what is wrong, as `finding=…`; a process that dies here is started again."""
    if how == RECLAIM:
        with world.points.step("reclaim"):
            sweep.reclaim(world.deps, world.dispatcher, WORKER)
    world.deps.timing.sleep(LEASE_SECONDS + SWEEP_SECONDS)
    world.sweep()
    findings = list(_still_held(world))
    _open_everything(world)
    findings += _repeat_what_had_a_key(world, told)
    for _ in rounds(world):
        run = world.claim()
        while run is not None:
            world.finish(run, Done({"ok": True}))
            run = world.claim()
    findings += _audit(world, told)
    for finding in findings[:MOST_TOLD]:
        world.tell(finding=finding.as_json())
    world.tell(findings=dict(Counter(finding.what for finding in findings)))
    world.deps.store.close()


def _still_held(world: World) -> Iterator[Finding]:
    """After lease + one sweep nothing is held in a dead worker's name."""
    for run in world.live():
        if run.state is RunState.RUNNING:
            yield Finding(what="leaked", subject=run.id, detail=f"still held by {run.worker} after lease + one sweep")


def _open_everything(world: World) -> None:
    deps, dispatcher = world.deps, world.dispatcher
    with world.points.step("open"):
        fleet.set_mode(deps, dispatcher, "normal", world.why())
        fleet.set_cap(deps, dispatcher, "system", 3, world.why())
        for scope in ("tenant", "repo:o/one"):
            pause.resume(deps, dispatcher, "alpha", scope, world.why())


def _repeat_what_had_a_key(world: World, told: Told) -> Iterator[Finding]:
    """A client that heard an answer gets the same run; one that heard none gets one run, the first or a new one."""
    heard = {said["key"]: said["accepted"] for said in told if said.get("key")}
    for key, asked in keyed(world.setting.seed).items():
        run = world.submit("alpha", asked, key)
        if run is not None and heard.get(key, run.id) != run.id:
            yield Finding(what="double", subject=key, detail=f"was answered {heard[key]}, now {run.id}")


def _audit(world: World, told: Told) -> list[Finding]:
    everything = world.deps.store.query(Run, where(Run, order=("created_at",)))
    runs = {run.id: run for run in everything}
    return [
        *_integrity(world),
        *_promises(world, told, runs),
        *_one_outcome(runs.values()),
        *_one_run_a_key(runs.values()),
        *_slots(world),
        *_invariants(world),
    ]


def _integrity(world: World) -> Iterator[Finding]:
    if world.setting.store != "sqlite":
        return
    file: Path = world.setting.folder / "headgate.db"
    connection = sqlite3.connect(file)
    said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    connection.close()
    if said != ["ok"]:
        yield Finding(what="integrity", subject=file.name, detail=str(said[:3]))


def _promises(world: World, told: Told, runs: Mapping[str, Run]) -> Iterator[Finding]:
    """What was answered before the death stands after it."""
    for said in told:
        run_id = said.get("accepted") or said.get("ended")
        if run_id is not None and run_id not in runs:
            yield Finding(what="lost", subject=run_id, detail="was answered and does not exist")
        elif "ended" in said and runs[said["ended"]].state != said["state"]:
            detail = f"ended as {said['state']} and is {runs[said['ended']].state}"
            yield Finding(what="double", subject=said["ended"], detail=detail)
    for change in (said["audited"] for said in told if "audited" in said):
        if world.deps.store.get(AuditRecord, change) is None:
            yield Finding(what="lost", subject=change, detail="was answered and is not in the audit log")


def _one_outcome(runs: Iterable[Run]) -> Iterator[Finding]:
    for run in runs:
        if run.state in ("queued", "pending", "running"):
            yield Finding(what="lost", subject=run.id, detail=f"never ends: it is {run.state}")
        ends = sum(event.type == "run.finished" for event in run.events)
        if ends > 1:
            yield Finding(what="double", subject=run.id, detail=f"{ends} times run.finished")


def _one_run_a_key(runs: Iterable[Run]) -> Iterator[Finding]:
    for key, count in Counter(run.labels["key"] for run in runs if "key" in run.labels).items():
        if count > 1:
            yield Finding(what="double", subject=key, detail=f"{count} runs of one Idempotency-Key")


def _slots(world: World) -> Iterator[Finding]:
    """Everything has ended, so nobody holds or waits for anything."""
    for tenant in world.deps.store.query(Tenant, where(Tenant)):
        for run_id in tenant.holders:
            yield Finding(what="leaked", subject=f"tenant:{tenant.id}", detail=f"held by {run_id}")
    for shard in world.deps.store.query(Shard, where(Shard)):
        for run_id in shard.holders:
            yield Finding(what="leaked", subject=shard.scope, detail=f"held by {run_id}")
        if shard.waiting:
            yield Finding(what="leaked", subject=shard.scope, detail=f"{shard.waiting} counted as waiting")


def _invariants(world: World) -> Iterator[Finding]:
    for violation in invariants.check(world.deps).violations:
        detail = f"{violation.invariant}: {violation.detail}"
        yield Finding(what="violation", subject=violation.subject, detail=detail)
