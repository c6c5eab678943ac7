"""Why a run waits, whether estimates hold, how fair the shares are: over the API."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from headgate.core.access import Role
from headgate.core.policy import OnLimit
from headgate.core.reasons import TABLE, Reason
from headgate.core.run import Event, Run, RunState, ShardsHeld
from headgate.flow import pause
from headgate.flow.audit import Reason as Because
from headgate.store.documents import where
from headgate.wiring import System
from tests.services.served import Api, Stage, build_system, eventually, hold_messages, key_of


def waiting(api: Api, **fields: object) -> str:
    """A run of `small` that waits for the one slot of its tenant, which another run holds."""
    if not api.get("/tenants/small", key="small").json()["inFlight"]:
        assert api.submit("small").status == 201
    answer = api.submit("small", onLimit="queue", **fields)
    assert answer.status == 202
    return str(answer.json()["runId"])


def test_why_a_run_waits(api: Api) -> None:
    first = api.submit("small").json()["runId"]
    waiting(api)
    run_id = waiting(api)

    why = api.get(f"/tenants/small/runs/{run_id}/why", key="small").json()

    assert (why["waiting"], why["state"], why["position"], why["length"]) == (True, "queued", 2, 2)
    assert [reason["token"] for reason in why["waitingFor"]] == ["SCOPE_FULL:tenant"]
    assert why["waitingFor"][0]["means"] == "Every slot of the tenant is taken."
    assert why["bindingScope"] == "tenant:small"
    [holder] = why["holders"]
    assert (holder["runId"], holder["tenantId"], why["otherHolders"]) == (first, "small", 0)
    assert why["expectedRelease"] == holder["expectedEnd"] > holder["since"]
    assert why["unblock"] == "A run of the tenant ending, or a higher limit of the tenant."
    assert why["estimatedWait"]["basis"] == "default"  # nothing has ended yet
    assert 0 < why["estimatedWait"]["p50"] <= why["estimatedWait"]["p90"]
    assert why["asOf"] >= why["since"]


def test_the_run_itself_says_how_long(api: Api) -> None:
    line = api.get(f"/tenants/small/runs/{waiting(api)}", key="small").json()["line"]

    assert set(line["estimatedWait"]) == {"p50", "p90"}
    assert line["asOf"] is None  # exact, now


def test_why_of_a_run_that_does_not_wait(api: Api) -> None:
    run_id = api.submit().json()["runId"]

    why = api.get(f"/tenants/acme/runs/{run_id}/why").json()

    assert (why["waiting"], why["state"], why["unblock"]) == (False, "pending", "The run is pending: it does not wait.")
    assert (why["position"], why["waitingFor"], why["holders"], why["estimatedWait"]) == (None, [], [], None)


def test_a_pause_has_no_estimate_and_says_what_ends_it(api: Api, system: System) -> None:
    run_id = waiting(api)
    pause.pause(
        system.deps, system.dispatcher, "small", pause.Pause(mode="hold"), Because(id="aud_1", actor="op", reason="x")
    )

    why = api.get(f"/tenants/small/runs/{run_id}/why", key="small").json()

    assert why["waitingFor"][0]["token"] == "TENANT_PAUSED"
    assert (why["estimatedWait"], why["unblock"]) == (None, "Resuming the tenant.")


def test_who_holds_a_wide_scope_is_told_to_operators_only(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("limits: {kinds: {command: 2}}\n")
    system = build_system(tmp_path, Stage(), HEADGATE_POLICY=str(policy))
    hold_messages(system)
    api = Api(system)
    theirs = [api.submit("acme").json()["runId"] for _ in range(2)]
    run_id = api.submit("small", onLimit="queue").json()["runId"]

    own = api.get(f"/tenants/small/runs/{run_id}/why", key="small").json()
    all_of_it = api.get(f"/tenants/small/runs/{run_id}/why", key=api.operator).json()

    assert own["bindingScope"] == all_of_it["bindingScope"] == "kind:command"
    assert (own["holders"], own["otherHolders"]) == ([], 2)
    assert own["expectedRelease"] is not None
    assert not any(id in str(own) for id in (*theirs, "acme"))
    assert ({one["runId"] for one in all_of_it["holders"]}, all_of_it["otherHolders"]) == (set(theirs), 0)
    system.close()


def test_why_is_for_those_who_may_see_the_run(api: Api) -> None:
    run_id = waiting(api)

    assert api.get(f"/tenants/small/runs/{run_id}/why", key=None).status == 401
    assert api.get(f"/tenants/small/runs/{run_id}/why", key="acme").status == 404
    assert api.get("/tenants/small/runs/run_none/why", key="small").status == 404
    assert api.get(f"/tenants/small/runs/{run_id}/why?deep=1", key="small").json()["field"] == "deep"


def test_every_token_has_its_words() -> None:
    assert set(TABLE) == set(Reason)
    for said in TABLE.values():
        assert said.why.endswith(".")
        assert said.unblock.endswith(".")


def test_a_refusal_says_the_same_three_times(api: Api) -> None:
    api.submit("small")
    refused = api.submit("small")

    body = refused.json()
    receipt = api.get(f"/tenants/small/receipts/{body['receiptId']}", key="small").json()

    assert (refused.status, refused.headers["Retry-After"]) == (429, str(body["retryAfter"]))
    assert body["retryAfter"] >= 30
    assert moment(receipt["retryAt"]) - moment(receipt["at"]) == body["retryAfter"]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# --- reports


def test_the_reports_are_for_operators(api: Api, system: System) -> None:
    for path in ("/admin/forecast", "/admin/fairness"):
        assert api.get(path, key=None).status == 401
        assert api.get(path).status == 403
        assert api.get(path, key=key_of(system, None, Role.OPERATOR)).status == 200


def test_reports_of_nothing(api: Api) -> None:
    forecast = api.get("/admin/forecast", key=api.operator).json()
    fairness = api.get("/admin/fairness", key=api.operator).json()

    nothing = {"runs": 0, "withinP50": None, "withinP90": None, "medianErrorSeconds": None}
    assert (forecast["total"], forecast["kinds"]) == (nothing, {})
    assert (fairness["jain"], fairness["tenants"], fairness["complete"]) == (None, [], True)


@pytest.mark.parametrize("window", ["0", "59", "86401", "x", "-60", "1e3", "60.5", "٦٠٠"])
def test_a_bad_window_is_a_400(api: Api, window: str) -> None:
    answer = api.get(f"/admin/fairness?window={window}", key=api.operator)

    assert (answer.status, answer.json()["field"]) == (400, "window")


def test_reports_of_runs_that_waited(working: System, stage: Stage) -> None:
    api = Api(working)
    stage.over.set()
    for _ in range(6):
        api.submit("small", onLimit=str(OnLimit.QUEUE), kind="stage", input={})
    assert eventually(lambda: idle(api.get("/tenants/small", key="small").json()))

    forecast = api.get("/admin/forecast", key=api.operator).json()
    fairness = api.get("/admin/fairness?window=60", key=api.operator).json()

    assert forecast["total"]["runs"] == forecast["kinds"]["stage"]["runs"] > 0
    [small] = fairness["tenants"]
    assert (small["tenantId"], small["weight"], small["queued"]) == ("small", 1.0, 0)
    assert small["heldSlotSeconds"] > 0


def idle(tenant: dict[str, Any]) -> bool:
    return (tenant["inFlight"], tenant["queued"]) == (0, 0)


def test_long_holders_make_callers_come_back_later(api: Api, system: System) -> None:
    """A history of long runs: whoever is refused now is told so, and not everybody the same."""
    api.submit("small")
    [held] = system.deps.store.query(Run, where(Run, ("tenant", "==", "small")))
    for number in range(20):
        finish_after(system, held, number, 400.0)

    told = [api.submit("small").json()["retryAfter"] for _ in range(12)]

    assert all(300 <= seconds <= 500 for seconds in told), told
    assert len(set(told)) > 4


def finish_after(system: System, like: Run, number: int, seconds: float) -> None:
    """A finished run in the store that held its slots so long."""
    now = system.deps.store.now()
    events = (
        Event(seq=1, at=now - round(seconds * 1000), type="run.pending"),
        Event(seq=2, at=now, type="run.finished"),
    )
    run = replace(
        like,
        id=f"run_old{number}",
        state=RunState.COMPLETED,
        finished_at=now,
        holding_since=None,
        publish_due=None,
        shards=ShardsHeld(),
        events=events,
        event_seq=2,
    )
    system.deps.store.transact(lambda tx: tx.create(run), f"old{number}")
