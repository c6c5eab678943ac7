"""Views of a tenant's API keys."""

from __future__ import annotations

from headgate.api.body import read
from headgate.api.exchange import Ask, Reply, View
from headgate.api.key_operations import IssuedKeyAnswer, KeyAnswer, KeyListAnswer, KeyRequest
from headgate.core.access import ApiKey, Permission, Role
from headgate.core.errors import InvalidRequest, NotFound
from headgate.flow import audit, setup
from headgate.flow.overview import find_tenant
from headgate.wiring import System


class KeyViews:
    """`…/keys`."""

    def __init__(self, system: System) -> None:
        self._deps = system.deps

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {"listKeys": self.list, "issueKey": self.issue, "revokeKey": self.revoke}

    def list(self, ask: Ask) -> Reply:
        """All of them, the latest first."""
        keys = self._deps.store.every(ApiKey, ("tenant", "==", self._tenant(ask)))
        ordered = sorted(keys, key=lambda key: (-key.created_at, key.id))
        return Reply(body=KeyListAnswer(items=[KeyAnswer(**_told(key)) for key in ordered], next_cursor=None).as_json())

    def issue(self, ask: Ask) -> Reply:
        """The new key, with its secret."""
        tenant = self._tenant(ask)
        asked = read(KeyRequest, ask.body)
        issued = setup.issue_key(self._deps, tenant, Role(asked.role), asked.name, asked.user, self._why(ask))
        return Reply(status=201, body=IssuedKeyAnswer(**_told(issued.key), api_key=issued.token).as_json())

    def revoke(self, ask: Ask) -> Reply:
        """The key, revoked. One of another tenant is not there."""
        tenant = self._tenant(ask)
        if "keyId" not in ask.query:
            raise InvalidRequest("Say which: ?keyId=key_…", field="keyId")
        found = self._deps.store.get(ApiKey, ask.query["keyId"])
        if found is None or found.tenant != tenant:
            raise NotFound(f"There is no key {ask.query['keyId'][:200]!r}.")
        return Reply(body=KeyAnswer(**_told(setup.revoke_key(self._deps, found.id, self._why(ask)))).as_json())

    def _tenant(self, ask: Ask) -> str:
        tenant = find_tenant(self._deps, ask.caller, ask.path["tenantId"])
        ask.require(Permission.KEYS_MANAGE)
        return tenant.id

    def _why(self, ask: Ask) -> audit.Reason:
        id = self._deps.ids.new("aud")
        return audit.Reason(id=id, actor=ask.caller.credential, request_id=ask.correlation.request_id)


def _told(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.id, "name": key.name, "role": str(key.role), "user": key.user,
        "created_at": key.created_at, "revoked_at": key.revoked_at,
    }  # fmt: skip
