"""The environment: what is read, what is refused and in which words."""

import dataclasses

import pytest

from headgate.core.policy import Execution
from headgate.settings import Settings, SettingsError, load_settings
from headgate.settings.table import variables

EMULATED = {
    "HEADGATE_STORE": "firestore",
    "HEADGATE_DELIVERY": "pubsub",
    "HEADGATE_PUSH_AUTH": "none",
    "FIRESTORE_EMULATOR_HOST": "localhost:8200",
    "PUBSUB_EMULATOR_HOST": "localhost:8085",
}
PRODUCTION = {
    "HEADGATE_STORE": "firestore",
    "HEADGATE_DELIVERY": "pubsub",
    "HEADGATE_PUSH_AUTH": "oidc",
    "HEADGATE_PUSH_AUDIENCE": "https://worker.example",
    "HEADGATE_PUSH_SERVICE_ACCOUNT": "push@acme-prod.iam.gserviceaccount.com",
    "GOOGLE_CLOUD_PROJECT": "acme-prod",
    "HEADGATE_ARTIFACT_BUCKET": "acme-artifacts",
}


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_an_empty_environment_is_embedded_mode():
    settings = load_settings({"PATH": "/bin", "HEADGATE_STORE": "", "HEADGATE_RUN_ID": "run-1"})
    assert settings == Settings()
    assert (settings.port, settings.host, str(settings.data)) == (8080, "127.0.0.1", ".headgate")
    assert (settings.store, settings.delivery, settings.push_auth) == ("sqlite", "embedded", None)
    assert (settings.sweep_seconds, settings.store_deadline_seconds, settings.store_outage_seconds) == (5.0, 10.0, 2.5)
    assert (settings.topic, settings.subscription) == ("headgate-runs", "headgate-runs-push")
    assert (settings.workers, settings.instances, settings.project) == (64, 1, "headgate-local")


def test_production():
    settings = load_settings(PRODUCTION)
    assert (settings.store, settings.delivery, settings.push_auth) == ("firestore", "pubsub", "oidc")
    assert (settings.project, settings.sweep_seconds) == ("acme-prod", 60.0)
    assert settings.push_service_account == "push@acme-prod.iam.gserviceaccount.com"


def test_emulators_need_no_project_and_the_endpoint_follows_host_and_port():
    settings = load_settings({**EMULATED, "HEADGATE_HOST": "0.0.0.0", "PORT": "9000"})
    assert settings.project == "headgate-local"
    assert settings.push_endpoint == "http://127.0.0.1:9000/pubsub/push"
    named = load_settings({**EMULATED, "HEADGATE_PUSH_ENDPOINT": "http://worker:1/x/"})
    assert named.push_endpoint == "http://worker:1/x"


def test_files_and_folders(tmp_path):
    (tmp_path / "policy.yaml").write_text("")
    (tmp_path / "commands.json").write_text("{}")
    settings = load_settings(
        {
            "HEADGATE_POLICY": str(tmp_path / "policy.yaml"),
            "HEADGATE_COMMANDS": str(tmp_path / "commands.json"),
            "HEADGATE_LOCAL_REPOS": f"{tmp_path}:{tmp_path}/.",
            "HEADGATE_DATA": str(tmp_path / "new"),
        }
    )
    assert settings.policy == tmp_path / "policy.yaml"
    assert settings.commands == tmp_path / "commands.json"
    assert settings.local_repos == (tmp_path.resolve(), tmp_path.resolve())
    assert problems({"HEADGATE_DATA": str(tmp_path / "policy.yaml")}) == (
        f'HEADGATE_DATA="{tmp_path}/policy.yaml": it is not a folder; give a folder; it is made when it is not there',
    )


