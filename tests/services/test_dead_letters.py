"""Dead letters at the door: looked at, replayed once, discarded; each with an answer and a record of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from headgate.core.access import Role
from headgate.core.run import Run
from headgate.delivery.port import DeliveryDown, Message
from headgate.flow import dead_letters, replay
from headgate.flow.cancel import cancel_run
from headgate.store.documents import AuditRecord, DeadLetter, where
from headgate.wiring import System
from tests.services.served import Api, key_of
from tests.support.threads import all_well, together

LETTERS = "/admin/dead-letters"


def bury(api: Api, tenant: str = "acme", **fields: Any) -> str:
    """A run whose message the broker gave up: it has failed. The letter's id."""
    run = stored(api, api.submit(tenant, **fields).json()["runId"])
    return buried(api, run)


def buried(api: Api, run: Run) -> str:
    deps, dispatcher = api.system.deps, api.system.dispatcher
    return dead_letters.bury(deps, dispatcher, Message(run_id=run.id, fence=run.fence), '{"a": "body"}').id


def stored(api: Api, run_id: str) -> Run:
    found = api.system.deps.store.get(Run, run_id)
    assert found is not None
    return found


def malformed(api: Api, id: str = "dl_bad") -> str:
    return dead_letters.quarantine(api.system.deps, id, "not ours", "It is no JSON.").id


def open_letters(api: Api) -> int:
    return api.system.deps.store.count(where(DeadLetter, ("state", "==", "open")))


def done(api: Api, verb: str, **asked: Any) -> list[Any]:
    answer = api.post(f"{LETTERS}/{verb}", {"reason": "broker is back", **asked}, key=api.operator)
    assert answer.status == 200, answer.json()
    items: list[Any] = answer.json()["items"]
    return items


def audited(api: Api) -> list[tuple[str, str, str]]:
    found = api.system.deps.store.query(AuditRecord, where(AuditRecord, order=("at",)))
    return [(r.action, r.subject, r.reason) for r in found if r.action.startswith("dead_letter.")]


def test_looking_changes_nothing(api: Api) -> None:
    first, bad, other = bury(api), malformed(api), bury(api, "big")
    listed = api.get(LETTERS, key=api.operator).json()
    assert {one["deadLetterId"] for one in listed["items"]} == {first, bad, other}
    by_id = {one["deadLetterId"]: one for one in listed["items"]}
    assert by_id[first] | {"at": None, "runId": None} == {
        "deadLetterId": first, "at": None, "reason": "dead_lettered",
        "detail": "The broker gave the message up after its last delivery.", "body": '{"a": "body"}', "outcome": "ended",
        "tenantId": "acme", "runId": None, "fence": 0, "state": "open", "count": 1,
    }  # fmt: skip
    assert (by_id[bad]["reason"], by_id[bad]["runId"], by_id[bad]["body"]) == ("malformed", None, "not ours")
    for _ in range(2):
        assert api.get(f"{LETTERS}/{first}", key=api.operator).json() == by_id[first]
    assert api.get(f"{LETTERS}/dl_nope", key=api.operator).status == 404


def test_filters_and_pages(api: Api) -> None:
    mine, others = [bury(api) for _ in range(3)], [bury(api, "big") for _ in range(2)]
    malformed(api)

    def found(query: str) -> set[str]:
        return {one["deadLetterId"] for one in api.get(f"{LETTERS}?{query}", key=api.operator).json()["items"]}

    assert found("tenantId=acme") == set(mine)
    assert found("reason=malformed") == {"dl_bad"}
    assert found("state=open&reason=dead_lettered&tenantId=big") == set(others)
    assert found("state=replayed") == set()
    run_id = api.get(f"{LETTERS}/{mine[0]}", key=api.operator).json()["runId"]
    assert found(f"runId={run_id}") == {mine[0]}
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(f"{LETTERS}?limit=2{cursor and '&cursor=' + cursor}", key=api.operator).json()
        seen += [one["deadLetterId"] for one in page["items"]]
        cursor = page["nextCursor"]
    assert len(seen) == len(set(seen)) == 6
    for wrong, field in (("cursor=x", "cursor"), ("limit=201", "limit"), ("colour=red", "colour")):
        assert api.get(f"{LETTERS}?{wrong}", key=api.operator).json()["field"] == field
    for wrong in ("state", "reason"):
        assert api.get(f"{LETTERS}?{wrong}=odd", key=api.operator).json()["field"] == wrong


