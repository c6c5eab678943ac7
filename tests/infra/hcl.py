"""Reads HCL as far as the lint needs it: blocks, their labels, and attributes as the text that stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_WORD = re.compile(r"[A-Za-z_][\w-]*")
_SPACE = re.compile(r"(?:\s|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_HEREDOC = re.compile(r"<<-?(\w+)\n")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass
class Block:
    """`type "label" … { attributes and blocks }`, and the line where it begins."""

    type: str
    labels: tuple[str, ...]
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes.get(name, "")

    def below(self, *types: str) -> Iterator[Block]:
        """Blocks of these types at any depth; of `dynamic` ones the content counts as a block of that type."""
        for block in self.blocks:
            name = block.labels[0] if block.type == "dynamic" else block.type
            if name in types:
                yield from block.blocks if block.type == "dynamic" else (block,)
            yield from block.below(*types)

    def texts(self) -> Iterator[str]:
        """Every attribute's text at any depth."""
        yield from self.attributes.values()
        for block in self.blocks:
            yield from block.texts()


class Broken(Exception):
    """The text is no HCL."""


def parse(text: str) -> Block:
    """The file as one block without a type. Raises Broken with the line."""
    reader = _Reader(text)
    found = Block("", (), 1)
    reader.body(found)
    if reader.at < len(text):
        raise reader.broken("a } too many")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def broken(self, why: str) -> Broken:
        return Broken(f"line {self.line()}: {why}")

    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def body(self, into: Block) -> None:
        """Attributes and blocks up to the end or a `}`."""
        self.space()
        while self.at < len(self.text) and self.text[self.at] != "}":
            line, name = self.line(), self.word()
            self.blanks()
            if self.peek() == "=" and self.peek(1) != "=":
                self.at += 1
                if name in into.attributes:
                    raise self.broken(f"{name} is given twice")
                into.attributes[name] = self.expression()
            else:
                into.blocks.append(self.block(name, line))
            self.space()

    def block(self, type: str, line: int) -> Block:
        labels = []
        while self.peek() != "{":
            labels.append(self.label())
            self.blanks()
        self.at += 1
        made = Block(type, tuple(labels), line)
        self.body(made)
        if self.peek() != "}":
            raise self.broken(f"{type} is not closed")
        self.at += 1
        return made

    def label(self) -> str:
        if self.peek() == '"':
            start = self.at
            self.string()
            return self.text[start + 1 : self.at - 1]
        return self.word()

    def word(self) -> str:
        found = _WORD.match(self.text, self.at)
        if found is None:
            raise self.broken(f"a name was expected, not {self.text[self.at : self.at + 10]!r}")
        self.at = found.end()
        return found[0]

    def blanks(self) -> None:
        while self.peek() in (" ", "\t"):
            self.at += 1

    def peek(self, ahead: int = 0) -> str:
        return self.text[self.at + ahead : self.at + ahead + 1]

    def expression(self) -> str:
        """Up to the end of the line, where no bracket is open."""
        start = self.at
        open_: list[str] = []
        while self.at < len(self.text):
            character = self.peek()
            if character == "\n" and not open_:
                break
            self.step(character, open_)
        if open_:
            raise self.broken(f"{open_[-1]} is missing")
        return _uncommented(self.text[start : self.at]).strip()

    def step(self, character: str, open_: list[str]) -> None:
        if character == '"':
            self.string()
        elif heredoc := _HEREDOC.match(self.text, self.at):
            end = re.compile(rf"^\s*{heredoc[1]}$", re.MULTILINE).search(self.text, heredoc.end())
            if end is None:
                raise self.broken(f"{heredoc[1]} is missing")
            self.at = end.end()
        elif character == "#" or self.text.startswith("//", self.at):
            self.at = self.text.find("\n", self.at) if "\n" in self.text[self.at :] else len(self.text)
        elif character in _PAIRS:
            open_.append(_PAIRS[character])
            self.at += 1
        elif character in _PAIRS.values():
            if not open_ or open_.pop() != character:
                raise self.broken(f"{character} closes nothing")
            self.at += 1
        else:
            self.at += 1

    def string(self) -> None:
        """A quoted string, with what is interpolated in it."""
        self.at += 1
        while self.peek() not in ('"', "\n", ""):
            if self.peek() == "\\":
                self.at += 2
            elif self.text.startswith(("${", "%{"), self.at) and self.text[self.at - 1] != "$":
                self.interpolation()
            else:
                self.at += 1
        if self.peek() != '"':
            raise self.broken("a string is not closed")
        self.at += 1

    def interpolation(self) -> None:
        self.at += 2
        open_ = ["}"]
        while open_ and self.at < len(self.text):
            self.step(self.peek(), open_)


def _uncommented(text: str) -> str:
    return re.sub(r'("(?:[^"\\]|\\.)*")|#[^\n]*', lambda found: found[1] or "", text)
