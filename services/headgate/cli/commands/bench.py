"""headgate bench"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headgate.cli import output
from headgate.cli.bar import bar
from headgate.cli.exits import Exit
from headgate.cli.grammar import Command
from headgate.cli.grounds import ground_of
from headgate.cli.session import current, json_option

EXAMPLES = (
    "headgate bench",
    "headgate bench line --lengths 1000,100000",
    "headgate --json bench fair --flood 10000",
)
WHATS = ("submit", "gap", "line", "fair")


class Lengths(click.ParamType[tuple[int, ...]]):
    """`1000,100000`"""

    name = "lengths"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Whole numbers from 20 to 1,000,000."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.isdecimal() and 20 <= int(part) <= 1_000_000 for part in parts):
            self.fail(f"{value!r}: say it as 1000,100000; each from 20 to 1000000.", param, ctx)
        return tuple(map(int, parts))


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("what", type=click.Choice(WHATS), nargs=-1)
@click.option("--n", type=click.IntRange(10, 100_000), default=500, show_default=True, help="How often each is timed.")
@click.option("--lengths", type=Lengths(), default="1000,100000", show_default=True, help="Lengths of the line.")
@click.option(
    "--flood",
    type=click.IntRange(1, 100_000),
    default=2_000,
    show_default=True,
    help="Runs of the tenant that floods the fleet.",
)
@click.option(
    "--store",
    type=click.Choice(["sqlite", "firestore"]),
    default="sqlite",
    show_default=True,
    help="Which store for submit, gap and line; firestore needs FIRESTORE_EMULATOR_HOST.",
)
@json_option
def bench(what: tuple[str, ...], n: int, lengths: tuple[int, ...], flood: int, store: str) -> int:
    """Measure the gate on this machine: submits, the gap between runs, promotions at any length of the line, fairness.

    No server is needed. Times depend on the machine and on what else it does: compare them within one run. `reads` and
    `writes` are the documents of a finish with the promotion after it. `fair` is in virtual time: 20 tenants submit ten
    runs each while one floods a fleet of eight; ratio is their last end over that in a fair fleet, 1 is exactly fair.
    """
    found: dict[str, object] = {}
    for name in dict.fromkeys(what or WHATS):
        found[name] = {"submit": _submit, "gap": _gap, "line": _line, "fair": _fair}[name](n, lengths, flood, store)
        if not current().as_json:
            _tell(name, found[name])
    if current().as_json:
        output.line(found)
    return Exit.OK


def _submit(n: int, lengths: tuple[int, ...], flood: int, store: str) -> object:
    from headgate.bench.gate import submits

    with ground_of(store) as ground:
        return submits(ground, n).as_json()


def _gap(n: int, lengths: tuple[int, ...], flood: int, store: str) -> object:
    from headgate.bench.gate import gaps

    with ground_of(store) as ground:
        return gaps(ground, n).as_json()


def _line(n: int, lengths: tuple[int, ...], flood: int, store: str) -> object:
    from headgate.bench.line import measure

    with ground_of(store) as ground, bar("filling the line") as progress:
        return [one.as_json() for one in measure(ground, lengths, min(n, min(lengths) // 2), progress)]


def _fair(n: int, lengths: tuple[int, ...], flood: int, store: str) -> object:
    from headgate.bench.fair import flood as flooded

    return [flooded(flood, users).as_json() for users in (0, 50)]


def _tell(name: str, figures: object) -> None:
    output.say(f"{name}:")
    rows: list[Mapping[str, object]] = list(figures) if isinstance(figures, list) else [figures]  # type: ignore[list-item]
    output.table([*rows[0]], [[*row.values()] for row in rows])
