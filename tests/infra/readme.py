"""The tables of infra/README.md, made from the module itself.

python -m tests.infra.readme    # writes them
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.infra.hcl import Block
from tests.infra.reading import INFRA, Infra, read

FILE = INFRA / "README.md"
BEGIN, END = "<!-- made by `python -m tests.infra.readme`: {name} -->", "<!-- end: {name} -->"


def rendered(infra: Infra) -> str:
    """The README as it should be."""
    text = infra.texts["README.md"]
    for name, lines in (("inputs", _inputs(infra)), ("outputs", _outputs(infra)), ("alerts", _alerts(infra))):
        begin, end = BEGIN.format(name=name), END.format(name=name)
        assert text.count(begin) == text.count(end) == 1, f"README.md: the marks of {name} are not there once"
        before, after = text[: text.index(begin)], text[text.index(end) :]
        text = before + "\n".join([begin, "", *lines, "", ""]) + after
    return text


def _inputs(infra: Infra) -> Iterator[str]:
    yield from ("| variable | type | default | meaning |", "| --- | --- | --- | --- |")
    for block in sorted(infra.blocks("variable"), key=lambda block: (bool(block["default"]), block.labels)):
        yield f"| `{block.labels[0]}` | {_type(block)} | {_default(block)} | {_said(block)} |"


def _outputs(infra: Infra) -> Iterator[str]:
    yield from ("| output | meaning |", "| --- | --- |")
    for block in sorted(infra.blocks("output"), key=lambda block: block.labels):
        yield f"| `{block.labels[0]}` | {_said(block)} |"


def _alerts(infra: Infra) -> Iterator[str]:
    yield from ("| alert | severity | fires when, unless set otherwise | runbook |", "| --- | --- | --- | --- |")
    for one in infra.alerts:
        yield f"| `{one['id']}` | {one['severity']} | {one['title']} | {one['runbook']} |"


def _said(block: Block) -> str:
    return block["description"].strip('"').replace('\\"', '"').replace("|", "\\|")


def _type(block: Block) -> str:
    fields = re.findall(r"^\s*(\w+)\s*=\s*optional\((\w+)", block["type"], re.MULTILINE)
    return "`object`" if fields else f"`{block['type']}`"


def _default(block: Block) -> str:
    fields = re.findall(r"^\s*(\w+)\s*=\s*optional\(.*?,\s*(.+)\)\s*$", re.sub(r"#.*", "", block["type"]), re.MULTILINE)
    if fields:
        return "<br>".join(f"`{name} = {text}`" for name, text in fields)
    return f"`{block['default']}`" if block["default"] else "required"


if __name__ == "__main__":
    FILE.write_text(rendered(read()))
