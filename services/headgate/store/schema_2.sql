-- Version 2: the live runs by state, over all tenants. Without these the auditor and a start read every run there is,
-- finished ones of 90 days included. Partial: a finished run is in none of them.

CREATE INDEX runs_queued ON runs (id) WHERE state = 'queued';
CREATE INDEX runs_pending ON runs (created_at, id) WHERE state = 'pending';
CREATE INDEX runs_running ON runs (created_at, id) WHERE state = 'running';
