"""The wheel is complete: installed into an empty environment it serves from anywhere, without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import httpx

from tests.support.server import ROOT, free_port


def run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_installed_wheel_serves(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT, cwd=tmp_path)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    site = next((tmp_path / "venv").glob("lib/python3*/site-packages"))
    # Third-party packages come from the environment of the tests; headgate itself only from the wheel.
    (site / "third-party.pth").write_text(sysconfig.get_paths()["purelib"])
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel, cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import headgate; print(headgate.__file__)"], cwd=tmp_path, capture_output=True, text=True
    )
    assert where.stdout.startswith(str(site)), where
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "HEADGATE_DATA": str(tmp_path / "data")}
    with subprocess.Popen(
        [python, "-m", "headgate", "up"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            said = ""
            while "Stop:" not in said:
                line = server.stdout.readline()
                assert line, f"headgate ended: {said}"
                said += line
            curl = said[said.index("curl") : said.index("Watch it")].replace("\\\n", " ")
            answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=30)
            assert '"state":"pending"' in answer.stdout.replace(" ", ""), answer
            assert httpx.get(f"http://127.0.0.1:{port}/openapi.json").status_code == 200
        finally:
            server.terminate()
            server.wait(20)
