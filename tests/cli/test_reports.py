"""why, forecast, fairness: what people see of the answers, and JSON as it came."""

from __future__ import annotations

import pytest

from tests.cli.standin import Answer

AT = "2026-07-01T12:00:00.000Z"
LATER = "2026-07-01T12:00:40.000Z"
WHY = {
    "runId": "run_1",
    "state": "queued",
    "since": AT,
    "waiting": True,
    "position": 3,
    "length": 10,
    "aheadByPriority": 1,
    "waitingFor": [
        {"token": "SCOPE_FULL:repo", "means": "Every slot of the repository is taken.", "unblock": "…", "blocks": True}
    ],
    "bindingScope": "repo:pro-demo/acme/web",
    "holders": [
        {"runId": "run_0", "tenantId": "pro-demo", "kind": "git", "user": "ada", "since": AT, "expectedEnd": LATER}
    ],
    "otherHolders": 2,
    "expectedRelease": LATER,
    "unblock": "A run of the repository ending, or a higher limit of the repository.",
    "estimatedWait": {"p50": 40.0, "p90": 95.0, "basis": "history"},
    "asOf": AT,
}
FORECAST = {
    "total": {"runs": 120, "withinP50": 0.5, "withinP90": 0.908, "medianErrorSeconds": -1.5},
    "kinds": {"git": {"runs": 0, "withinP50": None, "withinP90": None, "medianErrorSeconds": None}},
    "read": 400,
    "asOf": AT,
}
FAIRNESS = {
    "since": AT,
    "asOf": LATER,
    "jain": 0.987,
    "complete": False,
    "tenants": [
        {
            "tenantId": "acme", "weight": 2.0, "demand": True, "entitledSlotSeconds": 100.4, "receivedSlotSeconds": 90.0,
            "heldSlotSeconds": 150.0, "share": 0.8964, "queued": 4, "longestWaitSeconds": 61.0,
        },
        {
            "tenantId": "bolt", "weight": 1.0, "demand": False, "entitledSlotSeconds": 0.0, "receivedSlotSeconds": 0.0,
            "heldSlotSeconds": 9.0, "share": None, "queued": 0, "longestWaitSeconds": 0.0,
        },
    ],
}  # fmt: skip


def test_why(cli, server, demo):
    server.says(Answer(document=WHY))
    out = cli("why", "run_1").out
    assert server.asked[-1].path == "/tenants/pro-demo/runs/run_1/why"
    for said in (
        "queued since 2026-07-01 12:00:00",
        "3 of 10, 1 ahead by priority",
        "Every slot of the repository is taken.",
        "A run of the repository ending",
        "about 40 s, hardly more than 95 s (history)",
        "next release 2026-07-01 12:00:40",
        "other holders 2",
    ):
        assert said in " ".join(out.split())
    assert out.splitlines()[-1].split() == [
        "run_0",
        "pro-demo",
        "git",
        "ada",
        "2026-07-01",
        "12:00:00",
        "2026-07-01",
        "12:00:40",
    ]
    assert cli("--json", "why", "run_1").document == WHY


def test_why_of_a_run_that_does_not_wait(cli, server, demo):
    still = {"waiting": False, "position": None, "length": None, "aheadByPriority": None, "estimatedWait": None}
    bare = {"waitingFor": [], "holders": [], "otherHolders": 0, "expectedRelease": None, "bindingScope": None}
    server.says(Answer(document=WHY | still | bare | {"state": "running", "unblock": "The run is running."}))
    assert [line.rstrip() for line in cli("why", "run_1").out.splitlines()] == [
        "run           run_1",
        "state         running since 2026-07-01 12:00:00",
        "unblocked by  The run is running.",
    ]


def test_forecast(cli, server, demo):
    server.says(Answer(document=FORECAST))
    lines = [line.split() for line in cli("forecast").out.splitlines()]
    assert (server.asked[-1].path, server.asked[-1].headers["authorization"]) == (
        "/admin/forecast",
        "Bearer key-operator",
    )
    assert lines[1:] == [["all", "120", "50%", "91%", "-1.5", "s"], ["git", "0"]]
    assert cli("--json", "forecast").document == FORECAST


def test_fairness(cli, server, demo):
    server.says(Answer(document=FAIRNESS))
    result = cli("fairness", "--window", "600")
    assert (server.asked[-1].path, server.asked[-1].query) == ("/admin/fairness", {"window": "600"})
    lines = result.out.splitlines()
    assert lines[1].split() == ["acme", "2", "100", "90", "90%", "150", "4", "61", "s"]
    assert lines[2].split() == ["bolt", "1", "9", "0"]
    assert lines[3].startswith("Jain's index 0.987, 2026-07-01 12:00:00 to ")
    assert "take a shorter one" in result.err
    assert cli("--json", "fairness").document == FAIRNESS


def test_nobody_had_to_wait(cli, server, demo):
    server.says(Answer(document=FAIRNESS | {"jain": None, "tenants": [], "complete": True}))
    result = cli("fairness")
    assert "no tenant had to wait" in result.out
    assert result.err == ""


@pytest.mark.parametrize("window", ["59", "86401", "x"])
def test_a_bad_window_is_wrong_usage(cli, server, demo, window):
    assert cli("fairness", "--window", window).code == 2
    assert server.asked == []
