"""A queued run's place, as it changes: told to whoever follows the run, read once for all who do."""

from __future__ import annotations

import threading
from dataclasses import replace

import httpx
import pytest

from headgate.core.forecast import Estimate
from headgate.core.run import Run
from headgate.flow import overview
from headgate.flow.overview import LineView
from headgate.web import watch
from headgate.web.feed import worth_telling
from headgate.wiring import System
from tests.services.served import Server, Sse, Stage, key_of

HELD: dict[str, object] = {"kind": "stage", "input": {}, "onLimit": "queue"}
WIRE = ("position", "length", "aheadByPriority", "estimatedWait", "waitingFor", "holders", "asOf")


def test_places_are_told_as_they_change(server: Server, stage: Stage) -> None:
    with server.client(server_key(server)) as client:
        first, second, third = (client.post("/tenants/small/runs", json=HELD).json()["runId"] for _ in range(3))
        stage.jobs.get(timeout=10)
        with server.events(client, third, with_places=True, tenant="small") as events:
            assert next(events).type == "run.queued"
            place = next(events)
            shown = client.get(f"/tenants/small/runs/{third}").json()["line"]
            assert (place.type, place.id, place.data["position"], place.data["length"]) == ("run.line", 0, 2, 2)
            assert tuple(key for key in place.data if key != "at") == WIRE
            assert {**place.data, "estimatedWait": 0} == {**shown, "estimatedWait": 0, "at": place.data["at"]}
            client.post(f"/tenants/small/runs/{second}/cancel")
            moved = next(event for event in events if event.data.get("position") != 2)
            assert (moved.type, moved.data["position"], moved.data["length"]) == ("run.line", 1, 1)
            client.post(f"/tenants/small/runs/{first}/cancel")
            rest = [next(events)]
            while rest[-1].type != "run.running":
                rest.append(next(events))
            stage.over.set()
            rest += list(events)
        again = stored(client, third)

    types = [event.type for event in rest if event.type != "run.line"]
    assert types == ["run.pending", "run.running", "run.finished"]
    assert "run.line" not in [event.type for event in rest[rest_index(rest, "run.pending") :]]
    assert again == ["run.queued", *types]


def server_key(server: Server) -> str:
    return key_of(server.system, "small")


def stored(client: httpx.Client, run_id: str) -> list[str]:
    items = client.get(f"/tenants/small/runs/{run_id}/events").json()["items"]
    return [item["type"] for item in items]


def rest_index(events: list[Sse], kind: str) -> int:
    return [event.type for event in events].index(kind)


def test_many_listeners_cost_one_look_a_second(server: Server, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 streams on 20 runs: each look of the process asks for at most LINES_AT_ONCE places, and all are told in turn."""
    asked: list[int] = []

    def counting(deps: object, runs: list[Run]) -> dict[str, LineView]:
        asked.append(len(runs))
        return overview.lines_of(server.system.deps, runs)

    monkeypatch.setattr(watch, "lines_of", counting)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.05)
    with server.client(server_key(server)) as client:
        runs = [client.post("/tenants/small/runs", json=HELD).json()["runId"] for _ in range(21)][1:]
        told: set[str] = set()

        def listen(run_id: str) -> None:
            with (
                server.client(server_key(server)) as mine,
                server.events(mine, run_id, with_places=True, tenant="small") as events,
            ):
                if any(event.type == "run.line" for event in events):
                    told.add(run_id)

        listeners = [threading.Thread(target=listen, args=(run_id,)) for run_id in runs * 2]
        for listener in listeners:
            listener.start()
        for listener in listeners:
            listener.join(30)
        stage.over.set()

    assert told == set(runs)
    assert max(asked) <= watch.LINES_AT_ONCE


def test_nobody_listening_costs_nothing(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "lines_of", lambda *_: pytest.fail("nobody asked"))
    with Server(system) as server, server.client() as client:
        for _ in range(7):
            client.post("/tenants/acme/runs", json=HELD)
        assert client.get("/tenants/acme").json()["queued"] == 2


PLACE = LineView(
    position=3,
    length=9,
    ahead_by_priority=0,
    waiting_for=("SCOPE_FULL:repo",),
    estimated_wait=Estimate(p50=100.0, p90=200.0),
)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (PLACE, False),
        (replace(PLACE, position=2), True),
        (replace(PLACE, length=10), True),
        (replace(PLACE, waiting_for=("TENANT_PAUSED", "SCOPE_FULL:repo")), True),
        (replace(PLACE, estimated_wait=None), True),
        (replace(PLACE, estimated_wait=Estimate(p50=95.0, p90=190.0)), False),
        (replace(PLACE, estimated_wait=Estimate(p50=80.0, p90=190.0)), True),
        (replace(PLACE, estimated_wait=Estimate(p50=100.0, p90=230.0)), True),
        (replace(PLACE, holders=("run_1",)), False),
    ],
)
def test_what_is_worth_telling(now: LineView, told: bool) -> None:
    assert worth_telling(PLACE, now) is told
    assert worth_telling(None, now)


def test_who_follows_a_log_is_told_no_places() -> None:
    follower = watch.Follower(0)
    follower.place(PLACE, 1)
    assert follower.take_line() == []


def test_a_place_is_told_once() -> None:
    follower = watch.Follower(0, wants_line=True)
    follower.place(PLACE, 1)
    follower.place(PLACE, 2)
    assert [entry.at for entry in follower.take_line()] == [1]
    follower.place(PLACE, 3)
    assert follower.take_line() == []
