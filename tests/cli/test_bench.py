"""headgate bench: figures as a table and as one JSON object; wrong lengths are wrong usage."""

import json


def test_json_is_one_object(cli):
    result = cli("--json", "bench", "submit", "line", "fair", "--n", "10", "--lengths", "20,40", "--flood", "5")
    found = json.loads(result.out.splitlines()[-1])
    assert result.code == 0
    assert found["submit"]["n"] == 10
    assert [one["queued"] for one in found["line"]] == [20, 40]
    assert [one["floodUsers"] for one in found["fair"]] == [0, 50]


def test_a_table_for_people(cli):
    result = cli("bench", "gap", "--n", "10")
    assert result.out.splitlines()[:1] == ["gap:"]
    assert "p99Ms" in result.out


def test_usage(cli):
    assert cli("bench", "line", "--lengths", "5").code == 2
    assert cli("bench", "nothing").code == 2
    assert cli("bench", "submit", "--store", "firestore").code == 2