def test_a_replay_of_an_ended_run_is_a_new_run_once(api: Api) -> None:
    letter = bury(api, repo="o/r", labels={"a": "b"})
    [item] = done(api, "replay", ids=[letter])
    assert (item["status"], item["error"]) == (201, None)
    old = api.get(f"{LETTERS}/{letter}", key=api.operator).json()["runId"]
    assert (item["run"]["retryOf"], item["run"]["repo"], item["run"]["labels"]) == (old, "o/r", {"a": "b"})
    [again] = done(api, "replay", ids=[letter])
    assert (again["status"], again["run"]["runId"]) == (201, item["run"]["runId"])
    assert api.post(f"/tenants/acme/runs/{old}/retry").json()["runId"] == item["run"]["runId"]
    assert api.get(f"{LETTERS}/{letter}", key=api.operator).json()["state"] == "replayed"
    assert audited(api) == [("dead_letter.replayed", f"dead-letter:{letter}", "broker is back")]
    assert len(api.get("/tenants/acme/runs").json()["items"]) == 2


def test_many_replay_at_once_and_a_lost_mark(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    letter = bury(api)
    with monkeypatch.context() as patch:
        patch.setattr(replay.Replayer, "_mark", dies)  # dies between the new run and the mark
        with pytest.raises(KeyboardInterrupt):
            api.post(f"{LETTERS}/replay", {"ids": [letter], "reason": "x"}, key=api.operator)
    assert open_letters(api) == 1
    answers = all_well(together([partial(done, api, "replay", ids=[letter])] * 8))
    assert len({item["run"]["runId"] for [item] in answers}) == 1
    assert len(api.get("/tenants/acme/runs").json()["items"]) == 2
    assert len(audited(api)) == 1


def dies(*facts: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_still_waits_gets_its_message_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message was given up under an older fence: the run itself is pending."""
    run = stored(api, api.submit().json()["runId"])
    deps = api.system.deps
    letter = dead_letters.bury(deps, api.system.dispatcher, Message(run_id=run.id, fence=run.fence + 7), "{}").id
    published: list[Message] = []

    def publish(message: Message, timeout: float) -> None:
        published.append(message)

    monkeypatch.setattr(deps.delivery, "publish", publish)
    [item] = done(api, "replay", ids=[letter])
    assert (item["status"], item["run"]["runId"], item["run"]["state"]) == (200, run.id, "pending")
    assert [(message.run_id, message.fence) for message in published] == [(run.id, run.fence)]
    assert open_letters(api) == 0


def test_a_broker_that_is_down_leaves_it_open(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stored(api, api.submit().json()["runId"])
    deps = api.system.deps
    letter = dead_letters.bury(deps, api.system.dispatcher, Message(run_id=run.id, fence=run.fence + 7), "{}").id

    def publish(message: Message, timeout: float) -> None:
        raise DeliveryDown("no")

    monkeypatch.setattr(deps.delivery, "publish", publish)
    [item] = done(api, "replay", ids=[letter])
    assert item["status"] == 503
    assert open_letters(api) == 1


def test_what_cannot_be_replayed_is_told_per_item(api: Api, system: System) -> None:
    bad, good = malformed(api), bury(api)
    unknown = dead_letters.bury(system.deps, system.dispatcher, Message(run_id="run_gone", fence=0), "{}").id
    blocked = api.submit("small").json()["runId"]
    queued = stored(api, api.submit("small", onLimit="queue").json()["runId"])
    moved = buried(api, queued)
    discarded = bury(api)
    assert done(api, "discard", ids=[discarded])[0]["status"] == 200
    items = done(api, "replay", ids=[bad, good, unknown, moved, discarded, "dl_nope"])
    assert [item["status"] for item in items] == [409, 201, 404, 409, 409, 404]
    for item in items:
        assert (item["run"] is None) != (item["error"] is None)
        if item["error"]:
            assert item["error"]["requestId"]
    assert "malformed" in items[0]["error"]["detail"]
    assert "queued" in items[3]["error"]["detail"]
    cancel_run(system.deps, "small", blocked)


def test_a_refused_replay_stays_open(api: Api) -> None:
    letter = bury(api)
    assert api.post("/tenants/acme/pause", {"reason": "x"}).status == 200
    [item] = done(api, "replay", ids=[letter])
    assert (item["status"], item["error"]["code"]) == (503, "TENANT_PAUSED")
    assert open_letters(api) == 1
    assert api.post("/tenants/acme/resume").status == 200
    assert done(api, "replay", ids=[letter])[0]["status"] == 201


def test_many_are_put_in_line_when_the_tenant_is_full(api: Api) -> None:
    letters = [bury(api) for _ in range(8)]
    items = done(api, "replay", filter={"tenantId": "acme"})
    assert sorted(item["deadLetterId"] for item in items) == sorted(letters)
    assert sorted(item["status"] for item in items) == [201] * 5 + [202] * 3
    assert done(api, "replay", filter={"tenantId": "acme"}) == []


def test_a_filter_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        malformed(api, f"dl_bad{number}")
    monkeypatch.setattr("headgate.api.dead_letters.MOST", 3)
    seen: list[int] = []
    for more in (True, False):
        answer = api.post(
            f"{LETTERS}/discard", {"filter": {"reason": "malformed"}, "reason": "noise"}, key=api.operator
        )
        assert answer.json()["more"] is more
        seen.append(len(answer.json()["items"]))
    assert seen == [3, 2]
    assert open_letters(api) == 0


def test_discard(api: Api) -> None:
    letter, replayed = bury(api), bury(api)
    done(api, "replay", ids=[replayed])
    for _ in range(2):
        assert done(api, "discard", ids=[letter])[0] == {
            "deadLetterId": letter, "status": 200, "run": None, "error": None
        }  # fmt: skip
    assert done(api, "discard", ids=[replayed])[0]["status"] == 409
    assert [action for action, *_ in audited(api)] == ["dead_letter.replayed", "dead_letter.discarded"]
    buried_again = api.get(f"{LETTERS}/{letter}", key=api.operator).json()
    assert buried_again["state"] == "discarded"


def test_who_may(api: Api) -> None:
    letter = malformed(api)
    body = {"ids": [letter], "reason": "x"}
    for key in ("acme", "big", key_of(api.system, "acme", Role.ADMIN), key_of(api.system, "acme", Role.VIEWER)):
        for method, path, sent in (
            ("GET", LETTERS, None),
            ("GET", f"{LETTERS}/{letter}", None),
            ("POST", f"{LETTERS}/replay", body),
            ("POST", f"{LETTERS}/discard", body),
        ):
            assert api.ask(method, path, sent, key=key).status == 403
    assert open_letters(api) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ids": ["a"]}, "reason"),
        ({"reason": "x"}, "ids"),
        ({"ids": ["a"], "filter": {}, "reason": "x"}, "ids"),
        ({"ids": [], "reason": "x"}, "ids"),
        ({"ids": ["a", "a"], "reason": "x"}, "ids"),
        ({"ids": ["a"] * 201, "reason": "x"}, "ids"),
        ({"filter": {"colour": "red"}, "reason": "x"}, "filter.colour"),
        ({"filter": {"reason": "odd"}, "reason": "x"}, "filter.reason"),
    ],
)
@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_what_is_wrong(shared_api: Api, verb: str, body: dict[str, Any], field: str) -> None:
    answer = shared_api.post(f"{LETTERS}/{verb}", body, key=shared_api.operator)
    assert (answer.status, answer.json()["field"]) == (400, field)
