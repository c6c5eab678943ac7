"""Execute: real threads around real commits; the handler is the test's own kind."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core.errors import Unavailable
from headgate.core.policy import Execution, Policy
from headgate.core.run import Run
from headgate.delivery.port import Message
from headgate.flow import cancel, invariants, overview, sweep, work
from headgate.flow.deps import Asking, Deps
from headgate.flow.execute import Executor, Handled, correlation
from headgate.handlers.interface import Done, Failed, Job
from headgate.sources import SystemTiming
from tests.support.world import World

DEPTH = 1500
"""Folders in each other: more than Python's own removal can do."""


class Scripted:
    """A kind that does what the test says."""

    kind = "command"

    def __init__(self) -> None:
        self.work: Callable[[Job], Done | Failed] = lambda job: Done({})
        self.jobs: list[Job] = []

    def check(self, input: Mapping[str, object]) -> None:
        return

    def run(self, job: Job) -> Done | Failed:
        self.jobs.append(job)
        return self.work(job)


class Stage:
    """A world with real time, an executor and one scripted kind."""

    def __init__(self, tmp_path: Path) -> None:
        self.kind = Scripted()
        quick = Execution(heartbeat_seconds=0.1, lease_seconds=2.0)
        self.world = World(tmp_path, policy=replace(Policy(), execution=quick))
        handlers = {"command": self.kind, "git": self.world.deps.handlers["git"]}
        timing = SystemTiming()
        deps = replace(self.world.deps, timing=timing, handlers=handlers)
        self.executor = Executor(deps, self.world.dispatcher, "w1", tmp_path / "work")
        self.executor.start()

    def handle(self, run: Run) -> Handled:
        return self.executor.handle(Message(run_id=run.id, fence=self.world.run(run).fence))

    def in_background(self, run: Run) -> threading.Thread:
        thread = threading.Thread(target=self.handle, args=(run,))
        thread.start()
        return thread


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.executor.stop(grace=0)
    assert invariants.check(made.world.deps).violations == ()


def test_a_run_is_executed_with_its_output_and_artifacts(stage: Stage) -> None:
    def work_(job: Job) -> Done:
        job.log("grüß".encode()[:3])
        job.log("grüß".encode()[3:] + b" gott\n")
        path = job.workdir / "a.txt"
        path.write_text("hi")
        job.save_artifact("a.txt", path, "text/plain")
        return Done({"ok": True})

    stage.kind.work = work_
    run = stage.world.accepted(input={"x": 1})
    assert stage.handle(run) is Handled.EXECUTED
    ended = stage.world.run(run)
    assert (ended.state, ended.result) == ("completed", '{"ok":true}')
    assert [a.name for a in ended.artifacts] == ["a.txt"]
    assert "".join(c.text for c in overview.output_of(stage.world.deps, ended)) == "grüß gott\n"
    assert stage.kind.jobs[0].input == {"x": 1}
    assert not stage.kind.jobs[0].workdir.exists()


def test_what_a_handler_raises_fails_the_run_and_not_the_worker(stage: Stage) -> None:
    def broken(job: Job) -> Done:
        raise RuntimeError("no such thing")

    stage.kind.work = broken
    run = stage.world.accepted()
    assert stage.handle(run) is Handled.EXECUTED
    error = stage.world.run(run).error
    assert error is not None
    assert (error.code, error.message) == ("HANDLER_ERROR", "RuntimeError: no such thing")


def test_a_duplicate_is_nothing_to_do(stage: Stage) -> None:
    run = stage.world.accepted()
    assert stage.handle(run) is Handled.EXECUTED
    assert stage.executor.handle(Message(run_id=run.id, fence=0)) is Handled.NOTHING_TO_DO
    assert len(stage.kind.jobs) == 1


def test_output_is_stored_while_the_run_goes_on(stage: Stage) -> None:
    seen = threading.Event()

    def slow(job: Job) -> Done:
        job.log(b"first\n")
        assert seen.wait(10)
        return Done({})

    stage.kind.work = slow
    run = stage.world.accepted()
    thread = stage.in_background(run)
    for _ in range(100):
        if overview.output_of(stage.world.deps, stage.world.run(run)):
            break
        threading.Event().wait(0.05)
    assert [c.text for c in overview.output_of(stage.world.deps, stage.world.run(run))] == ["first\n"]
    seen.set()
    thread.join(10)
    assert stage.world.state(run) == "completed"


