-- The first schema. Later ones only add (queue/README.md says why).
-- Times are UTC seconds; `lease_until` is CLOCK_BOOTTIME seconds of the boot that `lease` names.

CREATE TABLE instance (
  id INTEGER PRIMARY KEY,
  sop_instance_uid TEXT NOT NULL,
  sop_class_uid TEXT NOT NULL,
  study_instance_uid TEXT NOT NULL DEFAULT '',
  series_instance_uid TEXT NOT NULL DEFAULT '',
  door TEXT NOT NULL,
  peer_address TEXT NOT NULL DEFAULT '',
  station TEXT NOT NULL DEFAULT '',
  priority INTEGER NOT NULL DEFAULT 5,
  received_at REAL NOT NULL,
  state TEXT NOT NULL DEFAULT 'received',
  reason TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '',
  gate TEXT NOT NULL DEFAULT '',
  waived TEXT NOT NULL DEFAULT '',
  not_before REAL NOT NULL DEFAULT 0,
  lease TEXT NOT NULL DEFAULT '',
  lease_until REAL NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX instance_uid ON instance (sop_instance_uid);
CREATE INDEX instance_study ON instance (study_instance_uid);
CREATE INDEX instance_state ON instance (state, id);
CREATE INDEX instance_due ON instance (priority, not_before) WHERE state = 'received' AND gate = '';

CREATE TABLE rendition (
  id INTEGER PRIMARY KEY,
  instance_id INTEGER NOT NULL REFERENCES instance,
  role TEXT NOT NULL,
  sop_instance_uid TEXT NOT NULL,
  sop_class_uid TEXT NOT NULL,
  transfer_syntax_uid TEXT NOT NULL,
  blob TEXT NOT NULL UNIQUE,
  dataset_offset INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  made_from INTEGER REFERENCES rendition,
  recipe TEXT NOT NULL DEFAULT '',
  proved INTEGER NOT NULL DEFAULT 0,
  made_at REAL NOT NULL
);
CREATE INDEX rendition_instance ON rendition (instance_id);
CREATE INDEX rendition_uid ON rendition (sop_instance_uid, sha256);

CREATE TABLE delivery (
  id INTEGER PRIMARY KEY,
  instance_id INTEGER NOT NULL REFERENCES instance,
  destination TEXT NOT NULL,
  round INTEGER NOT NULL DEFAULT 1,
  rendition_id INTEGER NOT NULL REFERENCES rendition,
  state TEXT NOT NULL DEFAULT 'queued',
  priority INTEGER NOT NULL DEFAULT 5,
  not_before REAL NOT NULL DEFAULT 0,
  lease TEXT NOT NULL DEFAULT '',
  lease_until REAL NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  refusals INTEGER NOT NULL DEFAULT 0,
  waited_s REAL NOT NULL DEFAULT 0,
  error_code TEXT NOT NULL DEFAULT '',
  error_text TEXT NOT NULL DEFAULT '',
  sent_at REAL NOT NULL DEFAULT 0,
  UNIQUE (instance_id, destination, round)
);
CREATE INDEX delivery_due ON delivery (destination, priority, not_before) WHERE state = 'queued';
CREATE INDEX delivery_state ON delivery (destination, state, id);

-- What is known of a destination as a whole: one breaker each.
CREATE TABLE destination (
  name TEXT PRIMARY KEY,
  breaker TEXT NOT NULL DEFAULT 'closed',
  failures INTEGER NOT NULL DEFAULT 0,
  next_try_at REAL NOT NULL DEFAULT 0,
  error_code TEXT NOT NULL DEFAULT '',
  error_text TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE TABLE history (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  instance_id INTEGER,
  delivery_id INTEGER,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX history_instance ON history (instance_id);
CREATE TRIGGER history_is_not_changed BEFORE UPDATE ON history
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER history_is_not_deleted BEFORE DELETE ON history
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;

-- The allowed moves of each state machine. A later version adds rows; no CHECK could be altered.
CREATE TABLE move (
  machine TEXT NOT NULL,
  from_state TEXT NOT NULL,
  to_state TEXT NOT NULL,
  PRIMARY KEY (machine, from_state, to_state)
) WITHOUT ROWID;
INSERT INTO move VALUES
  ('instance', 'received', 'ready'),
  ('instance', 'received', 'held'),
  ('instance', 'received', 'merged'),
  ('instance', 'received', 'withdrawn'),
  ('instance', 'ready', 'held'),
  ('instance', 'ready', 'retired'),
  ('instance', 'ready', 'withdrawn'),
  ('instance', 'held', 'received'),
  ('instance', 'held', 'ready'),
  ('instance', 'held', 'withdrawn'),
  ('instance', 'retired', 'ready'),
  ('delivery', 'queued', 'sent'),
  ('delivery', 'queued', 'held'),
  ('delivery', 'queued', 'cancelled'),
  ('delivery', 'sent', 'confirmed'),
  ('delivery', 'sent', 'held'),
  ('delivery', 'held', 'queued'),
  ('delivery', 'held', 'cancelled');
CREATE TRIGGER instance_moves BEFORE UPDATE OF state ON instance
WHEN old.state <> new.state AND NOT EXISTS (
  SELECT 1 FROM move WHERE machine = 'instance' AND from_state = old.state AND to_state = new.state)
BEGIN SELECT RAISE(ABORT, 'this instance may not move so'); END;
CREATE TRIGGER delivery_moves BEFORE UPDATE OF state ON delivery
WHEN old.state <> new.state AND NOT EXISTS (
  SELECT 1 FROM move WHERE machine = 'delivery' AND from_state = old.state AND to_state = new.state)
BEGIN SELECT RAISE(ABORT, 'this delivery may not move so'); END;

-- Counts by state, kept by triggers: a GROUP BY over a million rows takes half a second.
CREATE TABLE tally (
  machine TEXT NOT NULL,
  destination TEXT NOT NULL,
  state TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (machine, destination, state)
) WITHOUT ROWID;
CREATE TRIGGER instance_came AFTER INSERT ON instance BEGIN
  INSERT INTO tally VALUES ('instance', '', new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1; END;
CREATE TRIGGER instance_moved AFTER UPDATE OF state ON instance WHEN old.state <> new.state BEGIN
  UPDATE tally SET n = n - 1 WHERE machine = 'instance' AND destination = '' AND state = old.state;
  INSERT INTO tally VALUES ('instance', '', new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1; END;
CREATE TRIGGER delivery_came AFTER INSERT ON delivery BEGIN
  INSERT INTO tally VALUES ('delivery', new.destination, new.state, 1)
  ON CONFLICT DO UPDATE SET n = n + 1; END;
CREATE TRIGGER delivery_moved AFTER UPDATE OF state ON delivery WHEN old.state <> new.state BEGIN
  UPDATE tally SET n = n - 1
  WHERE machine = 'delivery' AND destination = old.destination AND state = old.state;
  INSERT INTO tally VALUES ('delivery', new.destination, new.state, 1)
  ON CONFLICT DO UPDATE SET n = n + 1; END;
