"""What a pause does to the runs that are there when it begins: the table of its modes, as data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from headgate.core.lifecycle import Change
from headgate.core.run import RunState

MODES = ("hold", "reject", "drain", "drain_cancel")
"""From the mildest to the strictest."""

_BACK: Mapping[RunState, Change] = {RunState.PENDING: Change.REVOKE}
_EMPTIED: Mapping[RunState, Change] = {RunState.PENDING: Change.CANCEL, RunState.QUEUED: Change.CANCEL}

EFFECTS: Mapping[str, Mapping[RunState, Change]] = MappingProxyType(
    {
        "hold": _BACK,
        "reject": _BACK,
        "drain": _EMPTIED,
        "drain_cancel": {**_EMPTIED, RunState.RUNNING: Change.CANCEL},
    }
)
"""Mode → state → what happens to such a run. A state that is not there stays as it is."""

STATUS_MODES: Mapping[str, str] = MappingProxyType({"suspended": "reject", "deactivated": "drain_cancel"})
"""How a tenant's status acts on its runs: like a pause in that mode."""

_ORDER = (RunState.PENDING, RunState.RUNNING, RunState.QUEUED)


def concerned(mode: str) -> tuple[RunState, ...]:
    """The states that a mode changes, in the order in which to look for them: a run that moves on meanwhile (claimed,
    then handed back) comes into a state that is still to be looked at."""
    return tuple(state for state in _ORDER if state in EFFECTS[mode])
