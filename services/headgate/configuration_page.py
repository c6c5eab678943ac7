"""docs/configuration.md, made from the table of settings and the table of policy keys.

python -m headgate.configuration_page docs/configuration.md    # writes it
python -m headgate.configuration_page                          # prints it
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from headgate.core.policy import Policy
from headgate.policy_file import policy_as_data
from headgate.policy_file.keys import HOUSE, NAMES, SEEDS, Key
from headgate.settings.table import variables

_HEAD = """\
# Configuration

<!-- Made by `python -m headgate.configuration_page docs/configuration.md`. Change the tables in the code, not this. -->

headgate is configured in two places: environment variables say how a process runs and what it talks to, the policy file
says which run may start. Both are checked when a process starts; it does not start with a wrong value, and names every
one of them with its remedy.

## Environment variables

An empty variable counts as not set. An unknown variable that begins with `HEADGATE_` is an error.
"""

_POLICY = """\
## Policy file

`HEADGATE_POLICY=FILE` names a YAML file. It says only what differs from the defaults; `headgate policy show` prints the
whole policy in force. An unknown key, a key given twice, a wrong type or a value out of range is an error that names
the line.

```yaml
plans:
  pro:
    concurrent: 8
    runLimits: {memory: 1GB, durationSeconds: 15m}
  team: {concurrent: 10, monthlyRuns: 20000, repositories: 100, members: 50, priorityCeiling: 7}
limits:
  system: 80
  kinds: {runner: 20}
  repos: {acme/web: 4}
whenFull: {tenant: queue}
```

Whole numbers go up to 1,000,000,000. Sizes count in 1024s: `512MB` is 536,870,912 bytes. `null` means no limit. A plan
of your own needs `concurrent`, `monthlyRuns`, `repositories`, `members` and `priorityCeiling`. A default priority that
a plan does not say itself never exceeds the plan's ceiling.
"""

_SEEDS = """\
### Other accepted names

The key names of the requirement documents are accepted as they stand there, also a repository map (`owner/name: n`,
`default: n`) at the top of the file; `memory` is short for `memoryBytes`. Two keys that set the same value are an
error.
"""

_WHOLE = """\
### The whole default policy
"""


def page() -> str:
    """The page, as Markdown."""
    data = policy_as_data(Policy())
    parts = (
        _HEAD,
        _table(("variable", "takes", "default", "meaning"), _variable_rows()),
        _POLICY,
        _table(("key", "takes", "default", "meaning"), (_key_row(key, data) for key in HOUSE)),
        _SEEDS,
        _table(("key", "sets"), ((_code(_dotted(key.path)), _code(_dotted(key.sets))) for key in SEEDS)),
        _WHOLE,
        f"```yaml\n{yaml.safe_dump(data, sort_keys=False)}```\n",
    )
    return "\n".join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = tuple(head)
    lines = (titles, ("---",) * len(titles), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _variable_rows() -> Iterator[tuple[str, str, str, str]]:
    for _, variable in variables():
        yield _code(variable.name), variable.reader.says, variable.default, variable.meaning


def _key_row(key: Key, data: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return _code(_dotted(key.path)), key.value.says, _default(key, data), key.meaning


def _default(key: Key, data: Mapping[str, Any]) -> str:
    """The default as people read it; of a key with a name in it, one for each name that has a default."""
    section, *rest = key.path
    if section not in data:
        return ""
    return _below(data[section], tuple(rest))


def _below(value: Any, path: tuple[str, ...]) -> str:
    if not path:
        return _words(value)
    if path[0] in NAMES:
        return ", ".join(f"{name} {_below(inner, path[1:])}" for name, inner in value.items())
    return _size(value[path[0]]) if path[0].endswith("Bytes") else _below(value[path[0]], path[1:])


def _words(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,.10g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _size(number: int) -> str:
    return f"{number // 1024**2}MB"


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)


def _code(text: str) -> str:
    return f"`{text}`"


def main(arguments: list[str]) -> None:
    """Write the page to the file named in `arguments`, or print it. Raises OSError when it cannot be written."""
    if arguments:
        Path(arguments[0]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main(sys.argv[1:])
