-- shipper.db as the first release made it, with what it had set aside.
PRAGMA journal_mode = WAL;
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
CREATE TABLE IF NOT EXISTS set_aside (
  id INTEGER PRIMARY KEY,
  entry INTEGER NOT NULL,
  kind TEXT NOT NULL,
  received_ms INTEGER NOT NULL,
  reason TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counts (
  reason TEXT PRIMARY KEY,
  count INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO cursor VALUES (1, 'e1', 42, 1795387200000);
INSERT INTO condition VALUES (1, '', 3.5);
INSERT INTO seen VALUES ('web-01', 1795387200000, 1795387200100, 10000, '0.1.0');
INSERT INTO ranges VALUES ('web-01', 's1', 1, 9, 1795387110000, 1795387200000);
INSERT INTO dirty VALUES (1795386900000, 'web-01');
INSERT INTO counts VALUES ('undecodable', 1), ('refused by the store', 2);
INSERT INTO set_aside (entry, kind, received_ms, reason, body) VALUES
  (5, 'samples', 1000, '["undecodable", "ValueError: bad \ud800"]',
  x'789cabcecb2f51c82acecf0300127a03a7');
INSERT INTO set_aside (entry, kind, received_ms, reason, body) VALUES
  (6, 'samples', 2000, '["refused by the store", "cannot keep a value"]',
  x'789c8b562a4f4dd2353054d251504a2e280552d1d14ac9f945a9208198d2140b0303a5d8581d0543734b53630b73230310d051a8562a2d4e4c4f8d2f482d4a4ecd2b51b25230d433ad8d050030431568');
INSERT INTO set_aside (entry, kind, received_ms, reason, body) VALUES
  (7, 'internal', 3000, '["refused by the store", "too large to keep"]',
  x'');
COMMIT;
