"""Mutants of the line: brakes, pressure, limits, reasons, buckets."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

BRAKES = "tests/flow/test_brakes.py"
PRESSURE = "tests/core/test_pressure.py"

LINE = (
    Mutant(
        "a-start-books-nothing",
        "Starts look at the pace and leave no mark for the next one.",
        "core/pace.py",
        "return max(next_at, now) + round(1000 / per_second)",
        "return next_at",
        PRESSURE,
    ),
    Mutant(
        "a-late-start-is-made-up-for",
        "The next moment counts from the last one, so that who comes late starts several at once.",
        "core/pace.py",
        "return max(next_at, now) + round(1000 / per_second)",
        "return next_at + round(1000 / per_second)",
        PRESSURE,
    ),
    Mutant(
        "a-ramp-never-ends",
        "The ramp's length is compared the wrong way round.",
        "core/pace.py",
        "return now - since < policy.ramp_seconds * 1000",
        "return now - since >= 0",
        PRESSURE,
    ),
    Mutant(
        "a-rule-rests-at-its-threshold",
        "A signal that hovers switches the system on and off.",
        "core/pressure.py",
        "value <= above * policy.clear_share",
        "value <= above",
        PRESSURE,
    ),
    Mutant(
        "a-rule-fires-at-its-threshold",
        "`>` became `>=`.",
        "core/pressure.py",
        "    if value > above:",
        "    if value >= above:",
        PRESSURE,
    ),
    Mutant(
        "a-dry-run-acts",
        "What is only to be watched is done.",
        "core/signals.py",
        "rule.since is not None and not rule.dry_run",
        "rule.since is not None",
        PRESSURE,
    ),
    Mutant(
        "a-resume-lets-all-go",
        "The resumed tenant does not ramp.",
        "flow/pause.py",
        "ledger.tenant = brakes.take_up(ledger.tenant, scope, tx.now, deps.policy.pressure)",
        "pass",
        BRAKES,
    ),
    Mutant(
        "shards-do-not-know-the-pressure",
        "The state changes, and nobody who starts a run hears of it.",
        "flow/pressure.py",
        "            fleet.stamp(tx, after, line.shards)\n",
        "            pass\n",
        BRAKES,
    ),
    Mutant(
        "newcomers-start-ahead-of-the-pace",
        "Only dispatch looks at the brakes.",
        "flow/submit.py",
        "return facts if hold is None else replace(facts, view=replace(facts.view, held_back=hold.token))",
        "return facts",
        BRAKES,
    ),
    Mutant(
        "half-without-the-slot-to-come",
        "The repository is stopped when it has passed half, not before.",
        "flow/brakes.py",
        "2 * (use(tenant, repo) + 1) > system_cap",
        "2 * use(tenant, repo) > system_cap",
        BRAKES,
    ),
    Mutant(
        "half-leaves-slots-idle",
        "A pass that found nobody else does not come back for the repository.",
        "flow/dispatch.py",
        "                    if not rests.halved:\n                        break\n",
        "                    break\n",
        BRAKES,
    ),
    Mutant(
        "memory-of-the-run-is-not-asked-for",
        "Any free byte is enough.",
        "flow/brakes.py",
        "free is not None and free < memory_bytes",
        "free is not None and free < 1",
        BRAKES,
    ),
    Mutant(
        "every-failure-is-the-systems",
        "A tenant's failing command slows everybody.",
        "flow/pressure.py",
        "run.error is not None and run.error.code in SYSTEM_FAULTS",
        "run.error is not None",
        BRAKES,
    ),
)
