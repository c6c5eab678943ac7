"""An embedded server that is stopping takes no messages any more: 503 for a submission, alone or one of many."""

from __future__ import annotations

from headgate.core.run import LIVE, Run
from headgate.store.documents import where
from headgate.wiring import System
from tests.services.served import ECHO, Api


def live(system: System) -> int:
    return system.deps.store.count(where(Run, ("state", "in", sorted(LIVE))))


def test_while_it_stops_nothing_is_accepted(api: Api, system: System) -> None:
    system.delivery.close()
    for _ in range(3):
        answer = api.submit()
        assert (answer.status, answer.json()["code"]) == (503, "BROKER_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) > 0
    assert live(system) == 0


def test_many_are_each_told(api: Api, system: System) -> None:
    system.delivery.close()
    items = api.post("/tenants/acme/runs:batch", {"runs": [ECHO] * 5}, key="acme").json()["items"]
    assert {(item["status"], item["error"]["code"]) for item in items} == {(503, "BROKER_UNAVAILABLE")}
    assert live(system) == 0


def test_a_retry_is_told_too_and_is_free_afterwards(api: Api, system: System) -> None:
    run_id = api.submit().json()["runId"]
    assert api.post(f"/tenants/acme/runs/{run_id}/cancel", key="acme").status == 200
    system.delivery.close()
    for _ in range(2):
        assert api.post(f"/tenants/acme/runs/{run_id}/retry", key="acme").status == 503
    assert system.deps.store.count(where(Run)) == 1
