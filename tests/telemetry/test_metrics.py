"""The table of metrics: every action it counts is said by the code, with the facts it reads; counted and exposed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from headgate.core.errors import Code
from headgate.core.run import RunState
from headgate.flow import fleet, sweep
from headgate.flow.cancel import cancel
from headgate.telemetry.counting import MOST_SERIES, OTHER, CountingTelemetry, Counts
from headgate.telemetry.exposition import exposition
from headgate.telemetry.metrics import COUNTERS, DISTRIBUTIONS, GAUGES, MODE, SLOTS_IN_USE, Sample
from tests.support.world import Facts, World

SERVICES = Path(__file__).parents[2] / "services" / "headgate"
NAME = re.compile(r"[a-z][a-z0-9_]{2,60}")
LEVELS = {"info", "warning", "error"}
STATE = "(" + "|".join((*RunState, "replayed", "discarded")) + ")"
"""What stands in the braces of such an f-string."""
NAMING = {"tenant", "tenant_id", "user", "repo", "org", "run_id", "request_id", "path", "detail"}


def said() -> list[re.Pattern[str]]:
    """Every action word that some line of the product says, `{…}` of an f-string as any state."""
    found = []
    for path in SERVICES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                found += [re.compile(word) for one in node.args[:1] for word in words(one)]
    return found


def words(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [re.escape(node.value)]
    if isinstance(node, ast.IfExp):
        return words(node.body) + words(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return ["".join(words(part)[0] if isinstance(part, ast.Constant) else STATE for part in node.values)]
    return []


def counted_actions() -> set[str]:
    return {action for counter in COUNTERS for action in counter.actions} | {one.action for one in DISTRIBUTIONS}


def unsaid(actions: set[str]) -> set[str]:
    patterns = said()
    return {action for action in actions if not any(pattern.fullmatch(action) for pattern in patterns)}


def test_nothing_is_counted_that_no_code_says() -> None:
    assert unsaid(counted_actions()) == set()


def test_a_word_that_nobody_says_is_noticed() -> None:
    assert unsaid({"run.admited", "run.finished"}) == {"run.admited"}


def test_names_are_unique_and_labels_name_nobody() -> None:
    names = [metric.name for metric in (*GAUGES, *COUNTERS, *DISTRIBUTIONS)]
    assert len(names) == len(set(names))
    assert all(NAME.fullmatch(name) for name in names)
    facts = {fact for counter in COUNTERS for fact in counter.labels.values()} | {
        label for gauge in GAUGES for label in gauge.labels
    }
    assert not facts & NAMING


@pytest.fixture
def counting(world: World) -> CountingTelemetry:
    made = CountingTelemetry(world.telemetry)
    object.__setattr__(world.deps, "telemetry", made)
    return made


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_day_is_counted(world: World, counting: CountingTelemetry) -> None:
    run = world.accepted()
    world.finish(run)
    cancel(
        world.deps, world.dispatcher, world.caller(), "acme", world.accepted(not_before=world.clock.ms + 9_000_000).id
    )
    lost = world.claim(world.accepted())
    world.clock.forward(60)
    sweep.sweep(world.deps, world.dispatcher)
    fleet.set_mode(world.deps, world.dispatcher, "draining", world.why())
    assert world.refused() is Code.SYSTEM_DRAINING

    counts = counting.counted().counters
    assert counts["decisions"][("run.refused", "SYSTEM_DRAINING")] == 1
    assert counts["decisions"][("run.admitted", "")] == 2
    assert counts["runs_ended"][("run.finished", "completed")] == 1
    assert counts["runs_ended"][("run.cancelled", "")] == 1
    assert counts["leases_reclaimed"] == {(): 1}
    assert counts["runs_retried"] == {(): 1}
    assert sum(counting.counted().distributions["start_delay_ms"].buckets) == 2
    assert world.run(lost).attempt == 2
    assert "run.refused" in world.telemetry.actions()  # passed on


def test_labels_cannot_grow_for_ever() -> None:
    counting = CountingTelemetry(Facts())
    for n in range(MOST_SERIES + 50):
        counting.warning("run.refused", reason=f"CODE_{n}")
    series = counting.counted().counters["decisions"]
    assert len(series) == MOST_SERIES + 1
    assert series[(OTHER, OTHER)] == 50


def test_the_exposition() -> None:
    counting = CountingTelemetry(Facts())
    counting.warning("run.refused", reason='odd"\n\\', tenant="acme")
    for ms in (10, 11, 999_999):
        counting.info("run.started", start_delay_ms=ms)
    counting.info("run.started", start_delay_ms=None)  # unknown is not zero
    samples = [Sample(metric=SLOTS_IN_USE, value=3, labels=("system",)), Sample(metric=MODE, value=0)]
    lines = exposition(samples, counting.counted()).splitlines()
    assert 'headgate_slots_in_use{scope="system"} 3' in lines
    assert "headgate_drain_mode 0" in lines
    assert 'headgate_decisions_total{action="run.refused",reason="odd\\"\\n\\\\"} 1' in lines
    assert "# TYPE headgate_start_delay_ms histogram" in lines
    buckets = [line for line in lines if line.startswith("headgate_start_delay_ms_bucket")]
    assert buckets[0].endswith('{le="10"} 1')
    assert buckets[1].endswith('{le="25"} 2')
    assert buckets[-1].endswith('{le="+Inf"} 3')
    assert "headgate_start_delay_ms_count 3" in lines
    assert "acme" not in "".join(lines)


def test_without_values_there_is_nothing() -> None:
    assert exposition([], Counts()) == ""
