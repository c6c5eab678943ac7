"""Which repositories count for a plan: those of live runs, and of runs of the last 30 days.

Kept in the tenant's document as the last day of use, so the check costs no query. A delayed run counts from its
submission until 30 days after it was due, a running one is noted again when it starts; a run that waits for an answer
for more than 30 days is the one live run that is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

DAYS = 30
MOST = 1_000
"""Repositories that a plan may count at most: more would swell the tenant's document."""
_DAY_MS = 24 * 3600 * 1000


def in_use(repos: Mapping[str, int], now: int) -> Mapping[str, int]:
    """Those of `repos` (name → last day of use, days since 1970) that still count at `now` (ms)."""
    oldest = now // _DAY_MS - DAYS
    return {repo: day for repo, day in repos.items() if day >= oldest}


def noted(repos: Mapping[str, int], repo: str, moment: int) -> Mapping[str, int]:
    """With `repo` used at `moment` (ms)."""
    return {**repos, repo: max(repos.get(repo, 0), moment // _DAY_MS)}


def fits(repos: Mapping[str, int], repo: str | None, limit: int | None) -> bool:
    """Whether a run of `repo` stays within the plan's number."""
    return repo is None or limit is None or repo in repos or len(repos) < limit
