"""headgate verify sim | crash | races | deliveries"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headgate.cli import output
from headgate.cli.bar import bar
from headgate.cli.exits import Exit, Failure
from headgate.cli.grammar import Group
from headgate.cli.grounds import ground_of
from headgate.cli.session import current, json_option
from headgate.core.errors import InvalidRequest

if TYPE_CHECKING:
    from headgate.verify.histories import Tally

F = TypeVar("F", bound=Callable[..., Any])
EXAMPLES = (
    "headgate verify sim --seeds 200 --seed-base 1000",
    "headgate verify races",
    "headgate verify deliveries --n 10000 --seed 7",
)
FEW = {"sim": 3, "scenarios": 0, "crash": 20, "races": 200, "deliveries": 400}
"""Default sizes on the Firestore emulator, which is slow."""
MANY = {"sim": 500, "scenarios": 20, "crash": 1500, "races": 200, "deliveries": 10_000}


def _options(command: F) -> F:
    """--store and --json."""
    choice = click.Choice(["sqlite", "firestore"])
    says = "Which store; firestore needs FIRESTORE_EMULATOR_HOST."
    return click.option("--store", type=choice, default="sqlite", show_default=True, help=says)(json_option(command))


def _size(name: str, what: str, *names: str) -> Callable[[F], F]:
    words = f"{what} ({MANY[name]:,}; on firestore {FEW[name]:,})."
    least = min(1, FEW[name])
    return click.option(*(names or ("--n",)), type=click.IntRange(least), metavar="N", help=words)


def _schedule(what: str) -> Callable[[F], F]:
    words = f"{what} of this file are repeated; if there is no such file, it is written."
    return click.option("--schedule", "file", type=click.Path(path_type=Path), metavar="FILE", help=words)


_seed = click.option("--seed", type=int, default=1, show_default=True, help="What chance is drawn from.")


@click.group(cls=Group, examples=EXAMPLES)
@json_option
def verify() -> None:
    """Prove the promise here: drive the product through failures and count what they reached.

    No server is needed; every proof makes a store of its own. With --json the last line is one JSON object with the
    figures. Exits 1 when a promise was broken (what to repeat is said), 2 on wrong usage.
    """


@verify.command(
    examples=("headgate verify sim", "headgate verify sim --seeds 1 --seed-base 17", "headgate --json verify sim --seeds 60",
              "headgate verify sim --seeds 1 --scenarios 5000")
)  # fmt: skip
@_size("sim", "How many histories", "--seeds")
@click.option("--seed-base", type=int, default=1, show_default=True, help="The first seed; the others follow it.")
@_size("scenarios", "At most how many schedules of each tiny scenario; 0 = none", "--scenarios")
@_schedule("Histories and schedules")
@_options
def sim(seeds: int | None, seed_base: int, scenarios: int | None, file: Path | None, store: str) -> int:
    """Simulate: seeded histories of several processes over the real flows, with crashes, lost replies and bad networks.

    Time is virtual, and the same seed is the same history. Then twenty tiny scenarios, each in many orders of its
    steps. It fails if a promise is broken, and (from 150 histories on) if one of the situations that matter was never
    reached. A file that it writes has what broke a promise, or all if nothing did.
    """
    from headgate.verify.histories import Tally, carry_out
    from headgate.verify.sim_plan import Plan

    if file is not None and file.exists():
        plan = _asked(lambda: Plan.load(file))
    else:
        count = _default("scenarios", store) if scenarios is None else scenarios
        plan = Plan.of_seeds(range(seed_base, seed_base + (seeds or _default("sim", store))), count)
    timing, tally = current().timing, Tally()
    began = timing.monotonic()
    with ground_of(store) as ground, bar("histories") as progress:
        for one in carry_out(plan, ground):
            tally.add(one, timing.monotonic() - began)
            progress(tally.seeds, len(plan.histories))
    if file is not None and not file.exists():
        _asked(lambda: tally.again(plan).save(file))
    return _end(tally.ok, tally.as_json(), lambda: _tell_sim(tally, store))


@verify.command(
    examples=("headgate verify crash --n 100", "headgate verify crash --schedule kills.json",
              "headgate verify crash --mutant no-transaction")
)  # fmt: skip
@_size("crash", "About how many kills; without it one at each point, as far as 270 s go")
@_seed
@_schedule("Kills")
@click.option("--mutant", metavar="NAME", help="Break the store on purpose, to see it caught: no-transaction.")
@_options
def crash(n: int | None, seed: int, file: Path | None, mutant: str | None, store: str) -> int:
    """Kill real processes (SIGKILL) at every statement and at named points, start again, and recount everything."""
    from headgate.verify.crash import run_crash

    few = FEW["crash"] if store == "firestore" or mutant else None
    with ground_of(store), bar("kills") as progress:
        report = _asked(
            lambda: run_crash(store=store, seed=seed, n=n or few, schedule=file, progress=progress, mutant=mutant)
        )
    return _end(report.ok, report.as_json(), lambda: output.facts(report.as_json().items()))


@verify.command(examples=("headgate verify races", "headgate verify races --store firestore --n 200"))
@_size("races", "How many submit at the same moment")
@_seed
@_schedule("Callers, their processes and their starts")
@_options
def races(n: int | None, seed: int, file: Path | None, store: str) -> int:
    """Race: many submit for one tenant at the same moment, at caps 1, 5 and 20. Exactly the cap is admitted."""
    from headgate.verify.races import run_races

    with ground_of(store) as ground, bar("races") as progress:
        found = _asked(lambda: run_races(ground, seed, n or _default("races", store), progress, file))

    def tell() -> None:
        titles = ("CAP", "SUBMITTERS", "ADMITTED", "GAVE UP", "P50 S", "P99 S")
        rows = [(r.cap, r.submitters, r.admitted, r.gave_up, round(r.p50, 3), round(r.p99, 3)) for r in found.races]
        output.table(titles, rows)
        for race in found.races:
            _tell_violations(race.violations)

    return _end(found.ok, found.as_json(), tell)


@verify.command(examples=("headgate verify deliveries", "headgate verify deliveries --n 2000 --seed 3"))
@_size("deliveries", "How many messages are delivered, at least")
@_seed
@_schedule("Decisions (order, copies, stalls, forgeries)")
@_options
def deliveries(n: int | None, seed: int, file: Path | None, store: str) -> int:
    """Deliver messages duplicated, shuffled, dropped, forged and too late, on real threads. Each run has one outcome.

    The threads are real: a schedule repeats what was decided, not which thread came first.
    """
    from headgate.verify.deliveries import run_deliveries

    with ground_of(store) as ground, bar("runs") as progress:
        found = _asked(lambda: run_deliveries(ground, seed, n or _default("deliveries", store), progress, file))

    def tell() -> None:
        output.facts((name, value) for name, value in found.as_json().items() if name != "violations")
        _tell_violations(found.violations)

    return _end(found.ok, found.as_json(), tell)


def _default(proof: str, store: str) -> int:
    return (FEW if store == "firestore" else MANY)[proof]


def _asked(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except InvalidRequest as wrong:
        raise Failure(Exit.USAGE, wrong.detail) from wrong


def _end(ok: bool, figures: Mapping[str, object], tell: Callable[[], None]) -> int:
    """Say what came of it; the exit code."""
    if current().as_json:
        output.line(figures)
    else:
        tell()
        output.say("every promise was kept" if ok else "A PROMISE WAS BROKEN")
    return Exit.OK if ok else Exit.FAILED


def _tell_sim(tally: Tally, store: str) -> None:
    output.table(("REACHED", "TIMES"), sorted(tally.reached.items()))
    for goal in tally.missed:
        output.say(f"never reached: {goal}")
    on = f" --store {store}" if store != "sqlite" else ""
    for seed, one in tally.broken.items():
        again = f"headgate verify sim --seeds 1 --seed-base {seed} --scenarios 0{on}"
        output.say(f"seed {seed} ({one.mix}): {one.broken}; again: {again}")
    for found in tally.failed:
        output.say(f"{found.scenario}: {found.broken}, by the choices {list(found.choices)}")
    each = tally.seconds / max(1, tally.seeds)
    output.say(f"{tally.seeds} histories, {tally.steps:,} steps, {each:.3f} s each, digest {tally.digest}")
    output.say(f"{len(tally.searched)} scenarios, {sum(one.schedules for one in tally.searched):,} schedules")


def _tell_violations(violations: tuple[str, ...]) -> None:
    for one in violations[:20]:
        output.say(one)
    if len(violations) > 20:
        output.say(f"… and {len(violations) - 20} more")
