"""A filter of system calls, as the kernel takes it (classic BPF): there are no files in memory without a name.

Such a file (memfd) can be sent through a socket and closed: while it is under way no process has it open, so nothing
that /proc tells counts its memory. A program that asks for one learns that this kernel has none, as older ones do.
"""

from __future__ import annotations

import errno
import os
import struct

_LOAD, _AND, _JUMP_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
"""Where they stand in what the kernel shows the filter (struct seccomp_data)."""
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.ENOSYS
_X32 = 0x40000000
"""Set in the numbers of x86-64's second set of calls, which are the same otherwise."""

_MEMFD_SECRET = 447
_CALLS = {
    0xC000003E: (319, _MEMFD_SECRET),  # x86-64
    0x40000003: (356, _MEMFD_SECRET),  # its 32-bit programs
    0xC00000B7: (279, _MEMFD_SECRET),  # aarch64
    0x40000028: (385, _MEMFD_SECRET),  # its 32-bit programs
}
"""memfd_create and memfd_secret, by the architecture (AUDIT_ARCH_…) of the call."""
_MACHINES = ("x86_64", "aarch64")


def program() -> bytes:
    """The filter for this machine; empty for one whose numbers are not known here."""
    if os.uname().machine not in _MACHINES:
        return b""
    parts = [_instruction(_LOAD, _ARCHITECTURE)]
    for architecture, calls in _CALLS.items():
        refusals = [
            _instruction(_LOAD, _NUMBER),
            _instruction(_AND, 0xFFFFFFFF ^ _X32),
            *(_instruction(_JUMP_EQUAL, call, len(calls) - at, 0) for at, call in enumerate(calls)),
            _instruction(_RETURN, _ALLOW),
            _instruction(_RETURN, _REFUSE),
        ]
        parts += [_instruction(_JUMP_EQUAL, architecture, 0, len(refusals)), *refusals]
    return b"".join([*parts, _instruction(_RETURN, _ALLOW)])


def _instruction(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_so, if_not, value)
