-- A file of schema version 4, kept to prove that such files can be opened for ever. Never changed.
-- The documents of DESIGN section 4 as rows. `body` is the document (JSON); the other columns repeat the fields that
-- queries speak of (store/documents.py, INDEXED). CHECKs are a second lock: the rules themselves stand above the port.
-- `version` is the number of the commit that wrote the row last: it never repeats, not even for a recreated row.

CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 1), commits INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);

CREATE TABLE IF NOT EXISTS tenants (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,
  offers TEXT NOT NULL, turn REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS tenants_offers ON tenants (turn, id) WHERE offers <> '[]';

CREATE TABLE IF NOT EXISTS runs (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,
  tenant TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN
    ('queued', 'pending', 'running', 'completed', 'failed', 'timed_out', 'cancelled', 'expired')),
  kind TEXT NOT NULL, repo TEXT, org TEXT, user TEXT, priority INTEGER NOT NULL,
  lane TEXT NOT NULL, key INTEGER NOT NULL, delayed INTEGER NOT NULL,
  created_at INTEGER NOT NULL, lease_until INTEGER, publish_due INTEGER, not_before INTEGER, start_by INTEGER,
  finished_at INTEGER, concurrency_key TEXT,
  CHECK ((state = 'running') = (lease_until IS NOT NULL)),
  CHECK ((state = 'pending') = (publish_due IS NOT NULL)),
  CHECK ((state IN ('queued', 'pending', 'running')) = (finished_at IS NULL)),
  CHECK (NOT delayed OR state = 'queued')
);
CREATE INDEX IF NOT EXISTS runs_lane ON runs (lane, key, id) WHERE state = 'queued' AND delayed = 0;
CREATE INDEX IF NOT EXISTS runs_line ON runs (tenant, key, id) WHERE state = 'queued' AND delayed = 0;
CREATE INDEX IF NOT EXISTS runs_list ON runs (tenant, created_at, id);
CREATE INDEX IF NOT EXISTS runs_state ON runs (tenant, state, created_at, id);
CREATE INDEX IF NOT EXISTS runs_live ON runs (state, kind) WHERE state IN ('pending', 'running');
CREATE INDEX IF NOT EXISTS runs_lease ON runs (lease_until, id) WHERE lease_until IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_publish ON runs (publish_due, id) WHERE publish_due IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_due ON runs (not_before, id) WHERE delayed = 1 AND not_before IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_start_by ON runs (start_by, id) WHERE state = 'queued' AND start_by IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_finished ON runs (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_concurrency ON runs (tenant, concurrency_key) WHERE concurrency_key IS NOT NULL;

CREATE TABLE IF NOT EXISTS lanes (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,
  tenant TEXT NOT NULL, kind TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('idle', 'parked', 'ready')),
  "on" TEXT, head INTEGER,
  CHECK ((state = 'idle') = (head IS NULL)),
  CHECK ((state = 'parked') = ("on" IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS lanes_ready ON lanes (tenant, kind, head, id) WHERE state = 'ready';
CREATE INDEX IF NOT EXISTS lanes_parked ON lanes (tenant, "on", kind, head, id) WHERE state = 'parked';

CREATE TABLE IF NOT EXISTS control (id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS shards (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,
  scope TEXT NOT NULL, free INTEGER NOT NULL, rnd REAL NOT NULL, v REAL NOT NULL, "index" INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS shards_free ON shards (scope, free, rnd, id);
CREATE INDEX IF NOT EXISTS shards_time ON shards (scope, v, id);

CREATE TABLE IF NOT EXISTS users (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL, tenant TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS idem (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL, expire_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS idem_expiry ON idem (expire_at, id);

CREATE TABLE IF NOT EXISTS receipts (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,
  tenant TEXT NOT NULL, expire_at INTEGER NOT NULL, at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS receipts_expiry ON receipts (expire_at, id);

CREATE TABLE IF NOT EXISTS audit (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL, tenant TEXT, at INTEGER NOT NULL, subject TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_at ON audit (at, id);

CREATE TABLE IF NOT EXISTS logs (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,
  run TEXT NOT NULL, seq INTEGER NOT NULL, expire_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS logs_run ON logs (run, seq, id);
CREATE INDEX IF NOT EXISTS logs_expiry ON logs (expire_at, id);

CREATE TABLE IF NOT EXISTS events (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL,
  run TEXT NOT NULL, seq INTEGER NOT NULL, expire_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS events_run ON events (run, seq, id);
CREATE INDEX IF NOT EXISTS events_expiry ON events (expire_at, id);

CREATE TABLE IF NOT EXISTS keys (
  id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL, tenant TEXT
);
CREATE INDEX IF NOT EXISTS keys_tenant ON keys (tenant, id);

CREATE TABLE IF NOT EXISTS markers (id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL);
-- Version 2: the live runs by state, over all tenants. Without these the auditor and a start read every run there is,
-- finished ones of 90 days included. Partial: a finished run is in none of them.

CREATE INDEX runs_queued ON runs (id) WHERE state = 'queued';
CREATE INDEX runs_pending ON runs (created_at, id) WHERE state = 'pending';
CREATE INDEX runs_running ON runs (created_at, id) WHERE state = 'running';
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

-- Version 4: places in line without counting the line, and the latest finished runs of a kind.

-- How many stand in line, by tenant and priority, in blocks of their keys: of 2^28 (a quarter of a second of waiting),
-- 2^36 (a minute) and 2^44 (five hours). A place is a few sums over whole blocks and the rows of one broken block.
-- Triggers keep them, so whoever writes a run keeps them too: they can neither be forgotten nor drift.
CREATE TABLE ranks (
  tenant TEXT NOT NULL, level INTEGER NOT NULL, block INTEGER NOT NULL, priority INTEGER NOT NULL,
  runs INTEGER NOT NULL CHECK (runs >= 0),
  PRIMARY KEY (tenant, level, block, priority)
) WITHOUT ROWID;

INSERT INTO ranks
  SELECT tenant, level, key >> (28 + 8 * level), priority, COUNT(*)
  FROM runs, (SELECT 0 AS level UNION ALL SELECT 1 UNION ALL SELECT 2)
  WHERE state = 'queued' AND delayed = 0 GROUP BY 1, 2, 3, 4;

CREATE TRIGGER runs_join AFTER INSERT ON runs WHEN NEW.state = 'queued' AND NEW.delayed = 0 BEGIN
  INSERT INTO ranks VALUES
    (NEW.tenant, 0, NEW.key >> 28, NEW.priority, 1),
    (NEW.tenant, 1, NEW.key >> 36, NEW.priority, 1),
    (NEW.tenant, 2, NEW.key >> 44, NEW.priority, 1)
  ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER runs_leave AFTER DELETE ON runs WHEN OLD.state = 'queued' AND OLD.delayed = 0 BEGIN
  UPDATE ranks SET runs = runs - 1 WHERE tenant = OLD.tenant AND priority = OLD.priority
    AND (level, block) IN (VALUES (0, OLD.key >> 28), (1, OLD.key >> 36), (2, OLD.key >> 44));
  DELETE FROM ranks WHERE tenant = OLD.tenant AND priority = OLD.priority AND runs = 0
    AND (level, block) IN (VALUES (0, OLD.key >> 28), (1, OLD.key >> 36), (2, OLD.key >> 44));
END;

CREATE TRIGGER runs_change_out AFTER UPDATE ON runs
WHEN OLD.state = 'queued' AND OLD.delayed = 0 AND NOT (NEW.state = 'queued' AND NEW.delayed = 0 AND
  NEW.key = OLD.key AND NEW.tenant = OLD.tenant AND NEW.priority = OLD.priority) BEGIN
  UPDATE ranks SET runs = runs - 1 WHERE tenant = OLD.tenant AND priority = OLD.priority
    AND (level, block) IN (VALUES (0, OLD.key >> 28), (1, OLD.key >> 36), (2, OLD.key >> 44));
  DELETE FROM ranks WHERE tenant = OLD.tenant AND priority = OLD.priority AND runs = 0
    AND (level, block) IN (VALUES (0, OLD.key >> 28), (1, OLD.key >> 36), (2, OLD.key >> 44));
END;

CREATE TRIGGER runs_change_in AFTER UPDATE ON runs
WHEN NEW.state = 'queued' AND NEW.delayed = 0 AND NOT (OLD.state = 'queued' AND OLD.delayed = 0 AND
  NEW.key = OLD.key AND NEW.tenant = OLD.tenant AND NEW.priority = OLD.priority) BEGIN
  INSERT INTO ranks VALUES
    (NEW.tenant, 0, NEW.key >> 28, NEW.priority, 1),
    (NEW.tenant, 1, NEW.key >> 36, NEW.priority, 1),
    (NEW.tenant, 2, NEW.key >> 44, NEW.priority, 1)
  ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

CREATE INDEX runs_kind_finished ON runs (kind, finished_at, id) WHERE finished_at IS NOT NULL;
PRAGMA user_version=4;
