"""Folders that a program left behind so that they could not be removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headgate.handlers.removal import remove, temporary_folder

LEVELS = 1500
DIG = "import os\nfor _ in range({levels}): os.mkdir('d'); os.chdir('d')\nopen('f', 'w').close(); os.chmod('.', 0)"


def dug(where: Path, levels: int = LEVELS) -> Path:
    """A folder with nothing but a folder in it, and so on; the last is closed. Made elsewhere: this process stays here."""
    where.mkdir()
    subprocess.run([sys.executable, "-c", DIG.format(levels=levels)], cwd=where, check=True)
    return where


def test_a_folder_of_any_depth_is_removed(tmp_path: Path):
    folder = dug(tmp_path / "deep")
    with pytest.raises(RecursionError):  # what the library does, and so what this is for
        shutil.rmtree(folder, ignore_errors=True)
    remove(folder)
    assert not folder.exists()


def test_nothing_is_followed_out_of_it(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    for link in (folder / "l", folder / "a" / "l", folder / "a" / "b" / "l"):
        link.symlink_to(outside)
    remove(folder)
    assert not folder.exists()
    assert (outside / "kept").exists()


def test_names_that_look_like_ours_are_no_trouble(tmp_path: Path):
    folder = tmp_path / "folder"
    for name in ("x/0", "x/1", "0", "1/1/full", "2", "y/0/0/0"):
        (folder / name).mkdir(parents=True)
    (folder / "3").write_text("")
    (folder / "y" / "0" / "file").write_text("")
    remove(folder)
    assert not folder.exists()


def test_closed_folders_and_pipes_are_removed(tmp_path: Path):
    folder = tmp_path / "folder"
    (folder / "closed" / "in").mkdir(parents=True)
    os.mkfifo(folder / "closed" / "pipe")
    (folder / "closed" / "in").chmod(0)
    (folder / "closed").chmod(0)
    folder.chmod(0)
    remove(folder)
    assert not folder.exists()


def test_what_is_not_there_is_no_trouble(tmp_path: Path):
    remove(tmp_path / "never")


def test_what_cannot_be_removed_is_told(tmp_path: Path):
    told: list[tuple[Path, OSError]] = []
    with temporary_folder("x-", lambda folder, error: told.append((folder, error)), tmp_path) as folder:
        folder.rmdir()
        folder.write_text("now a file")
    assert [(where, type(error)) for where, error in told] == [(folder, NotADirectoryError)]
