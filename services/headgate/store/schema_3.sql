-- Version 3: the messages that were given up (docs/hazards.md, H7 and H11).

CREATE TABLE dead_letters (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,
  tenant TEXT, run TEXT, state TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL, expire_at INTEGER NOT NULL,
  CHECK (state IN ('open', 'replayed', 'discarded'))
);
CREATE INDEX dead_letters_at ON dead_letters (at, id);
CREATE INDEX dead_letters_tenant ON dead_letters (tenant, at, id);
CREATE INDEX dead_letters_run ON dead_letters (run) WHERE run IS NOT NULL;
CREATE INDEX dead_letters_expiry ON dead_letters (expire_at, id);
