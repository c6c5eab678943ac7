"""A table of inputs that want something else from the kind `git`: all are refused before anything is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headgate.handlers.interface import Failed, InvalidInput

GOOD_URLS = (
    "https://github.com/owner/name",
    "https://github.com/owner/name.git",
    "https://GitLab.com/group/sub-group/project/",
    "https://git.kernel.org/pub/scm/git/git.git",
    "https://git.sr.ht/~user/project",
)
EVIL_URLS = (
    *(
        "",
        " ",
        "github.com/owner/name",
        "owner/name",
        "./repo",
        "../repo",
        "~/repo",
        "-u",
        "--upload-pack=touch /tmp/x",
    ),
    *(
        "http://github.com/o/n",
        "git://github.com/o/n",
        "ssh://git@github.com/o/n",
        "git@github.com:o/n",
        "HTTPS:/x.com/y",
    ),
    *(
        "file:///etc",
        "file://localhost/etc",
        "ext::sh -c id",
        "fd::17",
        "ftp://github.com/o/n",
        "rsync://github.com/o/n",
    ),
    *("ssh://-oProxyCommand=id/x", "https://-oProxyCommand=id/x", "javascript:alert(1)", "data:text/plain,x"),
    *("https://user@github.com/o/n", "https://user:pass@github.com/o/n", "https://github.com@evil.internal/o/n"),
    *(
        "https://github.com:443/o/n",
        "https://github.com:22/o/n",
        "https://github.com:/o/n",
        "https://github.com:80@x.com/",
    ),
    *(
        "https://github.com/o/n?x=1",
        "https://github.com/o/n#main",
        "https://github.com/o/n;id",
        "https://github.com/o/$(id)",
    ),
    *(
        "https://github.com/o/n\n",
        "https://github.com/o/n\r\nHost: x",
        "https://github.com/o/n\0",
        " https://github.com/o/n",
    ),
    *("https://github.com/../n", "https://github.com/o/..", "https://github.com/./n", "https://github.com/o/%2e%2e/n"),
    *(
        "https://github.com",
        "https://github.com/",
        "https://github.com//o/n",
        "https:///o/n",
        "https://",
        "https://./o/n",
    ),
    *("https://localhost/o/n", "https://localhost.localdomain/o/n", "https://intranet/o/n", "https://x.localhost/o/n"),
    *(
        "https://127.0.0.1/o/n",
        "https://127.1/o/n",
        "https://2130706433/o/n",
        "https://0x7f000001/o/n",
        "https://0x7f.1/o/n",
    ),
    *(
        "https://0177.0.0.1/o/n",
        "https://[::1]/o/n",
        "https://[::ffff:127.0.0.1]/o/n",
        "https://169.254.169.254/latest/x",
    ),
    *(
        "https://metadata.google.internal/computeMetadata/v1",
        "https://METADATA.GOOGLE.INTERNAL/x",
        "https://db.local/o/n",
    ),
    *(
        "https://github.com./o/n",
        "https://metadata.google.internal./x",
        "https://git.corp/o/n",
        "https://1.0.0.127.in-addr.arpa/x",
    ),
    *("https://gıthub.com/o/n", "https://xn--gthub-n4a.com/o/n", "https://github。com/o/n", "https://ⓖithub.com/o/n"),
    *(
        "https://-github.com/o/n",
        "https://github-.com/o/n",
        "https://git..com/o/n",
        "https://a_b.com/o/n",
        "https://x.c0m/o/n",
    ),
    *(
        "https://github.com\\@evil.com/o/n",
        "https:\\\\github.com\\o\\n",
        "https://github.com/o/n\\..",
        "//github.com/o/n",
    ),
    *(
        "https://" + "a" * 64 + ".com/o/n",
        "https://github.com/" + "a" * 500,
        "https://github.com/o/ñ",
        "https://github.com/o/n\u202e",
    ),
)
EVIL_REFS = (
    *(
        "",
        " ",
        "-",
        "--upload-pack=id",
        "-oProxyCommand=id",
        "..",
        "a..b",
        "main..",
        "/main",
        ".hidden",
        "_x",
        "refs/../x",
    ),
    *(
        "main\n",
        "main\0",
        "main main",
        "main^",
        "main~1",
        "main:file",
        "main@{1}",
        "@",
        "ma*n",
        "ma?n",
        "[main]",
        "main\\x",
    ),
    *(
        "$(id)",
        "`id`",
        "main;id",
        "main|id",
        "main&id",
        "+main",
        "mäin",
        "x" * 201,
        "main'",
        'main"',
        "main\u202e",
        "{main}",
    ),
)
ODD_INPUTS: tuple[dict, ...] = (
    {},
    {"url": None},
    {"url": 7},
    {"url": ["https://github.com/o/n"]},
    {"url": {"https": "github.com"}},
    {"url": GOOD_URLS[0], "ref": 7},
    {"url": GOOD_URLS[0], "ref": ["main"]},
    {"url": GOOD_URLS[0], "ref": False},
    {"url": GOOD_URLS[0], "depth": 1},
    {"url": GOOD_URLS[0], "uploadPack": "id"},
)
HOSTILE = (*({"url": url} for url in EVIL_URLS), *({"url": GOOD_URLS[0], "ref": ref} for ref in EVIL_REFS), *ODD_INPUTS)

_started: list[str] = []
_PROCESS_EVENTS = {
    "subprocess.Popen",
    "os.fork",
    "os.forkpty",
    "os.exec",
    "os.posix_spawn",
    "os.system",
    "socket.getaddrinfo",
}


@pytest.fixture(scope="module")
def started() -> list[str]:
    """Everything by which this process starts another or asks a name server, as the interpreter itself sees it."""
    sys.addaudithook(lambda event, args: _started.append(event) if event in _PROCESS_EVENTS else None)
    return _started


@pytest.mark.parametrize("input", HOSTILE, ids=lambda input: ascii(input)[:60])
def test_hostile_input_is_refused_and_nothing_is_started(handler, make_job, started: list[str], input: dict):
    started.clear()
    with pytest.raises(InvalidInput):
        handler.check(input)
    failed = handler.run(make_job(input, kind="git"))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("HANDLER_ERROR", False)
    assert started == []


def test_the_watch_sees_processes_and_the_table_is_long(started: list[str]):
    """The negative control: without it the test above could be blind."""
    started.clear()
    subprocess.run(["true"])
    assert "subprocess.Popen" in started
    assert len(HOSTILE) >= 130


@pytest.mark.parametrize("url", GOOD_URLS)
@pytest.mark.parametrize("ref", [None, "main", "feature/x", "v1.0", "release-2_3"])
def test_good_input_is_accepted(handler, url: str, ref: str | None):
    handler.check({"url": url, "ref": ref})
