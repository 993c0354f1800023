"""The statements of the embedded store; every value in them is bound, none is pasted in."""

from __future__ import annotations

RAW_BUCKET_MS = 300_000
ROLLUP_BUCKET_MS = 86_400_000

# FULL: the shipper commits its cursor after a write, so the write has to be on disk by then.
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 67108864;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA cache_size = -16384;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY,
  server_id TEXT NOT NULL,
  measurement TEXT NOT NULL,
  tags TEXT NOT NULL,
  field TEXT NOT NULL,
  UNIQUE (server_id, measurement, tags, field)
);
CREATE TABLE IF NOT EXISTS raw (
  bucket INTEGER NOT NULL,
  series INTEGER NOT NULL,
  at INTEGER NOT NULL,
  value REAL NOT NULL,
  PRIMARY KEY (bucket, series, at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rollup (
  bucket INTEGER NOT NULL,
  series INTEGER NOT NULL,
  at INTEGER NOT NULL,
  mean REAL NOT NULL,
  low REAL NOT NULL,
  high REAL NOT NULL,
  final REAL NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (bucket, series, at)
) WITHOUT ROWID;
COMMIT;
"""

INSERT_SERIES = "INSERT INTO series (server_id, measurement, tags, field) VALUES (?, ?, ?, ?)"
FIND_SERIES = "SELECT field, id FROM series WHERE server_id = ? AND measurement = ? AND tags = ?"
INSERT_RAW = "INSERT OR REPLACE INTO raw (bucket, series, at, value) VALUES (?, ?, ?, ?)"

MATCHING_SERIES = """
SELECT id, server_id, tags, field FROM series
WHERE measurement = :measurement
  AND (:servers IS NULL OR server_id IN (SELECT value FROM json_each(:servers)))
  AND (:fields IS NULL OR field IN (SELECT value FROM json_each(:fields)))
"""

SERIES_OF_SERVER = "SELECT id, measurement, tags, field FROM series WHERE server_id = ?"

# each a seek: asked for in one SELECT, min() and max() are a scan of the whole table
# (https://www.sqlite.org/optoverview.html#the_min_max_optimization)
_SPAN = "SELECT (SELECT min(bucket) FROM {table}), (SELECT max(bucket) FROM {table})"
RAW_SPAN = _SPAN.format(table="raw")
ROLLUP_SPAN = _SPAN.format(table="rollup")

# CROSS JOIN keeps the planner from turning the order round: (bucket, series) must be seeks.
_BUCKETS = """
WITH RECURSIVE span (bucket) AS (
  SELECT :first WHERE :first <= :final
  UNION ALL SELECT bucket + 1 FROM span WHERE bucket < :final
)
"""
_WINDOWS = (
    _BUCKETS
    + """
SELECT v.series, v.at / :step * :step AS window, {part}
FROM json_each(:series) AS wanted
CROSS JOIN span
CROSS JOIN {table} AS v ON v.bucket = span.bucket AND v.series = wanted.value
WHERE v.at >= :low AND v.at < :high
GROUP BY v.series, window
"""
)

# without GROUP BY nothing is sorted; one series after another, each in the order of time
RAW_VALUES = (
    _BUCKETS
    + """
SELECT v.series, v.at, v.value
FROM json_each(:series) AS wanted
CROSS JOIN span
CROSS JOIN raw AS v ON v.bucket = span.bucket AND v.series = wanted.value
WHERE v.at >= :low AND v.at < :high
"""
)

# weight and value of a window; a bare column beside a lone max() is of the row that has the maximum
# (https://www.sqlite.org/lang_select.html#bareagg)
RAW_WINDOWS = {
    "mean": _WINDOWS.format(table="raw", part="count(*), avg(v.value)"),
    "min": _WINDOWS.format(table="raw", part="count(*), min(v.value)"),
    "max": _WINDOWS.format(table="raw", part="count(*), max(v.value)"),
    "last": _WINDOWS.format(table="raw", part="max(v.at), v.value"),
}
ROLLUP_WINDOWS = {
    "mean": _WINDOWS.format(
        table="rollup", part="sum(v.count), sum(v.mean * v.count) / sum(v.count)"
    ),
    "min": _WINDOWS.format(table="rollup", part="sum(v.count), min(v.low)"),
    "max": _WINDOWS.format(table="rollup", part="sum(v.count), max(v.high)"),
    "last": _WINDOWS.format(table="rollup", part="max(v.at), v.final"),
}

MAKE_ROLLUP = (
    _BUCKETS  # noqa: S608 - two constants of this module, nothing from outside
    + """
INSERT OR REPLACE INTO rollup (bucket, series, at, mean, low, high, final, count)
SELECT :start / :rollup_bucket, w.id, :start, w.mean, w.low, w.high, l.value, w.count
FROM (
  SELECT s.id, avg(v.value) AS mean, min(v.value) AS low, max(v.value) AS high,
         count(*) AS count, max(v.at) AS final_at
  FROM series AS s
  CROSS JOIN span
  CROSS JOIN raw AS v ON v.bucket = span.bucket AND v.series = s.id
  WHERE s.server_id = :server AND v.at >= :start AND v.at < :end
  GROUP BY s.id
) AS w
CROSS JOIN raw AS l
  ON l.bucket = w.final_at / :raw_bucket AND l.series = w.id AND l.at = w.final_at
"""
)

_EXPIRE = """
DELETE FROM {table} WHERE (bucket, series, at) IN (
  SELECT bucket, series, at FROM {table} WHERE bucket < :bucket
  ORDER BY bucket, series, at LIMIT :rows
)
"""
EXPIRE_RAW = _EXPIRE.format(table="raw")
EXPIRE_ROLLUP = _EXPIRE.format(table="rollup")
