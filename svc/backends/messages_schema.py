"""The tables of the message store in SQLite. Delivery writes them; messaging and history read them.

Embedded form of the Cassandra keyspace: the same keys and the same promise that the highest version of a cell wins. A cell's
version is the seq of the event that caused it (protocol W3); a withdrawal writes at WITHDRAWN + seq and is final.
"""

from svc.backends.sqlite_log import RETENTION_SECONDS

MESSAGES_FILE = "messages.sqlite"
KEY_RETENTION_SECONDS = RETENTION_SECONDS + 86_400
"""How long a key row is kept, counted from its event: as long as the log may be read again, and 24 h (protocol L6)."""

WITHDRAWN = 10**12
MESSAGE_LANE = 0
CHANGE_LANE = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
  conversation_id TEXT NOT NULL,
  lane INTEGER NOT NULL,              -- 0 messages, 1 changes
  seq INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  sender_id TEXT NOT NULL,
  record_id INTEGER NOT NULL,
  client_message_id TEXT NOT NULL,
  time_us INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,           -- messages up to and including this event
  version INTEGER NOT NULL,           -- newest membership version up to and including this event
  era INTEGER NOT NULL,               -- position of the record: (era, offset)
  offset INTEGER NOT NULL,
  target_seq INTEGER NOT NULL,        -- the event that is changed, or 0
  body BLOB NOT NULL,                 -- encoded body; empty once withdrawn
  body_version INTEGER NOT NULL,      -- seq of the event that wrote body, + 10^12 for a withdrawal
  PRIMARY KEY (conversation_id, lane, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS idempotency_keys (
  conversation_id TEXT NOT NULL, sender_id TEXT NOT NULL, client_message_id TEXT NOT NULL,
  era INTEGER NOT NULL, offset INTEGER NOT NULL, seq INTEGER NOT NULL,
  record_id INTEGER NOT NULL, time_us INTEGER NOT NULL, digest BLOB NOT NULL,
  PRIMARY KEY (conversation_id, sender_id, client_message_id)
);
CREATE TABLE IF NOT EXISTS conversations_by_user (
  user_id TEXT NOT NULL, conversation_id TEXT NOT NULL,
  version INTEGER NOT NULL,           -- membership version of the newest change; 0 in a direct conversation
  member INTEGER NOT NULL,            -- 1 while the user is part of it
  seq INTEGER NOT NULL,               -- the event that caused it
  PRIMARY KEY (user_id, conversation_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS read_marks (
  user_id TEXT NOT NULL, conversation_id TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (user_id, conversation_id)
) WITHOUT ROWID;
"""
