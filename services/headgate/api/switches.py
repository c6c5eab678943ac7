"""Views of the switches: pauses, a tenant's status, the system's mode."""

from __future__ import annotations

from dataclasses import asdict

from headgate.api import cursors
from headgate.api.body import read
from headgate.api.exchange import Ask, Reply, View
from headgate.api.switch_models import (
    DrainingAnswer,
    DrainingRequest,
    DrainProgress,
    PauseListAnswer,
    PauseRequest,
    PauseTenantRequest,
    ResumedAnswer,
    ResumeTenantRequest,
    ScopePauseAnswer,
    StatusRequest,
)
from headgate.api.wire import tenant_json
from headgate.core.access import Permission
from headgate.core.errors import InvalidRequest
from headgate.core.scopes import TENANT
from headgate.core.tenant import Tenant
from headgate.flow import audit, draining, fleet, pauses
from headgate.flow.overview import find_tenant
from headgate.flow.pause import Pause, pause, resume
from headgate.flow.standing import set_status
from headgate.wiring import System


class SwitchViews:
    """`…/pause`, `…/resume`, `…/status`, `/admin/pauses`, `/admin/draining`."""

    def __init__(self, system: System) -> None:
        self._deps = system.deps
        self._dispatcher = system.dispatcher

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {
            "pauseTenant": self.pause_tenant,
            "resumeTenant": self.resume_tenant,
            "setTenantStatus": self.set_status,
            "listPauses": self.list_pauses,
            "pauseScope": self.pause_scope,
            "resumeScope": self.resume_scope,
            "getDraining": self.draining,
            "setDraining": self.set_draining,
        }

    def pause_tenant(self, ask: Ask) -> Reply:
        """The tenant, paused."""
        tenant = self._own(ask)
        asked = read(PauseTenantRequest, ask.body, optional=True)
        wanted = Pause(mode=asked.mode, until=self._future(asked.until), ticket=asked.ticket)
        return self._tenant(pause(self._deps, self._dispatcher, tenant.id, wanted, self._why(ask, asked.reason)))

    def resume_tenant(self, ask: Ask) -> Reply:
        """The tenant, no longer paused."""
        tenant = self._own(ask)
        asked = read(ResumeTenantRequest, ask.body, optional=True)
        return self._tenant(resume(self._deps, self._dispatcher, tenant.id, TENANT, self._why(ask, asked.reason)))

    def set_status(self, ask: Ask) -> Reply:
        """The tenant in its new status."""
        tenant = find_tenant(self._deps, ask.caller, ask.path["tenantId"])
        ask.require(Permission.PLATFORM_OPERATE)
        asked = read(StatusRequest, ask.body)
        why = self._why(ask, asked.reason)
        return self._tenant(set_status(self._deps, self._dispatcher, tenant.id, asked.status, why))

    def list_pauses(self, ask: Ask) -> Reply:
        """Pauses by scope, a page of them."""
        ask.require(Permission.TENANT_READ)
        after = str(cursors.decoded(ask.query["cursor"], str)[0]) if "cursor" in ask.query else ""
        limit = ask.limit
        found = [one for one in pauses.standing(self._deps, ask.caller) if one.scope > after]
        cursor = cursors.encoded(found[limit - 1].scope) if len(found) > limit else None
        return Reply(body=PauseListAnswer(items=[_pause(one) for one in found[:limit]], next_cursor=cursor).as_json())

    def pause_scope(self, ask: Ask) -> Reply:
        """The scope's pause. Pausing again replaces it."""
        ask.require(Permission.SETTINGS_UPDATE)
        asked = read(PauseRequest, ask.body)
        scope = pauses.pausable(self._deps, ask.caller, asked.scope)
        wanted = Pause(scope=scope.local, mode=asked.mode, until=self._future(asked.until), ticket=asked.ticket)
        return Reply(
            body=_pause(
                pauses.put_up(self._deps, self._dispatcher, scope, wanted, self._why(ask, asked.reason))
            ).as_json()
        )

    def resume_scope(self, ask: Ask) -> Reply:
        """Whether it was paused; it is not any more."""
        ask.require(Permission.SETTINGS_UPDATE)
        if "scope" not in ask.query:
            raise InvalidRequest("scope is missing: name what to resume, as ?scope=kind:git.", field="scope")
        scope = pauses.pausable(self._deps, ask.caller, ask.query["scope"])
        resumed = pauses.take_down(self._deps, self._dispatcher, scope, self._why(ask, None))
        return Reply(body=ResumedAnswer(scope=ask.query["scope"], resumed=resumed).as_json())

    def draining(self, ask: Ask) -> Reply:
        """The mode and how far a drain has come."""
        ask.require(Permission.PLATFORM_READ)
        return self._draining()

    def set_draining(self, ask: Ask) -> Reply:
        """The mode, in force."""
        ask.require(Permission.PLATFORM_OPERATE)
        asked = read(DrainingRequest, ask.body)
        fleet.set_mode(self._deps, self._dispatcher, asked.mode, self._why(ask, asked.reason))
        return self._draining()

    def _draining(self) -> Reply:
        found = draining.look_at(self._deps)
        progress = DrainProgress(total=found.total, finished=found.finished, running=found.running, queued=found.queued)
        answer = DrainingAnswer(
            mode=found.mode,
            since=found.since,
            by=found.by,
            reason=found.reason,
            progress=progress,
            estimated_seconds=found.estimated_seconds,
            drain_seconds=found.seconds,
        )
        return Reply(body=answer.as_json())

    def _own(self, ask: Ask) -> Tenant:
        """The tenant, for who may change its settings. One that is not the caller's does not exist."""
        tenant = find_tenant(self._deps, ask.caller, ask.path["tenantId"])
        ask.require(Permission.SETTINGS_UPDATE)
        return tenant

    def _why(self, ask: Ask, reason: str | None) -> audit.Reason:
        id, request_id = self._deps.ids.new("aud"), ask.correlation.request_id
        return audit.Reason(id=id, actor=ask.caller.credential, reason=reason or "", request_id=request_id)

    def _future(self, until: int | None) -> int | None:
        if until is not None and until <= self._deps.store.now():
            raise InvalidRequest("until must lie in the future.", field="until")
        return until

    def _tenant(self, tenant: Tenant) -> Reply:
        return Reply(body=tenant_json(tenant, self._deps.policy))


def _pause(one: pauses.Standing) -> ScopePauseAnswer:
    return ScopePauseAnswer(**asdict(one))
