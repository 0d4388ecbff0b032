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
-- What a received data set says in whatever encoding (SHA-256); the digests outlive the bytes.
ALTER TABLE rendition ADD COLUMN pixels_sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE rendition ADD COLUMN identity_sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE rendition ADD COLUMN rest_sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN door TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN away INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN waits_since REAL NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN settled_at REAL NOT NULL DEFAULT 0;
-- Waits while an earlier instance of the same UID has there: 1 something queued, 2 or held.
ALTER TABLE delivery ADD COLUMN behind INTEGER NOT NULL DEFAULT 0;
UPDATE delivery SET door = (SELECT door FROM instance WHERE instance.id = delivery.instance_id);

-- The first program removed a merged blob without a word here, and knew no trash.
UPDATE rendition SET gone_at = unixepoch()
WHERE instance_id IN (SELECT id FROM instance WHERE state = 'merged');
UPDATE instance SET withdrawn_at = 0.001 WHERE state = 'withdrawn';

-- A program that knows nothing of this still writes it, or its items would be given up at once and
-- its merged blobs be missed, when this version comes back.
CREATE TRIGGER delivery_door AFTER INSERT ON delivery WHEN new.door = '' BEGIN
  UPDATE delivery SET door = (SELECT door FROM instance WHERE id = new.instance_id),
    waits_since = coalesce((SELECT seconds FROM trusted_time WHERE id = 1), 0)
  WHERE id = new.id; END;
CREATE TRIGGER instance_merged AFTER UPDATE OF state ON instance WHEN new.state = 'merged' BEGIN
  UPDATE rendition SET gone_at = unixepoch() WHERE instance_id = new.id AND gone_at = 0; END;

-- Fair turns: the next door, then its most urgent item. These take the place of the first ones.
DROP INDEX instance_due;
DROP INDEX delivery_due;
CREATE INDEX instance_turn ON instance (priority, door, not_before)
  WHERE state = 'received' AND gate = '';
CREATE INDEX delivery_turn ON delivery (destination, priority, door, not_before, id, behind)
  WHERE state = 'queued';
CREATE INDEX delivery_waits ON delivery (waits_since) WHERE state = 'queued';
CREATE INDEX delivery_away ON delivery (destination, away) WHERE state = 'queued' AND away = 1;
CREATE INDEX instance_settled ON instance (settled_at) WHERE state = 'ready' AND settled_at > 0;
CREATE INDEX instance_withdrawn ON instance (withdrawn_at) WHERE state = 'withdrawn';
CREATE INDEX rendition_made ON rendition (made_at, bytes);
CREATE INDEX rendition_lost ON rendition (blob) WHERE gone_at < 0;
CREATE INDEX rendition_checked ON rendition (checked_at) WHERE gone_at = 0;
CREATE INDEX delivery_error ON delivery (error_code) WHERE error_code <> '';

INSERT INTO move VALUES
  ('instance', 'withdrawn', 'received'),
  ('instance', 'withdrawn', 'retired'),
  ('instance', 'merged', 'received'),
  ('delivery', 'cancelled', 'queued');
