"""The switches on the command line, against the real API over HTTP: what is said, and how each command ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headgate.core.run import LIVE, Run
from headgate.delivery.port import Message
from headgate.flow import dead_letters, invariants, sweep
from headgate.flow.cancel import cancel_run
from headgate.store.documents import where
from headgate.wiring import System
from tests.cli.conftest import Cli, Result
from tests.cli.standin import Answer, Standin
from tests.services.served import Server, build_system, hold_messages, key_of

Say = Callable[..., Result]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One whose messages go nowhere: what is admitted stays pending. What was resumed starts at once, not at a pace."""
    folder = tmp_path_factory.mktemp("switches")
    (folder / "policy.yaml").write_text("pressure: {rampSeconds: 0}")
    made = build_system(folder, HEADGATE_POLICY=str(folder / "policy.yaml"))
    hold_messages(made)
    yield made
    assert invariants.check(made.deps).violations == ()
    made.close()


@pytest.fixture(scope="module")
def url(system: System) -> Iterator[str]:
    with Server(system) as running:
        yield running.url


@pytest.fixture(scope="module")
def operator(system: System) -> str:
    return key_of(system, None)


@pytest.fixture
def say(cli: Cli, url: str, operator: str, system: System) -> Iterator[Say]:
    """A command of the operator, about tenant acme where it needs one. What it left live is cancelled."""

    def run(*words: str, key: str | None = None, about: bool = False) -> Result:
        tenant = ("--tenant", "acme") if about else ()
        return cli(*words, "--url", url, "--api-key", key or operator, *tenant)

    yield run
    for left in system.deps.store.query(Run, where(Run, ("state", "in", sorted(LIVE)))):
        cancel_run(system.deps, left.tenant, left.id)


def submit(say: Say, *words: str) -> str:
    result = say("submit", "command", *words, "--json", "--input", '{"command": "true"}', about=True)
    assert result.code == 0, result.err
    return str(result.document["runId"])


def state(say: Say, run_id: str) -> str:
    return str(say("run", "show", run_id, "--json", about=True).document["state"])


def test_pause_pauses_resume(say: Say) -> None:
    run_id = submit(say, "--repo", "o/r")
    paused = say(
        "pause", "repo:acme/o/r", "--reason", "bad deploy", "--mode", "hold", "--until", "+30m", "--ticket", "T1"
    )
    assert paused.code == 0
    assert paused.out.startswith("repo:acme/o/r paused, mode hold until 2")
    assert state(say, run_id) == "queued"
    title, row = say("pauses").out.splitlines()
    assert title.split()[:3] == ["SCOPE", "STATE", "MODE"]
    assert row.split()[:5] == ["repo:acme/o/r", "paused", "hold", "bad", "deploy"]
    assert [one["ticket"] for one in say("pauses", "--json").document["items"]] == ["T1"]
    assert say("resume", "repo:acme/o/r").out == "repo:acme/o/r resumed\n"
    assert say("resume", "repo:acme/o/r").out == "repo:acme/o/r was not paused\n"
    assert say("resume", "repo:acme/o/r", "--json").document == {"scope": "repo:acme/o/r", "resumed": False}
    assert state(say, run_id) == "pending"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("pause", "tenant:acme"), 2, "--reason"),
        (("pause", "tenant:acme", "--reason", "x", "--mode", "stop"), 2, "--mode"),
        (("pause", "tenant:acme", "--reason", "x", "--until", "soon"), 2, "--until"),
        (("pause", "system", "--reason", "x"), 2, "/admin/draining"),
        (("pause", "git", "--reason", "x"), 2, "kind:K"),
        (("pause", "kind:nope", "--reason", "x"), 4, "kind:nope"),
        (("resume", "tenant:nobody"), 4, "tenant:nobody"),
        (("mode", "off"), 2, "off"),
        (("tenant", "suspend", "acme"), 2, "--reason"),
        (("tenant", "suspend", "nobody", "--reason", "x"), 4, "nobody"),
        (("cancel",), 2, "--state queued"),
        (("dlq", "replay", "--reason", "x"), 2, "--all"),
        (("dlq", "replay", "dl_1", "--all", "--reason", "x"), 2, "--all"),
        (("dlq", "discard", "dl_1"), 2, "--reason"),
        (("dlq", "show", "dl_nope"), 4, "dl_nope"),
        (("submit",), 2, "KIND"),
        (("submit", "command", "--batch", "x.json"), 2, "--batch"),
        (("submit", "--batch", "nowhere.json"), 2, "nowhere.json"),
    ],
)
def test_how_they_fail(say: Say, words: tuple[str, ...], code: int, said: str) -> None:
    result = say(*words)
    assert (result.code, said in result.err) == (code, True), result.err