def test_output_over_the_bound_is_dropped_and_says_so(stage: Stage) -> None:
    limit = stage.world.deps.policy.execution.log_bytes

    def spam(job: Job) -> Done:
        for _ in range(4):
            job.log(b"x" * (limit // 2))
        return Done({})

    stage.kind.work = spam
    run = stage.world.accepted()
    stage.handle(run)
    text = "".join(c.text for c in overview.output_of(stage.world.deps, stage.world.run(run)))
    assert len(text) < limit + 100
    assert text.count("is not kept") == 1


def test_a_cancel_is_felt_at_once_and_frees_the_slots(stage: Stage) -> None:
    started = threading.Event()

    def wait(job: Job) -> Done | Failed:
        started.set()
        assert job.cancelled.wait(10)
        return Failed(code="HANDLER_ERROR", message="cancelled")

    stage.kind.work = wait
    run = stage.world.accepted()
    thread = stage.in_background(run)
    assert started.wait(10)
    cancel.cancel(stage.world.deps, stage.world.dispatcher, stage.world.caller(), "acme", run.id)
    assert stage.world.tenant().holders == {}
    thread.join(5)
    assert not thread.is_alive()
    assert stage.world.state(run) == "cancelled"


def test_heartbeats_keep_a_long_run(stage: Stage) -> None:
    def long(job: Job) -> Done:
        job.cancelled.wait(0.8)
        return Done({})

    stage.kind.work = long
    run = stage.world.accepted()
    thread = stage.in_background(run)
    threading.Event().wait(0.6)
    stage.world.clock.forward(1.5)
    threading.Event().wait(0.7)
    thread.join(10)
    assert stage.world.state(run) == "completed"


def test_a_worker_that_stops_puts_its_runs_back(stage: Stage) -> None:
    started = threading.Event()

    def endless(job: Job) -> Done | Failed:
        started.set()
        job.cancelled.wait(30)
        return Failed(code="HANDLER_ERROR", message="told to stop")

    stage.kind.work = endless
    run = stage.world.accepted()
    thread = stage.in_background(run)
    assert started.wait(10)
    stage.executor.stop(grace=0.1)
    thread.join(5)
    after = stage.world.run(run)
    assert (after.state, after.attempt) == ("pending", 1)
    assert stage.handle(run) is Handled.STOPPING


def test_an_outcome_waits_for_a_store_that_is_away_for_a_moment(stage: Stage) -> None:
    finish, tries = work.finish, []

    def flaky(*args: object, **kwargs: object) -> object:
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("hiccup")
        return finish(*args, **kwargs)  # type: ignore[arg-type]

    work.finish = flaky  # type: ignore[assignment]
    try:
        run = stage.world.accepted()
        stage.handle(run)
    finally:
        work.finish = finish
    assert (stage.world.state(run), len(tries)) == ("completed", 3)


def test_output_waits_for_a_store_that_is_away_for_a_moment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    beat, tries, stored = work.beat, [], threading.Event()

    def flaky(deps: Deps, run: Run, output: str = "") -> None:
        tries.append(output)
        if len(tries) == 1:
            raise Unavailable("hiccup")
        beat(deps, run, output)
        stored.set()

    def speak(job: Job) -> Done:
        job.log(b"first\n")
        assert stored.wait(10)
        return Done({})

    monkeypatch.setattr(work, "beat", flaky)
    stage.kind.work = speak
    run = stage.world.accepted()
    stage.handle(run)
    assert tries[:2] == ["first\n", "first\n"]
    assert "".join(c.text for c in overview.output_of(stage.world.deps, stage.world.run(run))) == "first\n"


def beats_on(stage: Stage, run: Run) -> bool:
    """Whether the run's lease is extended from now on."""
    before = stage.world.run(run).beat_at
    stage.world.clock.forward(0.5)
    for _ in range(200):
        if stage.world.run(run).beat_at != before:
            return True
        threading.Event().wait(0.05)
    return False


def test_a_run_that_ends_takes_nobody_elses_heart(stage: Stage) -> None:
    ends = {"short": threading.Event(), "long": threading.Event()}

    def work_(job: Job) -> Done:
        assert ends[str(job.input["which"])].wait(30)
        return Done({})

    stage.kind.work = work_
    runs = {which: stage.world.accepted(input={"which": which}) for which in ends}
    threads = {which: stage.in_background(run) for which, run in runs.items()}
    assert beats_on(stage, runs["long"])
    ends["short"].set()
    threads["short"].join(10)
    assert stage.world.state(runs["short"]) == "completed"
    assert stage.executor.executing() == 1
    assert beats_on(stage, runs["long"])
    ends["long"].set()
    threads["long"].join(10)
    assert stage.world.state(runs["long"]) == "completed"


def test_an_earlier_attempt_that_ends_here_leaves_the_later_ones_heart(stage: Stage) -> None:
    """The first was given up while this process could not be heard, say; both are under way here for a while."""
    ends = {1: threading.Event(), 2: threading.Event()}

    def work_(job: Job) -> Done:
        assert ends[job.attempt].wait(30)
        return Done({"attempt": job.attempt})

    stage.kind.work = work_
    world = stage.world
    run = world.accepted()
    first = stage.in_background(run)
    assert beats_on(stage, run)
    work.lose(world.deps, world.dispatcher, world.run(run), known_dead=True)
    world.clock.forward(60)
    sweep.start_due(world.deps, world.dispatcher)
    assert world.state(run) == "pending"
    second = stage.in_background(run)
    assert beats_on(stage, run)
    ends[1].set()
    first.join(10)
    assert stage.executor.executing() == 1
    assert beats_on(stage, run)
    ends[2].set()
    second.join(10)
    assert (world.state(run), world.run(run).result) == ("completed", '{"attempt":2}')


def test_what_is_done_when_the_worker_stops_is_not_handed_back(stage: Stage) -> None:
    started = threading.Event()

    def just_in_time(job: Job) -> Done:
        started.set()
        assert job.cancelled.wait(30)
        return Done({"done": True})

    stage.kind.work = just_in_time
    run = stage.world.accepted()
    thread = stage.in_background(run)
    assert started.wait(10)
    stage.executor.stop(grace=0)
    thread.join(10)
    assert (stage.world.state(run), stage.world.run(run).result) == ("completed", '{"done":true}')


def test_who_cannot_renew_its_lease_stops_when_that_is_over(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may hold the run from then on. The lease is 2 s; ten of them are time enough on a busy machine."""
    stopped: list[bool] = []

    def away(deps: Deps, run: Run, output: str = "") -> None:
        raise Unavailable("no store")

    def endless(job: Job) -> Failed:
        stopped.append(job.cancelled.wait(20))
        return Failed(code="HANDLER_ERROR", message="told to stop")

    monkeypatch.setattr(work, "beat", away)
    stage.kind.work = endless
    stage.handle(stage.world.accepted())
    assert stopped == [True]


def test_what_a_run_dug_is_removed_and_does_not_spoil_its_outcome(stage: Stage) -> None:
    def dig(job: Job) -> Done:
        code = f"import os\nfor _ in range({DEPTH}): os.mkdir('d'); os.chdir('d')"
        subprocess.run([sys.executable, "-c", code], cwd=job.workdir, check=True)
        return Done({})

    stage.kind.work = dig
    run = stage.world.accepted()
    stage.handle(run)
    assert stage.world.state(run) == "completed"
    assert not stage.kind.jobs[0].workdir.exists()


def test_what_cannot_be_removed_is_told_and_does_not_spoil_the_outcome(stage: Stage) -> None:
    def swap(job: Job) -> Done:
        job.workdir.rmdir()
        job.workdir.write_text("a file now")
        return Done({})

    stage.kind.work = swap
    run = stage.world.accepted()
    stage.handle(run)
    assert stage.world.state(run) == "completed"
    assert "run.folder_left" in stage.world.telemetry.actions()


def test_correlation_reaches_the_child(stage: Stage) -> None:
    from headgate.core.submission import Submission

    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    asking = Asking(request_id="req-9", trace=trace)
    world = stage.world
    answer = world.submitter.submit(world.caller(), "acme", Submission(kind="command"), asking)
    environment = correlation(world.run(answer.run))  # type: ignore[union-attr]
    assert environment["HEADGATE_REQUEST_ID"] == "req-9"
    assert environment["TRACEPARENT"] == trace["traceparent"]
    assert world.delivery.messages[-1].attributes["traceparent"] == trace["traceparent"]
