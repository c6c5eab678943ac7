"""Which server, as whom: options, then the environment, then demo.json."""

import json

import pytest

from tests.cli.standin import Answer

EMPTY: dict = {"items": [], "nextCursor": None}


def key_and_path(server):
    asked = server.asked[-1]
    return asked.headers["authorization"].removeprefix("Bearer "), asked.path


def test_demo_json_gives_server_key_and_tenant(cli, server, demo):
    server.says(Answer(document=EMPTY))
    assert cli("runs").code == 0
    assert key_and_path(server) == ("key-pro-demo", "/tenants/pro-demo/runs")
    cli("runs", "--tenant", "free-demo")
    assert key_and_path(server) == ("key-free-demo", "/tenants/free-demo/runs")
    cli("tenants")
    assert key_and_path(server) == ("key-operator", "/tenants")


def test_a_tenant_that_demo_json_does_not_know_is_the_operators_business(cli, server, demo):
    server.says(Answer(document=EMPTY))
    cli("runs", "--tenant", "made/later")
    assert key_and_path(server) == ("key-operator", "/tenants/made%2Flater/runs")


def test_the_environment_stands_before_demo_json_and_an_option_before_both(cli, server, demo, monkeypatch):
    server.says(Answer(document=EMPTY))
    monkeypatch.setenv("HEADGATE_API_KEY", "key-environment")
    cli("runs", "--tenant", "t")
    assert key_and_path(server)[0] == "key-environment"
    cli("--api-key", "key-option", "runs", "--tenant", "t")
    assert key_and_path(server)[0] == "key-option"
    cli("--api-key", "key-outer", "runs", "--tenant", "t", "--api-key", "key-inner")
    assert key_and_path(server)[0] == "key-inner"


def test_data_says_where_demo_json_is(cli, server, demo, tmp_path, monkeypatch):
    server.says(Answer(document=EMPTY))
    demo.parent.rename(tmp_path / "elsewhere")
    assert cli("runs").code == 3
    assert cli("runs", "--data", "elsewhere").code == 0
    monkeypatch.setenv("HEADGATE_DATA", str(tmp_path / "elsewhere"))
    assert cli("runs").code == 0


@pytest.mark.parametrize("seen", [1, 0, 2])
def test_a_key_tells_its_tenant(cli, server, seen):
    tenants = [{"tenantId": f"t{n}"} for n in range(seen)]
    server.answers = lambda asked: Answer(
        document={"items": tenants if asked.path == "/tenants" else [], "nextCursor": None}
    )
    result = cli("runs", "--url", server.url, "--api-key", "k")
    assert result.code == (0 if seen == 1 else 2)
    assert server.asked[-1].path == ("/tenants/t0/runs" if seen == 1 else "/tenants")


def test_a_demo_key_goes_to_no_strange_server(cli, demo):
    result = cli("runs", "--url", "http://headgate.example")
    assert result.code == 4
    assert "--api-key" in result.err


def test_a_demo_key_goes_to_this_machine(cli, server, demo):
    demo.write_text(demo.read_text().replace(server.url, "http://127.0.0.1:1"))
    server.says(Answer(document=EMPTY))
    assert cli("runs", "--url", server.url.replace("127.0.0.1", "localhost")).code == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 1, "tenants": {}}', '{"url": "x", "tenants": {"a": 1}}'])
def test_a_broken_demo_json_is_named(cli, demo, content):
    demo.write_text(content)
    result = cli("runs")
    assert result.code == 2
    assert "demo.json is not a demo.json of headgate" in result.err


def test_a_demo_json_that_is_a_folder_is_named(cli, demo):
    demo.unlink()
    demo.mkdir()
    assert cli("runs").code == 2


def test_no_server_is_known(cli):
    result = cli("runs", "--json")
    assert result.code == 3
    assert "headgate up" in result.err
    assert "headgate up" in json.loads(result.out)["detail"]
