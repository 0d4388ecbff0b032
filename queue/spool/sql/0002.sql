-- The whole life of an item: fair turns, trusted waiting time, retirement, scrubbing, decisions.
-- "Trusted" seconds are counted by us while the box runs (ageing.py), not by the wall clock.

-- One row: trusted seconds up to a moment of a boot.
CREATE TABLE trusted_time (
  id INTEGER PRIMARY KEY,
  boot_id TEXT NOT NULL,
  boottime REAL NOT NULL,
  seconds REAL NOT NULL
);

-- Small facts that a restart must not forget, such as the rung of the room ladder.
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- What happened to the spool as a whole, shown in status until a person has seen it.
CREATE TABLE incident (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  code TEXT NOT NULL,
  detail TEXT NOT NULL DEFAULT '',
  seen INTEGER NOT NULL DEFAULT 0
);

ALTER TABLE instance ADD COLUMN settled_at REAL NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN withdrawn_at REAL NOT NULL DEFAULT 0;
ALTER TABLE rendition ADD COLUMN gone_at REAL NOT NULL DEFAULT 0;
ALTER TABLE rendition ADD COLUMN checked_at REAL NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN door TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN away INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN waits_since REAL NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN settled_at REAL NOT NULL DEFAULT 0;
UPDATE delivery SET door = (SELECT door FROM instance WHERE instance.id = delivery.instance_id);

-- A program that does not know the doors still writes them.
CREATE TRIGGER delivery_door AFTER INSERT ON delivery WHEN new.door = '' BEGIN
  UPDATE delivery SET door = (SELECT door FROM instance WHERE id = new.instance_id)
  WHERE id = new.id; END;

-- Fair turns: the next door, then its most urgent item. These take the place of the first ones.
DROP INDEX instance_due;
DROP INDEX delivery_due;
CREATE INDEX instance_turn ON instance (priority, door, not_before)
  WHERE state = 'received' AND gate = '';
CREATE INDEX delivery_turn ON delivery (destination, priority, door, not_before)
  WHERE state = 'queued';
CREATE INDEX delivery_waits ON delivery (waits_since) WHERE state = 'queued';
CREATE INDEX delivery_away ON delivery (destination, away) WHERE state = 'queued' AND away = 1;
CREATE INDEX instance_settled ON instance (settled_at) WHERE state = 'ready' AND settled_at > 0;
CREATE INDEX instance_withdrawn ON instance (withdrawn_at) WHERE state = 'withdrawn';
CREATE INDEX rendition_checked ON rendition (checked_at) WHERE gone_at = 0;
CREATE INDEX delivery_error ON delivery (error_code) WHERE error_code <> '';

INSERT INTO move VALUES
  ('instance', 'withdrawn', 'received'),
  ('instance', 'withdrawn', 'retired'),
  ('instance', 'merged', 'received'),
  ('delivery', 'cancelled', 'queued');