def test_a_tenants_own_key_may_pause_its_own_only(say: Say, system: System) -> None:
    owner = key_of(system, "acme")
    assert say("pause", "user:acme/ada", "--reason", "x", key=owner).code == 0
    assert say("resume", "user:acme/ada", key=owner).code == 0
    for words in (
        ("pause", "tenant:big", "--reason", "x"),
        ("pause", "kind:git", "--reason", "x"),
        ("drain",),
        ("mode",),
    ):
        assert say(*words, key=owner).code == 4


def test_a_tenants_standing(say: Say) -> None:
    assert say("tenant", "suspend", "acme", "--reason", "unpaid").out == "acme suspended, 0 in flight, 0 queued\n"
    refused = say("submit", "command", "--input", '{"command": "true"}', about=True)
    assert (refused.code, "TENANT_SUSPENDED" in refused.err) == (1, True)
    assert say("tenant", "deactivate", "acme", "--reason", "gone", "--json").document["status"] == "deactivated"
    assert say("tenant", "activate", "acme", "--reason", "back").out.startswith("acme active")


def test_drain_and_mode(say: Say, system: System) -> None:
    runs = [submit(say) for _ in range(2)]
    assert say("mode").out.split() == ["mode", "normal"]
    drained = say("drain", "--reason", "deploy 42")
    assert drained.code == 0
    assert "0 of 2 finished" in drained.out
    assert say("submit", "command", "--input", '{"command": "true"}', about=True).code == 1
    for run_id in runs:
        cancel_run(system.deps, "acme", run_id)
    waited = say("drain", "--wait", "--json")
    assert (waited.code, waited.document["progress"]["finished"]) == (0, 2)
    sweep.sweep(system.deps, system.dispatcher)
    assert "2 of 2 finished, it took" in say("mode").out
    assert say("mode", "maintenance", "--reason", "x", "--json").document["mode"] == "maintenance"
    assert say("mode", "normal").out.split()[:2] == ["mode", "normal"]


def progress(mode: str, finished: int, about: float | None) -> Answer:
    done = {"total": 40, "finished": finished, "running": 40 - finished, "queued": 0}
    facts = {"since": None, "by": "op", "reason": None, "estimatedSeconds": about, "drainSeconds": None}
    return Answer(document={"mode": mode, "progress": done, **facts})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.cli.commands.mode.LOOK_SECONDS", 0.01)


def test_progress_in_words(cli: Cli, server: Standin, demo: Path) -> None:
    server.says(progress("draining", 12, 370.0))
    assert "12 of 40 finished, about 6 min" in cli("mode").out
    server.says(progress("draining", 39, 45.0))
    assert "39 of 40 finished, about 45 s" in cli("mode").out


@pytest.mark.usefixtures("quick")
def test_waiting_for_a_drain(cli: Cli, server: Standin, demo: Path) -> None:
    server.says(*(progress("draining", n, None) for n in (0, 12, 39)), progress("draining", 40, 0.0))
    result = cli("drain", "--wait")
    assert (result.code, "40 of 40 finished" in result.out) == (0, True)
    assert [asked.method for asked in server.asked] == ["PUT", "GET", "GET", "GET"]


@pytest.mark.usefixtures("quick")
def test_a_drain_that_is_called_off_while_waited_for(cli: Cli, server: Standin, demo: Path) -> None:
    server.says(progress("draining", 0, None), progress("normal", 0, None))
    result = cli("drain", "--wait")
    assert (result.code, "called off" in result.err) == (1, True)


def test_cancel_all_that_match(say: Say) -> None:
    kept = submit(say, "--label", "team=db")
    gone = [submit(say, "--label", "team=web", "--repo", "o/r") for _ in range(2)]
    result = say("cancel", "--label", "team=web", "--repo", "o/r", "--json", about=True)
    assert sorted(result.document["runIds"]) == sorted(gone)
    assert result.document["cancelled"] == 2
    assert say("cancel", "--state", "queued", "--kind", "git", "--priority", "high", about=True).out == "0 cancelled\n"
    assert [state(say, run_id) for run_id in (kept, *gone)] == ["pending", "cancelled", "cancelled"]


def test_cancelling_goes_on_while_there_is_more(cli: Cli, server: Standin, demo: Path) -> None:
    pages = [{"cancelled": 2, "runIds": ["a", "b"], "more": True}, {"cancelled": 1, "runIds": ["c"], "more": False}]
    server.says(*(Answer(document=page) for page in pages))
    assert cli("cancel", "--state", "queued").out.splitlines() == ["a", "b", "c", "3 cancelled"]
    assert server.asked[0].body == {"filter": {"state": "queued"}}


