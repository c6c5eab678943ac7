"""Lists: pages put together, tables, JSON in the API's shape. And what is looked up by id."""

import pytest

from tests.cli.standin import Answer, a_run

RUNS = [a_run(runId=f"run_{n:03}") for n in range(450)]


@pytest.fixture
def paged(server, demo):
    """A server that lists RUNS as the API does."""

    def answers(asked):
        start, size = int(asked.query.get("cursor", 0)), int(asked.query["limit"])
        assert 1 <= size <= 200
        after = start + size
        return Answer(document={"items": RUNS[start:after], "nextCursor": str(after) if after < len(RUNS) else None})

    server.answers = answers
    return server


def test_some(cli, paged):
    result = cli("runs", "--limit", "3")
    assert [line.split()[0] for line in result.out.splitlines()] == ["RUN", "run_000", "run_001", "run_002"]
    assert "--all" in result.err


def test_json_has_the_shape_of_the_api(cli, paged):
    assert cli("--json", "runs", "--limit", "3").document == {"items": RUNS[:3], "nextCursor": "3"}
    assert cli("--json", "runs", "--limit", "250").document == {"items": RUNS[:250], "nextCursor": "250"}
    assert cli("--json", "runs", "--all").document == {"items": RUNS, "nextCursor": None}


def test_filters_go_along_on_every_page(cli, paged):
    cli("runs", "--all", "--state", "queued", "--kind", "git", "--repo", "a/b", "--user", "u")
    assert len(paged.asked) == 3
    for asked in paged.asked:
        assert {"state": "queued", "kind": "git", "repo": "a/b", "user": "u"}.items() <= asked.query.items()


def test_tenants(cli, server, demo):
    tenant: dict = {
        "tenantId": "acme",
        "plan": "pro",
        "status": "active",
        "pause": None,
        "inFlight": 2,
        "queued": 7,
        "limits": {},
    }
    paused = tenant | {
        "tenantId": "bolt",
        "status": "paused",
        "pause": {"mode": "hold", "reason": "backlog", "until": None},
    }
    server.says(Answer(document={"items": [tenant, paused], "nextCursor": None}))
    lines = cli("tenants").out.splitlines()
    assert lines[1].split() == ["acme", "pro", "active", "2", "7"]
    assert lines[2].endswith("hold, backlog")
    assert cli("tenants", "--json").document["items"] == [tenant, paused]


def test_receipt(cli, server, demo):
    scopes = [
        {"scope": "tenant:pro-demo", "used": 5, "limit": 5, "full": True},
        {"scope": "system", "used": 1, "limit": None, "full": False},
    ]
    receipt = {
        "receiptId": "rcpt_1",
        "outcome": "refuse",
        "code": "PLAN_LIMIT_CONCURRENCY",
        "scopes": scopes,
        "runId": None,
    }
    server.says(Answer(document=receipt))
    lines = cli("receipt", "rcpt_1").out.splitlines()
    assert server.asked[-1].path == "/tenants/pro-demo/receipts/rcpt_1"
    assert [line.split() for line in lines] == [
        ["receiptId", "rcpt_1"], ["outcome", "refuse"], ["code", "PLAN_LIMIT_CONCURRENCY"],
        ["SCOPE", "USED", "LIMIT"], ["tenant:pro-demo", "5", "5", "full"], ["system", "1", "none"],
    ]  # fmt: skip
    assert cli("--json", "receipt", "rcpt_1").document == receipt


def test_ids_are_quoted(cli, server, demo):
    server.says(Answer(document=a_run()))
    cli("run", "show", "../../admin?x#y")
    assert server.asked[-1].path == "/tenants/pro-demo/runs/..%2F..%2Fadmin%3Fx%23y"
    cli("run", "cancel", "run_1")
    assert (server.asked[-1].method, server.asked[-1].path) == ("POST", "/tenants/pro-demo/runs/run_1/cancel")
