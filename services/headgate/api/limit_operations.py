"""The table's part for limits at run time and for the audit log."""

from __future__ import annotations

from headgate.api import limit_models, models
from headgate.api.operation import PAGE, TENANT, TEXT_SCHEMA, Operation, Schema, gives

_RECORD: dict[str, Schema] = {
    "subject": {"type": "string", "description": "a scope, or key:ID"},
    "actor": {"type": "string", "description": "the id of the key that asked, or system:…"},
    "action": TEXT_SCHEMA,
    "since": {"type": "string", "format": "date-time"},
}
_ONE = "the one that was changed"

LIMITS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/admin/limits",
        name="listLimits",
        summary="Limits in force: the policy's, what was set at run time over them, and slots in use (operators)",
        answers={200: gives(limit_models.LimitsAnswer, "wide scopes, tenants, and scopes of tenants that are used")},
    ),
    Operation(
        method="PUT",
        path="/admin/limits",
        name="setLimit",
        summary="Set a limit at run time, or take it back (operators). No run is ended by it",
        body=limit_models.LimitRequest,
        answers={
            200: gives(limit_models.LimitsAnswer, _ONE),
            404: gives(models.ErrorAnswer, "there is no such tenant"),
        },
    ),
    Operation(
        method="POST",
        path="/admin/limits/what-if",
        name="whatIf",
        summary="Replay what was submitted against other limits; nothing is changed (operators)",
        body=limit_models.WhatIfRequest,
        answers={200: gives(limit_models.WhatIfAnswer, "tenant by tenant, what would have become of it")},
    ),
    Operation(
        method="GET",
        path=TENANT + "/limits",
        name="listTenantLimits",
        summary="The tenant's limits",
        answers={200: gives(limit_models.LimitsAnswer, "the tenant, and scopes of it that are used or have their own")},
    ),
    Operation(
        method="PUT",
        path=TENANT + "/limits",
        name="setTenantLimit",
        summary="Set a limit of the tenant's own users, repositories, organisations, or lower its own, up to its plan's",
        body=limit_models.LimitRequest,
        answers={200: gives(limit_models.LimitsAnswer, _ONE)},
    ),
)

AUDIT_LOG: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/admin/audit-log",
        name="listAuditLog",
        summary="Who changed what, newest first (operators)",
        query={**_RECORD, **PAGE},
        answers={200: gives(limit_models.AuditLogAnswer, "a page of records")},
    ),
    Operation(
        method="GET",
        path=TENANT + "/audit-log",
        name="listTenantAuditLog",
        summary="Who changed what of the tenant, newest first",
        query={**_RECORD, **PAGE},
        answers={200: gives(limit_models.AuditLogAnswer, "a page of records")},
    ),
)
