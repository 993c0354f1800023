"""Tables and statements of shipper.db."""

from __future__ import annotations

# Leaves its transaction open: rows of an older release move in the same one.
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS cursor (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch TEXT NOT NULL,
  position INTEGER NOT NULL,
  newest_stored_ms INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS condition (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  store_error TEXT NOT NULL,
  store_write_ms REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS seen (
  server_id TEXT PRIMARY KEY,
  last_sample_ms INTEGER NOT NULL,
  last_received_ms INTEGER NOT NULL,
  interval_ms INTEGER NOT NULL,
  agent_version TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS backlog (
  server_id TEXT PRIMARY KEY,
  sample_ms INTEGER NOT NULL,
  oldest_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dropped (
  server_id TEXT NOT NULL,
  stream TEXT NOT NULL,
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (server_id, stream, reason)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ranges (
  server_id TEXT NOT NULL,
  stream TEXT NOT NULL,
  lo INTEGER NOT NULL,
  hi INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  PRIMARY KEY (server_id, stream, lo)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dirty (
  start_ms INTEGER NOT NULL,
  server_id TEXT NOT NULL,
  PRIMARY KEY (start_ms, server_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ahead (
  after INTEGER PRIMARY KEY,
  last INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS quarantine (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  entry INTEGER NOT NULL,
  kind TEXT NOT NULL,
  received_ms INTEGER NOT NULL,
  server_id TEXT NOT NULL,
  measurement TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counts (
  reason TEXT PRIMARY KEY,
  count INTEGER NOT NULL
) WITHOUT ROWID;
"""

SEE = """
INSERT INTO seen VALUES (?, ?, ?, ?, ?) ON CONFLICT (server_id) DO UPDATE SET
  interval_ms = iif(excluded.last_sample_ms >= last_sample_ms, excluded.interval_ms, interval_ms),
  agent_version =
    iif(excluded.last_received_ms >= last_received_ms, excluded.agent_version, agent_version),
  last_sample_ms = max(last_sample_ms, excluded.last_sample_ms),
  last_received_ms = max(last_received_ms, excluded.last_received_ms)
"""
# Counts are cumulative a stream and samples arrive in any order, so the highest is the newest.
DROP = """
INSERT INTO dropped VALUES (?, ?, ?, ?)
ON CONFLICT (server_id, stream, reason) DO UPDATE SET count = max(count, excluded.count)
"""
COUNT = """
INSERT INTO counts VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count
"""

CONDITION = "INSERT OR REPLACE INTO condition VALUES (1, ?, ?)"
MOVE_CURSOR = """
INSERT INTO cursor VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET
  epoch = excluded.epoch,
  position = excluded.position,
  newest_stored_ms = max(newest_stored_ms, excluded.newest_stored_ms)
"""

# the clock was set back: a host that is silent from then on must not look alive until it is later
PULL_BACK = "UPDATE seen SET last_received_ms = ?1 WHERE last_received_ms > ?1"

ALL_SEEN = """
SELECT server_id, last_sample_ms, last_received_ms, interval_ms, agent_version FROM seen
"""
# total(), because sum() fails past 2**63: one agent's absurd numbers would hide every server.
COMPLETENESS = """
SELECT server_id, 100.0 * total(stored) / total(expected) FROM (
  SELECT server_id, total(hi - lo + 1) AS stored, max(hi) - min(lo) + 1 AS expected
  FROM ranges GROUP BY server_id, stream
) GROUP BY server_id
"""
# What a host has not sent yet, as of its newest sample: from which time on.
WAIT = """
INSERT INTO backlog (server_id, sample_ms, oldest_ms) VALUES (?, ?, ?)
ON CONFLICT (server_id) DO UPDATE SET
  oldest_ms = iif(excluded.sample_ms >= sample_ms, excluded.oldest_ms, oldest_ms),
  sample_ms = max(sample_ms, excluded.sample_ms)
"""
# Each range with the end of the one before it, where they or the gap between concern some time.
RECENT = """
SELECT * FROM (
  SELECT server_id, lo, hi, first_ms, last_ms, lag(hi) OVER one, lag(last_ms) OVER one AS since_ms
  FROM ranges WINDOW one AS (PARTITION BY server_id, stream ORDER BY lo)
) WHERE last_ms >= ?1 AND coalesce(since_ms, first_ms) <= ?2
AND server_id NOT IN (SELECT server_id FROM backlog WHERE oldest_ms < ?2)
"""
RANGES = """
SELECT stream, lo, hi, first_ms, last_ms FROM ranges WHERE server_id = ? ORDER BY stream, lo
"""
DROPPED = "SELECT stream, reason, count FROM dropped WHERE server_id = ?"

QUARANTINE = """
INSERT INTO quarantine
  (at_ms, entry, kind, received_ms, server_id, measurement, reason, detail, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
PUSH_OUT = """
DELETE FROM quarantine WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER newest AS rows, sum(length(body)) OVER newest AS bytes
    FROM quarantine WINDOW newest AS (ORDER BY id DESC ROWS UNBOUNDED PRECEDING)
  ) WHERE rows > ? OR bytes > ?
)
"""
ROWS = """
SELECT id, at_ms, kind, received_ms, server_id, measurement, reason, detail, body FROM quarantine
WHERE ?1 IS NULL OR id IN (SELECT value FROM json_each(?1)) ORDER BY id DESC LIMIT ?2
"""
OF_SERVER = "SELECT reason, count(*) FROM quarantine WHERE server_id = ? GROUP BY reason"
RELEASE = "DELETE FROM quarantine WHERE id IN (SELECT value FROM json_each(?))"

# what the first release called the quarantine
HAS_SET_ASIDE = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'set_aside'"
SET_ASIDE = "SELECT entry, kind, received_ms, reason, body FROM set_aside ORDER BY id"
