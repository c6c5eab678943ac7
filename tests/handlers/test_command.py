"""The kind `command`: what is refused, and what a run of it comes to."""

from __future__ import annotations

import pytest

from headgate.core.policy import RunLimits
from headgate.core.run import RunState
from headgate.handlers.command import CommandHandler, default_commands
from headgate.handlers.interface import CommandSpec, Done, Failed, HandlerConfig, InvalidInput

SHELL = {
    **default_commands(),
    "sh": CommandSpec(argv=("/bin/sh", "-c")),
    "fixed": CommandSpec(argv=("/bin/echo", "fixed"), args=False),
}
MB = 1024 * 1024


@pytest.fixture
def handler() -> CommandHandler:
    return CommandHandler(HandlerConfig(commands=SHELL, output_tail_bytes=1000))


def test_default_list():
    assert set(default_commands()) == {"echo", "sleep", "true", "false"}


def test_done(handler, make_job):
    done = handler.run(make_job({"command": "echo", "args": ["hello", "$HOME; `id`"]}))
    assert isinstance(done, Done)
    assert done.result == {"exitCode": 0, "output": "hello $HOME; `id`\n", "outputBytes": 18, "truncated": False}
    assert done.usage is not None
    assert bytes(make_job.output) == b"hello $HOME; `id`\n"


def test_without_arguments(handler, make_job):
    done = handler.run(make_job({"command": "fixed"}))
    assert isinstance(done, Done)
    assert done.result["output"] == "fixed\n"


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [("echo no; exit 7", 7, "exited with 7"), ("kill -TERM $$", 143, "ended by signal 15 (Terminated)")],
)
def test_exit_nonzero(handler, make_job, script, code, message):
    failed = handler.run(make_job({"command": "sh", "args": [script]}))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.state, failed.retryable) == ("EXIT_NONZERO", RunState.FAILED, False)
    assert message in failed.message
    assert failed.result is not None
    assert failed.result["exitCode"] == code


@pytest.mark.parametrize(
    ("script", "limits", "code", "state"),
    [
        ("echo x; sleep 30", RunLimits(duration_seconds=0.5), "TIMED_OUT", RunState.TIMED_OUT),
        (
            "head -c 90000000 /dev/zero | tail & sleep 9",
            RunLimits(memory_bytes=32 * MB),
            "MEMORY_LIMIT",
            RunState.FAILED,
        ),
        ("while :; do :; done", RunLimits(cpu_cores=0.001, duration_seconds=100.0), "CPU_LIMIT", RunState.FAILED),
    ],
)
def test_limits(handler, make_job, script, limits, code, state):
    failed = handler.run(make_job({"command": "sh", "args": [script]}, limits=limits))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.state, failed.retryable) == (code, state, False)
    assert failed.result is not None
    assert failed.usage is not None


def test_cancelled_is_retryable(handler, make_job):
    job = make_job({"command": "sleep", "args": ["30"]})
    job.cancelled.set()
    failed = handler.run(job)
    assert isinstance(failed, Failed)
    assert failed.retryable


def test_output_is_the_last_part_as_text(handler, make_job):
    done = handler.run(make_job({"command": "sh", "args": ["head -c 5000 /dev/zero; printf '\\377end'"]}))
    assert isinstance(done, Done)
    assert done.result["outputBytes"] == 5004
    assert done.result["truncated"] is True
    assert str(done.result["output"]).endswith("\ufffdend")


def test_the_environment_is_ours(handler, make_job, monkeypatch):
    monkeypatch.setenv("CANARY", "1")
    done = handler.run(make_job({"command": "sh", "args": ["env | cut -d= -f1 | sort | tr '\\n' ' '"]}))
    assert isinstance(done, Done)
    assert done.result["output"] == "HEADGATE_RUN_ID HOME LANG PATH PWD "


def test_a_closed_work_folder_does_not_matter(handler, make_job, tmp_path):
    tmp_path.chmod(0o700)
    folder = tmp_path / "work"
    folder.mkdir()
    done = handler.run(make_job({"command": "sh", "args": ['cd "$(pwd)" && echo x > file && ls']}, where=folder))
    assert isinstance(done, Done), done
    assert done.result["output"] == "file\n"


@pytest.mark.parametrize(
    ("input", "field"),
    [
        ({}, "command"),
        ({"command": None}, "command"),
        ({"command": ["echo"]}, "command"),
        ({"command": "/bin/echo"}, "command"),
        ({"command": "echo hello"}, "command"),
        ({"command": "Echo"}, "command"),
        ({"command": "echo", "shell": True}, "shell"),
        ({"command": "echo", "args": "hello"}, "args"),
        ({"command": "echo", "args": None}, "args"),
        ({"command": "echo", "args": {"0": "a"}}, "args"),
        ({"command": "echo", "args": ["x"] * 65}, "args"),
        ({"command": "echo", "args": [1]}, "args[0]"),
        ({"command": "echo", "args": ["a", "b\0"]}, "args[1]"),
        ({"command": "echo", "args": ["x" * 4097]}, "args[0]"),
        ({"command": "echo", "args": ["\ud800"]}, "args[0]"),
        ({"command": "fixed", "args": ["more"]}, "args"),
    ],
)
def test_refused(handler, make_job, input, field):
    with pytest.raises(InvalidInput) as refused:
        handler.check(input)
    assert refused.value.field == field
    failed = handler.run(make_job(input))  # a run that was submitted before the list changed
    assert isinstance(failed, Failed)
    assert failed.code == "HANDLER_ERROR"
