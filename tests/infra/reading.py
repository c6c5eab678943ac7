"""infra/ as the lint and the tests of the alerts see it: parsed files, variables' defaults, the catalogue filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.infra.hcl import Block, Broken, parse

INFRA = Path(__file__).parents[2] / "infra"
_HOLE = re.compile(r"\$\{(\w+)\}")
_OPTIONAL = re.compile(r"^\s*(\w+)\s*=\s*optional\(.*?,\s*(.+)\)\s*$", re.MULTILINE)


def literal(text: str) -> Any:
    """A literal of HCL, or None."""
    try:
        return json.loads(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Infra:
    """The texts, by path below infra/."""

    texts: Mapping[str, str]

    @cached_property
    def files(self) -> Mapping[str, Block]:
        """The parsed .tf files. Raises Broken with file and line."""
        found = {}
        for name, text in self.texts.items():
            if name.endswith(".tf"):
                try:
                    found[name] = parse(text)
                except Broken as why:
                    raise Broken(f"{name}: {why}") from why
        return found

    def blocks(self, type: str, kind: str = "") -> Iterator[Block]:
        """The top-level blocks of a type; of resources those whose kind begins so."""
        for file in self.files.values():
            for block in file.blocks:
                if block.type == type and (not kind or block.labels[0].startswith(kind)):
                    yield block

    def resource(self, kind: str, name: str) -> Block:
        """That resource, or an empty one."""
        found = [block for block in self.blocks("resource", kind) if block.labels == (kind, name)]
        return found[0] if found else Block("resource", (kind, name), 0)

    @cached_property
    def locals(self) -> Mapping[str, str]:
        """Every local value, as its text stands there."""
        return {name: text for block in self.blocks("locals") for name, text in block.attributes.items()}

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The variables' defaults; of objects those of their attributes."""
        found: dict[str, Any] = {}
        for block in self.blocks("variable"):
            fields = {name: literal(text) for name, text in _OPTIONAL.findall(re.sub(r"#.*", "", block["type"]))}
            found[block.labels[0]] = fields or literal(block["default"])
        return found

    @cached_property
    def names(self) -> Mapping[str, str]:
        """local.names."""
        return dict(re.findall(r'(\w+)\s*=\s*"([^"]+)"', self.locals.get("names", "")))

    @cached_property
    def alert_values(self) -> Mapping[str, Any]:
        """What the catalogue may name, with every variable at its default."""
        found = dict(self.defaults["thresholds"])
        for name, text in re.findall(r"^\s{4}(\w+)\s*=\s*(.+?)(?=\n\s{4}\w+\s*=|\n\s*#|\n\s*\}\))",
                                     self.locals["alert_values"], re.MULTILINE | re.DOTALL):  # fmt: skip
            found[name] = self._value(text.strip())
        return found

    def _value(self, text: str) -> Any:
        if found := re.fullmatch(r"local\.names\.(\w+)", text):
            return self.names[found[1]]
        if found := re.fullmatch(r"var\.(\w+)(?:\.(\w+))?", text):
            value = self.defaults[found[1]]
            return value[found[2]] if found[2] else value
        if found := re.fullmatch(r'floor\(tonumber\(trimsuffix\((.+), "s"\)\) / 2\)', text):
            return int(str(self._value(found[1])).removesuffix("s")) // 2
        if found := re.fullmatch(r"(\S+) \* (\d+)", text):
            return self._value(found[1]) * int(found[2])
        if found := re.fullmatch(r'join\("\|", \[(.+)\]\)', text, re.DOTALL):
            return "|".join(re.findall(r'"(\w+)"', found[1]))
        if found := re.fullmatch(r"local\.(\w+)", text):
            return literal(self.locals[found[1]])
        raise ValueError(f"alert_values: {text!r} is not understood: teach tests/infra/reading.py")

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """The catalogue as it stands, its holes unfilled."""
        found: list[dict[str, Any]] = yaml.safe_load(self.texts["alerts/catalogue.yaml"])
        return found

    @cached_property
    def alerts(self) -> list[dict[str, Any]]:
        """The catalogue filled in. Raises KeyError for a name that nobody gives."""
        values = {name: str(value) for name, value in self.alert_values.items()}
        filled = _HOLE.sub(lambda hole: values[hole[1]], self.texts["alerts/catalogue.yaml"])
        found: list[dict[str, Any]] = yaml.safe_load(filled)
        return found

    def with_change(self, file: str, before: str, after: str) -> Infra:
        """The same with one text changed, as a mutant has it."""
        assert before in self.texts[file], (file, before)
        return Infra({**self.texts, file: self.texts[file].replace(before, after)})


def read() -> Infra:
    """infra/ as it is."""
    paths = [path for path in INFRA.rglob("*") if path.suffix in (".tf", ".yaml", ".md") and path.is_file()]
    return Infra(
        {path.relative_to(INFRA).as_posix(): path.read_text() for path in paths if ".terraform" not in str(path)}
    )
