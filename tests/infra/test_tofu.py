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
from headgate.worker.app import DEAD_LETTER_PATH

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
def test_the_module_is_valid_and_its_tests_pass(tofu: str, module: Path) -> None:
    run(module, tofu, "fmt", "-check", "-recursive", "-diff")
    run(module, tofu, "init", "-backend=false", "-input=false", "-no-color")
    run(module, tofu, "validate", "-no-color")
    said = run(module, tofu, "test", "-no-color")
    assert "0 failed" in said
    assert "Success! 0 passed" not in said


@pytest.mark.tofu
@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("pubsub.tf", "ack_deadline_seconds  ", "ack_deadline_second  "),
        ("pubsub.tf", '"roles/pubsub.subscriber"', '"roles/pubsub.viewer"'),
        ("firestore_indexes.yaml", "array: CONTAINS", "order: CONTAINS"),
    ],
)
def test_a_mistake_is_seen(tofu: str, module: Path, file: str, before: str, after: str) -> None:
    text = (module / file).read_text()
    assert before in text
    (module / file).write_text(text.replace(before, after))
    run(module, tofu, "init", "-backend=false", "-input=false", "-no-color")

    with pytest.raises(AssertionError):
        run(module, tofu, "test", "-no-color")


def test_what_is_pushed_comes_to_the_workers_doors() -> None:
    pushed = set(re.findall(r'push_endpoint = "\$\{var\.worker_url\}(.*)"', (INFRA / "pubsub.tf").read_text()))
    assert pushed == {PUSH_PATH, DEAD_LETTER_PATH}


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
