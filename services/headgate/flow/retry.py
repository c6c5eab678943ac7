"""Retry: a new run that asks for what an ended one asked for. Its id follows from the old one's, so that the same call
twice, at once or after a lost reply, gives the same new run.
"""

from __future__ import annotations

from headgate.core.access import Caller
from headgate.core.errors import Conflicting, Forbidden
from headgate.core.policy import OnLimit
from headgate.core.run import TERMINAL
from headgate.core.submission import asked_of
from headgate.flow import overview
from headgate.flow.deps import Asking, Deps
from headgate.flow.submit import Answer, Submitter


def retry(
    deps: Deps,
    submitter: Submitter,
    caller: Caller,
    tenant_id: str,
    run_id: str,
    asking: Asking,
    on_limit: OnLimit | None = None,
) -> Answer:
    """Admitted, put in line or refused like any submission; a refusal leaves nothing behind, so it may be tried again.

    Raises NotFound, Forbidden, Conflicting (the run has not ended), and what a submission raises.
    """
    old = overview.find_run(deps, caller, tenant_id, run_id)
    if old.state not in TERMINAL:
        raise Conflicting(f"Run {run_id} is {old.state}: only what has ended can be retried. Cancel it first, or wait.")
    if caller.user is not None and old.user not in (None, caller.user):
        raise Forbidden(f"This credential is {caller.user!r} and cannot submit for another user.")
    return submitter.submit(caller, tenant_id, asked_of(old, on_limit), asking, retry_of=old.id)
