"""`infra/` as OpenTofu sees it: formatted, valid, and its own tests pass.

None of this asks Google: green means well-formed and consistent, not that an apply would succeed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from headgate.settings import PUSH_PATH
from headgate.worker.app import DEAD_LETTER_PATH, SWEEP_PATH

INFRA = Path(__file__).parents[2] / "infra"


@pytest.fixture
def tofu() -> str:
    """The program; where it is absent the test is skipped, or fails where CI is set."""
    found = shutil.which("tofu")
    if found is None:
        absent = "tofu is not on PATH: infra/ is not checked"
        if os.environ.get("CI"):
            pytest.fail(absent)
        pytest.skip(absent)
    return found


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A copy without what earlier runs or another provider left behind."""
    return shutil.copytree(INFRA, tmp_path / "infra", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))


def run(module: Path, *command: str) -> str:
    result = subprocess.run(command, cwd=module, capture_output=True, text=True)
    said = result.stdout + result.stderr
    assert result.returncode == 0, f"{' '.join(command)}\n{said}"
    return said


@pytest.mark.tofu
@pytest.mark.timeout(600)
def test_the_module_is_valid_and_its_tests_pass(tofu: str, module: Path) -> None:
    run(module, tofu, "fmt", "-check", "-recursive", "-diff")
    run(module, tofu, "init", "-backend=false", "-input=false", "-no-color")
    run(module, tofu, "validate", "-no-color")
    said = run(module, tofu, "test", "-no-color")
    assert "0 failed" in said
    assert "Success! 0 passed" not in said


@pytest.mark.tofu
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("pubsub.tf", "ack_deadline_seconds  ", "ack_deadline_second  "),
        ("identities.tf", '"roles/pubsub.subscriber"', '"roles/pubsub.viewer"'),
        ("firestore_indexes.yaml", "array: CONTAINS", "order: CONTAINS"),
        ("alerts/catalogue.yaml", "threshold: ${queue_depth_threshold}", "threshold: 99"),
        ("alerts/catalogue.yaml", "aligner: ALIGN_MEAN", "aligner: ALIGN_AVERAGE"),
    ],
)
def test_a_mistake_is_seen(tofu: str, module: Path, file: str, before: str, after: str) -> None:
    text = (module / file).read_text()
    assert before in text
    (module / file).write_text(text.replace(before, after))
    keep_only(module / "tests" / "basic.tftest.hcl", "from_nothing_in_one_go")
    run(module, tofu, "init", "-backend=false", "-input=false", "-no-color")

    with pytest.raises(AssertionError):
        run(module, tofu, "test", "-no-color")


def keep_only(test: Path, name: str) -> None:
    """The one run of a test file, so that a mistake is seen in a fraction of the time."""
    head, *runs = re.split(r"^(?=run \")", test.read_text(), flags=re.MULTILINE)
    [kept] = [one for one in runs if one.startswith(f'run "{name}"')]
    test.write_text(head + kept)


@pytest.mark.tofu
@pytest.mark.timeout(600)
def test_from_nothing_in_one_go_and_then_no_change(tofu: str, module: Path) -> None:
    """Only with a provider that is known to open no connection: with the real one this would build a system."""
    if not os.environ.get("TOFU_STANDIN"):
        pytest.skip("TOFU_STANDIN is not set: an apply without mocks would ask Google")
    (module / "test.auto.tfvars").write_text((module / "envs" / "production.tfvars.example").read_text())
    run(module, tofu, "init", "-backend=false", "-input=false", "-no-color")
    staging = "-var-file=envs/staging.tfvars.example"
    run(module, tofu, "plan", "-input=false", "-no-color", staging)
    run(module, tofu, "apply", "-auto-approve", "-input=false", "-no-color")
    assert "No changes." in run(module, tofu, "plan", "-detailed-exitcode", "-input=false", "-no-color")


def test_what_is_pushed_comes_to_the_workers_doors() -> None:
    text = (INFRA / "pubsub.tf").read_text() + (INFRA / "scheduler.tf").read_text()
    called = set(re.findall(r'"\$\{google_cloud_run_v2_service\.service\["worker"\]\.uri\}(.*)"', text))
    assert called == {PUSH_PATH, DEAD_LETTER_PATH, SWEEP_PATH}


def test_each_field_of_an_index_has_one_direction() -> None:
    indexes = yaml.safe_load((INFRA / "firestore_indexes.yaml").read_text())["composite"]

    for index in indexes:
        for field in index["fields"]:
            direction = (field.get("order"), field.get("array"))
            assert direction in {("ASCENDING", None), ("DESCENDING", None), (None, "CONTAINS")}, (index, field)


def test_no_field_is_both_indexed_and_exempt() -> None:
    listed = yaml.safe_load((INFRA / "firestore_indexes.yaml").read_text())

    indexed = {(i["collection"], f["field"]) for i in listed["composite"] for f in i["fields"]}
    exempt = {(collection, field) for collection, fields in listed["exempt"].items() for field in fields}
    assert indexed & exempt == set()
