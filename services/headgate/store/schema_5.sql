-- Version 5: the audit log is read by who did it and what was done, by tenant and subject, newest first; the receipts of
-- a tenant's refusals in the order of time (what-if).

ALTER TABLE audit ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN action TEXT NOT NULL DEFAULT '';
UPDATE audit SET actor = json_extract(body, '$.actor'), action = json_extract(body, '$.action');
CREATE INDEX audit_tenant ON audit (tenant, at, id);
CREATE INDEX audit_subject ON audit (subject, at, id);
CREATE INDEX audit_actor ON audit (actor, at, id);
CREATE INDEX audit_action ON audit (action, at, id);
CREATE INDEX receipts_tenant ON receipts (tenant, at, id);
