-- What an archive is asked after it took an object, and what a person or failover decides about a
-- destination as a whole. Only new tables and columns: the table `destination` stays as it is,
-- since the program before reads its rows by their places.

-- The check of what was sent: due at `check_at` (UTC seconds) while nothing firmer is known of it.
ALTER TABLE delivery ADD COLUMN check_at REAL NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN checks INTEGER NOT NULL DEFAULT 0;
-- The transaction whose report it waits for, and how many brought none in time.
ALTER TABLE delivery ADD COLUMN transaction_uid TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN silent INTEGER NOT NULL DEFAULT 0;
-- 1: the archive may have got the bytes, whatever it answered; `attempts` begins anew at a retry.
ALTER TABLE delivery ADD COLUMN tried INTEGER NOT NULL DEFAULT 0;
UPDATE delivery SET tried = 1 WHERE attempts > 0 OR sent_at > 0;
-- The destination in whose place it was opened by failover.
ALTER TABLE delivery ADD COLUMN stands_for TEXT NOT NULL DEFAULT '';

CREATE INDEX delivery_check ON delivery (destination, check_at)
  WHERE state = 'sent' AND settled_at = 0 AND transaction_uid = '';
CREATE INDEX delivery_unconfirmed ON delivery (destination, sent_at)
  WHERE state = 'sent' AND settled_at = 0;

-- Storage commitment (PS3.4 annex J): written before the archive is asked.
CREATE TABLE commitment (
  uid TEXT PRIMARY KEY,
  destination TEXT NOT NULL,
  begun_at REAL NOT NULL,
  deadline REAL NOT NULL,
  asked_at REAL NOT NULL DEFAULT 0,
  reported_at REAL NOT NULL DEFAULT 0,
  closed_at REAL NOT NULL DEFAULT 0,
  why TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX commitment_open ON commitment (destination, deadline) WHERE closed_at = 0;
CREATE INDEX commitment_closed ON commitment (closed_at) WHERE closed_at > 0;
-- `failure` counts only where `answered` is 1: NULL then says that the archive commits to keep it.
-- `answer_no` counts the answers about one delivery in the order in which they came.
CREATE TABLE commitment_item (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL REFERENCES commitment,
  destination TEXT NOT NULL,
  delivery_id INTEGER NOT NULL REFERENCES delivery,
  sop_class_uid TEXT NOT NULL,
  sop_instance_uid TEXT NOT NULL,
  answered INTEGER NOT NULL DEFAULT 0,
  failure INTEGER,
  acted INTEGER NOT NULL DEFAULT 0,
  answer_no INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX commitment_item_about ON commitment_item (delivery_id);
CREATE INDEX commitment_item_of ON commitment_item (uid, sop_instance_uid);
CREATE INDEX commitment_answered ON commitment_item (destination, id)
  WHERE answered = 1 AND acted = 0;

-- An object that was asked for by C-MOVE comes to our own port: expected until `until` of a boot.
CREATE TABLE readback (
  sop_instance_uid TEXT PRIMARY KEY,
  destination TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  until REAL NOT NULL,
  message_id INTEGER NOT NULL DEFAULT 0,
  path TEXT NOT NULL DEFAULT '',
  dataset_offset INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  transfer_syntax_uid TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE TABLE pause (
  destination TEXT PRIMARY KEY,
  at REAL NOT NULL,
  who TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE stand_in (
  destination TEXT PRIMARY KEY,
  fallback TEXT NOT NULL,
  since REAL NOT NULL
) WITHOUT ROWID;

-- What a destination refused, by code: the history of a million deliveries is too long to count.
CREATE TABLE refusal (
  destination TEXT NOT NULL,
  code TEXT NOT NULL,
  n INTEGER NOT NULL,
  last_at REAL NOT NULL,
  instance_id INTEGER NOT NULL,
  PRIMARY KEY (destination, code)
) WITHOUT ROWID;

INSERT INTO move VALUES
  ('delivery', 'sent', 'superseded');
