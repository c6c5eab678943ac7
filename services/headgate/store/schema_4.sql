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