WHOLE_PORT = "give a whole number from 1 to 65535"
A_SECOND = "give seconds above 0, up to 86400"


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("PORT", "0", WHOLE_PORT),
        ("PORT", "65536", WHOLE_PORT),
        ("PORT", "http", WHOLE_PORT),
        ("PORT", "1e3", WHOLE_PORT),
        ("HEADGATE_HOST", "a b", "give a host name or address"),
        ("HEADGATE_STORE", "mysql", "give one of sqlite, firestore"),
        ("HEADGATE_DELIVERY", "kafka", "give one of embedded, pubsub"),
        ("HEADGATE_POLICY", "no/p.yaml", "there is no such file; give the path of a policy file (YAML)"),
        ("HEADGATE_COMMANDS", "no/c.json", "there is no such file; give the path of a file of commands (JSON)"),
        ("HEADGATE_LOCAL_REPOS", "no/a:.", "there is no folder no/a; give DIR or DIR:DIR of existing folders"),
        ("HEADGATE_LOCAL_REPOS", ":", "there is no folder; give DIR or DIR:DIR of existing folders"),
        ("HEADGATE_PUSH_AUTH", "basic", "give one of oidc, none"),
        ("HEADGATE_PUSH_SERVICE_ACCOUNT", "me", "give the e-mail of a service account"),
        ("HEADGATE_PUSH_ENDPOINT", "worker:80", "give a URL as http://host:port or https://host"),
        ("HEADGATE_PUSH_ENDPOINT", "http://worker:99999", "give a URL as http://host:port or https://host"),
        ("GOOGLE_CLOUD_PROJECT", "Acme!", "give a project id: small letters, digits and -"),
        ("HEADGATE_FIRESTORE_DATABASE", "(other)", "give (default) or a database id"),
        ("FIRESTORE_EMULATOR_HOST", "localhost", "give host:port"),
        ("HEADGATE_ARTIFACT_BUCKET", "gs://a", "give a bucket's name, without gs://"),
        ("HEADGATE_SQLITE_SYNC", "off", "give one of full, normal"),
        ("HEADGATE_STORE_DEADLINE_SECONDS", "-1", A_SECOND),
        ("HEADGATE_STORE_OUTAGE_SECONDS", "0", A_SECOND),
        ("HEADGATE_SWEEP_SECONDS", "nan", A_SECOND),
        ("HEADGATE_SWEEP_SECONDS", "soon", A_SECOND),
        ("HEADGATE_INSTANCES", "0", "give a whole number from 1 to 10000"),
        ("HEADGATE_WORKERS", "many", "give a whole number from 1 to 4096"),
        ("HEADGATE_LOG", "xml", "give one of auto, json, pretty"),
        ("HEADGATE_LOG_LEVEL", "loud", "give one of DEBUG, INFO, WARNING, ERROR"),
        ("HEADGATE_URL", "example.org", "give a URL as http://host:port or https://host"),
        ("HEADGATE_STOER", "sqlite", "there is no such setting; did you mean HEADGATE_STORE?"),
        ("HEADGATE_ZZZZZZ", "1", "there is no such setting; take it away"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(name, value, remedy):
    assert problems({name: value}) == (f'{name}="{value}": {remedy}',)


def test_secrets_are_masked_even_under_a_wrong_name():
    found = problems({"HEADGATE_API_KEY": "hunter 2", "HEADGATE_APIKEY": "hunter2"})
    assert found == (
        "HEADGATE_API_KEY=***: give a key without spaces",
        "HEADGATE_APIKEY=***: there is no such setting; did you mean HEADGATE_API_KEY?",
    )
    assert "hunter2" not in repr(load_settings({"HEADGATE_API_KEY": "hunter2"}))


def test_all_wrong_values_are_named_at_once():
    found = problems({"PORT": "x", "HEADGATE_LOG": "x", "HEADGATE_X": "x", "HEADGATE_PUSH_AUTH": "oidc"})
    assert [sentence.split("=")[0].split(" ")[0] for sentence in found] == [
        "PORT",
        "HEADGATE_LOG",
        "HEADGATE_PUSH_AUDIENCE",
        "HEADGATE_PUSH_SERVICE_ACCOUNT",
        "HEADGATE_X",
    ]


NO_PROJECT = "GOOGLE_CLOUD_PROJECT is not set: it is needed for {} without an emulator; give the project's id"
NO_LEASE = (
    "lease {} s, heartbeat {} s: a lease outlasts two heartbeats; "
    "raise HEADGATE_LEASE_SECONDS or lower HEADGATE_HEARTBEAT_SECONDS"
)


@pytest.mark.parametrize(
    ("environ", "sentences"),
    [
        (
            {**EMULATED, "HEADGATE_PUSH_AUTH": ""},
            [
                "HEADGATE_PUSH_AUTH is not set: HEADGATE_DELIVERY=pubsub needs it; "
                "give oidc (or none, towards the emulator)"
            ],
        ),
        (
            {"HEADGATE_PUSH_AUTH": "none"},
            ['HEADGATE_PUSH_AUTH="none": none is accepted only while PUBSUB_EMULATOR_HOST is set; give oidc'],
        ),
        (
            {"HEADGATE_PUSH_AUTH": "oidc"},
            [
                "HEADGATE_PUSH_AUDIENCE is not set: HEADGATE_PUSH_AUTH=oidc needs it; "
                "give the audience of the push subscription",
                "HEADGATE_PUSH_SERVICE_ACCOUNT is not set: HEADGATE_PUSH_AUTH=oidc needs it; "
                "give the e-mail of the account that signs the pushes",
            ],
        ),
        ({**PRODUCTION, "GOOGLE_CLOUD_PROJECT": ""}, [NO_PROJECT.format("Firestore and Pub/Sub")]),
        ({"HEADGATE_STORE": "firestore"}, [NO_PROJECT.format("Firestore")]),
        (
            {**EMULATED, "HEADGATE_LOCAL_REPOS": "."},
            [
                'HEADGATE_LOCAL_REPOS=".": local repositories are for HEADGATE_DELIVERY=embedded only; '
                "take one of the two away"
            ],
        ),
        ({"HEADGATE_LEASE_SECONDS": "20"}, [NO_LEASE.format(20, 10)]),
        ({"HEADGATE_HEARTBEAT_SECONDS": "15"}, [NO_LEASE.format(30, 15)]),
        ({"HEADGATE_LEASE_SECONDS": "4", "HEADGATE_HEARTBEAT_SECONDS": "2"}, [NO_LEASE.format(4, 2)]),
    ],
)
def test_what_does_not_go_together(environ, sentences):
    assert list(problems(environ)) == sentences


def test_a_wrong_value_causes_no_second_complaint():
    found = problems({**PRODUCTION, "HEADGATE_PUSH_AUTH": "odic"})
    assert found == ('HEADGATE_PUSH_AUTH="odic": give one of oidc, none',)


def test_lease_and_heartbeat_come_over_those_of_the_policy(tmp_path):
    assert load_settings({}).execution(Execution()) == Execution()
    short = load_settings({"HEADGATE_LEASE_SECONDS": "2", "HEADGATE_HEARTBEAT_SECONDS": "0.5"})
    assert short.execution(Execution()) == Execution(lease_seconds=2.0, heartbeat_seconds=0.5)
    (tmp_path / "p.yaml").write_text("")
    later = load_settings({"HEADGATE_POLICY": str(tmp_path / "p.yaml"), "HEADGATE_LEASE_SECONDS": "15"})
    assert later.execution(Execution(heartbeat_seconds=5.0)).lease_seconds == 15.0
    with pytest.raises(SettingsError, match=r"^lease 15 s, heartbeat 10 s: "):
        later.execution(Execution())


def test_the_table_has_every_field_once_and_each_says_what_it_means():
    entries = list(variables())
    assert len(entries) == len(dataclasses.fields(Settings))
    assert len({variable.name for _, variable in entries}) == len(entries)
    assert all(variable.meaning and variable.reader.says for _, variable in entries)