def test_retry(say: Say, system: System) -> None:
    run_id = submit(say)
    assert say("run", "retry", run_id, about=True).code == 1
    cancel_run(system.deps, "acme", run_id)
    first, again = (say("run", "retry", run_id, "--json", about=True) for _ in range(2))
    assert first.document["retryOf"] == run_id
    assert first.document["runId"] == again.document["runId"]
    assert f"a retry of {run_id}" in say("run", "retry", run_id, "--on-limit", "queue", about=True).out


RUNS = [{"kind": "command", "input": {"command": "true"}}, {"kind": "nope", "input": {}}]


@pytest.mark.parametrize("shape", ["list", "object", "lines"])
def test_a_batch(say: Say, tmp_path: Path, shape: str) -> None:
    shapes = {
        "list": json.dumps(RUNS),
        "object": json.dumps({"runs": RUNS}),
        "lines": "\n".join(map(json.dumps, RUNS)) + "\n\n",
    }
    (tmp_path / "runs.json").write_text(shapes[shape])
    result = say("submit", "--batch", str(tmp_path / "runs.json"), about=True)
    assert result.code == 1
    _, good, bad = result.out.splitlines()
    assert (good.split()[:2], good.split()[-1]) == (["1", "201"], "pending")
    assert bad.split()[:3] == ["2", "400", "INVALID_REQUEST:"]
    (tmp_path / "good.json").write_text(json.dumps(RUNS[:1]))
    good_one = say("submit", "--batch", str(tmp_path / "good.json"), "--json", about=True)
    assert (good_one.code, [item["status"] for item in good_one.document["items"]]) == (0, [201])


@pytest.mark.parametrize("text", ["", "[]", "[1]", "7", "{", '{"runs": 1}'])
def test_what_is_no_batch(say: Say, tmp_path: Path, text: str) -> None:
    (tmp_path / "runs.json").write_text(text)
    result = say("submit", "--batch", str(tmp_path / "runs.json"), about=True)
    assert (result.code, "--batch" in result.err) == (2, True)


def test_a_large_batch_goes_in_hundreds_and_a_lost_answer_is_asked_for_again(
    cli: Cli, server: Standin, demo: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs.json").write_text(json.dumps([{"kind": "command", "input": {}}] * 150))

    def answer(asked: Any) -> Answer:
        if len(server.asked) == 1:
            return Answer(lost=True)
        return Answer(
            document={"items": [{"status": 201, "run": {"runId": "r"}, "error": None}] * len(asked.body["runs"])}
        )

    server.answers = answer
    result = cli("submit", "--batch", str(tmp_path / "runs.json"), "--json")
    assert (result.code, len(result.document["items"])) == (0, 150)
    lost, again, rest = (asked.body["runs"] for asked in server.asked)
    assert lost == again
    assert (len(again), len(rest)) == (100, 50)
    assert len({run["idempotencyKey"] for run in [*again, *rest]}) == 150


def test_dead_letters(say: Say, system: System) -> None:
    deps, dispatcher = system.deps, system.dispatcher
    bad = dead_letters.quarantine(deps, "dl_bad", "\x1b[31mnot ours", "It is no JSON.").id
    letters = []
    for _ in range(2):
        message = Message(run_id=submit(say), fence=0)
        letters.append(dead_letters.bury(deps, dispatcher, message, "{}").id)
    listed = say("dlq", "list", "--state", "open")
    assert {line.split()[0] for line in listed.out.splitlines()[1:]} == {bad, *letters}
    assert [one["deadLetterId"] for one in say("dlq", "list", "--reason", "malformed", "--json").document["items"]] == [
        bad
    ]
    shown = say("dlq", "show", bad).out
    assert "not ours" in shown
    assert "\x1b" not in shown
    replayed = say("dlq", "replay", letters[0], "--reason", "worker fixed")
    assert replayed.code == 0
    assert replayed.out.splitlines()[1].split()[:2] == [letters[0], "201"]
    mixed = say("dlq", "replay", "--all", "--reason", "worker fixed", "--json")
    assert mixed.code == 1
    assert {one["deadLetterId"]: one["status"] for one in mixed.document["items"]} == {bad: 409, letters[1]: 201}
    assert say("dlq", "replay", "--all", "--tenant", "acme", "--reason", "x", "--json").document["items"] == []
    assert say("dlq", "discard", bad, "--reason", "noise").code == 0
    assert say("dlq", "list", "--state", "open", "--json").document["items"] == []
