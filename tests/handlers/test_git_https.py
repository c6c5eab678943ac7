"""The kind `git` over https: a real server with TLS, failures of the network, and addresses that are refused."""

from __future__ import annotations

import functools
import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.handlers import git_steps
from headgate.handlers.git_steps import GitSteps
from headgate.handlers.interface import Done, Failed
from headgate.handlers.repository import public_addresses


@pytest.fixture
def certificate() -> Iterator[Path]:
    """Where children may read it: /tmp is their own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "certificate.pem"


@pytest.fixture
def server(
    git, repo: Path, workdir: Path, certificate: Path, monkeypatch
) -> Iterator[type[http.server.BaseHTTPRequestHandler]]:
    """code.example.com on this host: https with a certificate of its own, serving the repository below /project."""
    site = workdir / "site"
    site.mkdir()
    git(site, "clone", "--quiet", "--bare", str(repo), "project")
    git(site / "project", "update-server-info")
    key = site / "key.pem"
    making = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext subjectAltName=DNS:code.example.com"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*making.split(), *files], check=True, capture_output=True)
    certificate.chmod(0o644)
    os.chmod(workdir, 0o755)

    class Pages(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", self.path.replace("/moved/", "/project/"))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path.startswith("/down/"):
                self.send_error(503)
            elif self.path.startswith("/private/"):
                self.send_error(401)
            else:
                super().do_GET()

        def log_message(self, *args):
            pass

    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), functools.partial(Pages, directory=str(site)))
    except OSError as error:
        pytest.skip(f"port 443 cannot be had: {error}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(git_steps, "ENVIRONMENT", {**git_steps.ENVIRONMENT, "GIT_SSL_CAINFO": str(certificate)})
    monkeypatch.setattr(GitSteps, "address_of", lambda self, host: f"http.curloptResolve={host}:443:127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield Pages
    server.shutdown()
    thread.join()
    server.server_close()


def test_https(git, mirror, repo: Path, server, artifacts: Path, tmp_path: Path):
    (tmp_path / "work").mkdir()
    done = mirror("https://code.example.com/project", "main", where=tmp_path / "work")
    assert isinstance(done, Done), done
    assert done.result["head"] == git(repo, "rev-parse", "main")
    assert json.loads((artifacts / "summary.json").read_text())["url"] == "https://code.example.com/project"


@pytest.mark.parametrize(
    ("path", "message", "retryable"),
    [
        ("moved", "redirect", False),
        ("down", "could not be reached", True),
        ("private", "does not exist or is not public", False),
        ("nothing", "does not exist or is not public", False),
    ],
)
def test_https_failures(mirror, server, tmp_path: Path, path: str, message: str, retryable: bool):
    (tmp_path / "work").mkdir()
    failed = mirror(f"https://code.example.com/{path}/", where=tmp_path / "work")
    assert isinstance(failed, Failed)
    assert message in failed.message
    assert failed.retryable is retryable


def test_a_host_that_does_not_resolve_may_be_tried_again(mirror):
    failed = mirror("https://git.does-not-exist-really.com/owner/name")
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("HANDLER_ERROR", True)
    assert "could not be reached" in failed.message


def test_a_public_name_of_a_private_address(mirror, monkeypatch):
    monkeypatch.setattr(git_steps, "_RESOLVE", "print('140.82.121.3 10.0.0.7')")
    failed = mirror("https://git.looks-public.com/owner/name")
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("HANDLER_ERROR", False)
    assert "no public host" in failed.message


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"),
    ],
)
def test_addresses_that_are_not_public(address: str):
    assert public_addresses([address]) == ()
    assert public_addresses(["140.82.121.3", address]) == ()


def test_public_addresses():
    assert public_addresses(["140.82.121.3", "2606:50c0:8000::64"]) == ("140.82.121.3", "2606:50c0:8000::64")
    assert public_addresses([]) == ()
