"""From the text of a policy file to the house keys it sets, each with its line; and all that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeAlias

import yaml

from headgate.policy_file.keys import HOUSE, NAMES, SEEDS, Key, Path

Level: TypeAlias = "dict[str, Level | Key]"
_PLAIN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))


class PolicyError(Exception):
    """The policy file is wrong. `problems` has one sentence each: file, line, key, value, remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Found:
    """A value, the key as it was written, the words it was written in, and its line (from 1)."""

    value: object
    key: str
    written: str
    line: int


@dataclass(slots=True)
class Reading:
    """What was found under which house key, which house keys have a wrong value, and every problem by line."""

    source: str
    found: dict[Path, Found] = field(default_factory=dict)
    refused: set[Path] = field(default_factory=set)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def wrong(self, line: int, key: str, written: str, remedy: str) -> None:
        """Note a problem of the key on that line."""
        self.problems.append((line, f"{self.source}:{line}: {key} = {written}: {remedy}"))

    def check(self) -> None:
        """Raise PolicyError with all that is wrong, in the order of the lines."""
        if self.problems:
            raise PolicyError([text for _, text in sorted(self.problems)])


def read(text: str, source: str) -> Reading:
    """The keys and values of a policy file. Raises PolicyError when it is not YAML or not a mapping at all."""
    reading = Reading(source)
    root = _compose(text, source)
    if isinstance(root, yaml.MappingNode):
        _mapping(reading, root, _LEVELS, (), {})
    elif root is not None and not _is_null(root):
        raise PolicyError([f"{source}:{_line(root)}: the file = {_written(root)}: give keys and values, as `line:`"])
    return reading


def _compose(text: str, source: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise PolicyError([f"{source}:{line}: this is not YAML: {error.problem}; mend it here or above"]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise PolicyError([f"{source}:{line}: this is not YAML: {error.reason}; take the character out"]) from error


def _mapping(reading: Reading, node: yaml.MappingNode, level: Level, above: Path, names: dict[str, str]) -> None:
    first: dict[str, int] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else _written(key)
        path, line = (*above, name), _line(key)
        if name in first:
            remedy = f"it is given twice, first on line {first[name]}; keep one"
            reading.wrong(line, ".".join(path), _written(value), remedy)
            continue
        first[name] = line
        _entry(reading, value, level, path, line, names)


def _entry(reading: Reading, node: yaml.Node, level: Level, path: Path, line: int, names: dict[str, str]) -> None:
    slot = _slot(level, path[-1])
    if slot is None:
        reading.wrong(line, ".".join(path), _written(node), _unknown(level, path))
        return
    below, names = level[slot], {**names, slot: path[-1]}
    if isinstance(below, Key):
        _leaf(reading, node, below, path, line, names)
    elif isinstance(node, yaml.MappingNode):
        _mapping(reading, node, below, path, names)
    elif not _is_null(node):
        reading.wrong(line, ".".join(path), _written(node), f"give keys below it: {_listed(below)}")


def _leaf(reading: Reading, node: yaml.Node, key: Key, path: Path, line: int, names: dict[str, str]) -> None:
    house, dotted = tuple(names.get(part, part) for part in key.sets), ".".join(path)
    try:
        value = key.value.read(_word(node))
    except ValueError:
        reading.refused.add(house)
        reading.wrong(line, dotted, _written(node), f"give {key.value.says}")
        return
    other = reading.found.get(house)
    if other is not None:
        remedy = f"it sets the same as {other.key} on line {other.line}; keep one"
        reading.wrong(line, dotted, _written(node), remedy)
        return
    reading.found[house] = Found(value, dotted, _written(node), line)


def _word(node: yaml.Node) -> object:
    """What YAML makes of a plain word. Raises ValueError for a list or a mapping, and for `!!int` of a non-number."""
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError
    if node.tag not in _PLAIN:
        return node.value
    word: object = yaml.constructor.SafeConstructor().construct_object(node)
    return word


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _written(node: yaml.Node) -> str:
    """A value as people wrote it, at most 60 characters."""
    if isinstance(node, yaml.MappingNode):
        return "{…}"
    if isinstance(node, yaml.SequenceNode):
        return "[…]"
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    text = str(node.value) if plain else json.dumps(node.value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


# --- which keys there are


def _levels() -> Level:
    root: Level = {}
    for key in (*HOUSE, *SEEDS):
        level = root
        for part in key.path[:-1]:
            below = level.setdefault(part, {})
            assert isinstance(below, dict), key
            level = below
        level[key.path[-1]] = key
    return root


_LEVELS = _levels()


def _slot(level: Level, name: str) -> str | None:
    """Under which name or placeholder the level has `name`."""
    if name in level and name not in NAMES:
        return name
    return next((part for part in level if part in NAMES and NAMES[part][0].fullmatch(name)), None)


def _unknown(level: Level, path: Path) -> str:
    near = get_close_matches(path[-1], [part for part in level if part not in NAMES], n=1, cutoff=0.7)
    if near:
        return f"there is no such key; did you mean {'.'.join((*path[:-1], *near))}?"
    placeholder = next((part for part in level if part in NAMES), None)
    if placeholder is not None and len(path) > 1:
        return f"the key is wrong; give {NAMES[placeholder][1]}"
    elsewhere = next(_named_alike(path[-1]), None)
    if elsewhere is not None:
        return f"there is no such key here; did you mean {elsewhere}?"
    return f"there is no such key; the keys here are {_listed(level)}"


def _named_alike(name: str) -> Iterator[str]:
    last: dict[str, str] = {}
    for key in (*HOUSE, *SEEDS):
        for depth in range(1, len(key.path) + 1):
            last.setdefault(key.path[depth - 1], ".".join(key.path[:depth]))
    return (last[near] for near in get_close_matches(name, last, n=1, cutoff=0.7))


def _listed(level: Level) -> str:
    """The keys of a level; those of the requirements only where the house has none."""
    house = [part for part, below in level.items() if not isinstance(below, Key) or below.path == below.sets]
    return ", ".join(NAMES[part][1] if part in NAMES else part for part in house or level)
