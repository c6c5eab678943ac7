"""Removing a folder in which a stranger's program worked: whatever it made there, and however deep."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def temporary_folder(prefix: str, left: Callable[[Path, OSError], None], where: Path | None = None) -> Iterator[Path]:
    """A new folder for the block, removed after it; `left` hears of one that could not be."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
    try:
        yield folder
    finally:
        try:
            remove(folder)
        except OSError as error:
            left(folder, error)


def remove(folder: Path) -> None:
    """Remove the folder and everything in it; nothing is followed out of it. None there: nothing to do.

    Neither the stack, nor open files, nor the length of a path bound the depth: what lies in a subfolder is moved up
    before it is removed. Removes what it can, then raises the first OSError it met, if the folder is still there.
    """
    problem: OSError | None = None
    try:
        top = _opened(str(folder), None)
    except FileNotFoundError:
        return
    try:
        names, fresh = deque(os.listdir(top)), itertools.count()
        while names:
            try:
                _flatten(names.popleft(), top, names, fresh)
            except OSError as error:
                problem = problem or error
    finally:
        os.close(top)
    try:
        folder.rmdir()
    except OSError as error:
        raise problem or error from None


def _flatten(name: str, top: int, names: deque[str], fresh: itertools.count[int]) -> None:
    """Remove one entry of the top folder; of a folder, its subfolders come to the top first, and into `names`."""
    if _unlinked(name, top):
        return
    folder = _opened(name, top)
    try:
        for entry in os.listdir(folder):
            if not _unlinked(entry, folder):
                names.append(_raise(entry, folder, top, fresh))
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _unlinked(name: str, where: int) -> bool:
    """Whether it was no folder, and so is gone."""
    try:
        os.unlink(name, dir_fd=where)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        return True  # somebody else was quicker: what we wanted
    return True


def _raise(name: str, where: int, top: int, fresh: itertools.count[int]) -> str:
    """Move a folder to the top, under a name that nothing there has."""
    os.close(_opened(name, where))  # to be moved it must be writable: ".." in it changes
    for number in fresh:
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            try:
                os.rename(name, str(number), src_dir_fd=where, dst_dir_fd=top)
                return str(number)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
    raise AssertionError("numbers do not end")


def _opened(name: str, where: int | None) -> int:
    """A descriptor of the folder, which is made accessible first: its owner may have closed it to himself."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=where)
    try:
        with contextlib.suppress(PermissionError):  # it is another's: then what cannot be done says so
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=handle)
    finally:
        os.close(handle)
