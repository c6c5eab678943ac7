"""`python -m tests.mutants [NAME…]` (or `make mutants`): every mutant must be caught by its suite.

Exits 1 when one survives, its suite breaks in another way, or fails without it, too; 2 when the catalogue does not fit the
code any more, or a name is not known.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from tests.mutants.catalogue import CATALOGUE
from tests.mutants.mutant import Mutant, Stale
from tests.mutants.runner import Result, caught, run
from tests.mutants.suite import PASSED


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Every mutant must be caught.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on the last line")
    parser.add_argument("--list", action="store_true", help="name the mutants and why, run nothing")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - {mutant.name for mutant in CATALOGUE})
    if unknown:
        parser.error(f"no mutant is called {', '.join(unknown)}; --list names them")
    mutants = [mutant for mutant in CATALOGUE if not asked.names or mutant.name in asked.names]
    if asked.list:
        print(*(f"{mutant.name}\n    {mutant.file}: {mutant.why}" for mutant in mutants), sep="\n")
        return 0
    return _run(mutants, asked.json)


def _run(mutants: Sequence[Mutant], as_json: bool) -> int:
    began = time.monotonic()
    try:
        results = run(mutants, _Progress(mutants))
    except Stale as problem:
        print(problem, file=sys.stderr)
        return 2
    seconds = round(time.monotonic() - began, 1)
    table(results)
    survivors = [result.name for result in results if not caught(result)]
    print(f"{len(results)} mutants, {len(results) - len(survivors)} caught, {len(survivors)} not, in {seconds} s")
    if as_json:
        rows = [asdict(result) for result in results]
        print(json.dumps({"mutants": rows, "survivors": survivors, "seconds": seconds, "ok": not survivors}))
    return 1 if survivors else 0


class _Progress:
    """A line for each suite that has ended, on standard error."""

    def __init__(self, mutants: Sequence[Mutant]) -> None:
        self._total = len(mutants) + len({mutant.suite for mutant in mutants})
        self._done = 0

    def __call__(self, result: Result) -> None:
        self._done += 1
        what = f"{result.name}: {word(result)}" if result.name else f"without a mutant {result.outcome}: {result.suite}"
        print(f"[{self._done}/{self._total}] {result.seconds:5.1f} s  {what}", file=sys.stderr, flush=True)


def word(result: Result) -> str:
    """What to call it."""
    return {PASSED: "SURVIVED"}.get(result.outcome, result.outcome if caught(result) else f"BROKEN ({result.words})")


def table(results: Sequence[Result]) -> None:
    """One line each."""
    wide = max(len(result.name) for result in results)
    for result in results:
        print(f"{result.name:{wide}}  {result.seconds:5.1f} s  {word(result):8}  {result.suite}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
