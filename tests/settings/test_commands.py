"""The file of allowed commands."""

import pytest

from headgate.handlers.interface import CommandSpec
from headgate.settings import SettingsError
from headgate.settings.commands import load_commands, runnable

FORM = 'the form is {"name": {"argv": ["/path/of/program", "argument"], "args": true}}'


def test_the_example_of_the_specification():
    text = '{"report": {"argv": ["/usr/bin/python3", "/opt/report.py"], "args": true}, "up": {"argv": ["uptime"]}}'
    assert load_commands(text, "commands.json") == {
        "report": CommandSpec(argv=("/usr/bin/python3", "/opt/report.py"), args=True),
        "up": CommandSpec(argv=("uptime",), args=False),
    }
    assert load_commands('{"a": {"argv": ["x"], "args": false}}', "c")["a"] == CommandSpec(argv=("x",), args=False)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("{", "c.json: Expecting property name"),
        ("[]", "c.json: the file = []: "),
        ('{"a": 1, "a": 2}', "c.json: a is given twice: keep one"),
        ('{"a": {}}', "c.json: a.argv = {}: Field required"),
        ('{"a": {"argv": []}}', "c.json: a.argv = []: "),
        ('{"a": {"argv": "rm -rf"}}', 'c.json: a.argv = "rm -rf": '),
        ('{"a": {"argv": [1]}}', "c.json: a.argv.0 = 1: "),
        ('{"a": {"argv": [""]}}', 'c.json: a.argv.0 = "": '),
        ('{"a": {"argv": ["x"], "shell": true}}', "c.json: a.shell = true: "),
        ('{"a": {"argv": ["x"], "args": "no"}}', 'c.json: a.args = "no": '),
        ('{"a b": {"argv": ["x"]}}', 'c.json: a b.[key] = "a b": '),
    ],
)
def test_what_is_wrong_is_named(text, begins):
    with pytest.raises(SettingsError) as caught:
        load_commands(text, "c.json")
    (sentence,) = caught.value.problems
    assert sentence.startswith(begins)
    assert sentence.endswith(FORM)


def test_all_problems_at_once():
    with pytest.raises(SettingsError) as caught:
        load_commands('{"a": {"argv": []}, "b": {"argv": ["x"], "args": 1}}', "c.json")
    assert len(caught.value.problems) == 2


def test_a_name_is_found_as_a_run_would_find_it() -> None:
    found = runnable({"ok": CommandSpec(argv=("true", "-x"))}, "c.json")["ok"].argv
    assert found[0].endswith("/true")
    assert found[1:] == ("-x",)


@pytest.mark.parametrize("program", ["/nonexistent/prog", "nonexistent-prog", "/etc/passwd"])
def test_a_program_that_cannot_start_stops_the_start(program: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        runnable({"report": CommandSpec(argv=(program,))}, "c.json")
    assert f'c.json: report.argv = "{program}": no such program, or not executable' in str(wrong.value)
