"""The tables of the message store in Cassandra. Delivery writes them; messaging and history read them.

The same keys and the same promise as in `svc.backends.messages_schema`: the highest version of a cell wins. Here a cell's
version is its write timestamp: the seq of the event that caused it, plus WITHDRAWN for a withdrawal (protocol W3). `body` and
`body_version` are always written together, at the timestamp that `body_version` says, so they move together.

For readers:
- `body` is sealed (`svc.backends.sealing`) for the row's (conversation, seq, kind), also after an edit; empty means empty.
- A row of `events` whose `kind` is null holds only a change of a body whose event is not here: it is no event. Skip it.
- `conversation_heads` knows the newest bucket; it is written before the first row of that bucket, so the newest events are in
  that bucket or, if it is empty, in the one below; no record means bucket 0 (W5).
- Statements never name the keyspace: the session is in it.

Migrations: `VERSIONS` are applied in order, each once. They only grow; each statement may be run again, and at the same time
by several: `IF NOT EXISTS` everywhere, and a table's id is computed from its name (`$name`), since Cassandra gives two who
make a table at the same time two tables otherwise.
"""

from svc.backends.messages_schema import KEY_RETENTION_SECONDS

BUCKET_EVENTS = 4096
"""Events of a conversation that share one partition. `svc.delivery.model` says the same; a test compares them."""


def bucket_of(seq: int) -> int:
    """The partition of a conversation in which an event lies."""
    return seq // BUCKET_EVENTS


def is_seq(seq: int) -> bool:
    """Whether an event can have this number: what is named from outside may have none that a bucket counts for."""
    return 0 < seq < BUCKET_EVENTS << 31


_UNIFIED = "compaction = {'class': 'UnifiedCompactionStrategy'}"

VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        f"""
CREATE TABLE IF NOT EXISTS events (
  conversation_id text,
  bucket int,                 -- seq // 4096
  lane tinyint,               -- 0 messages, 1 changes
  seq bigint,
  kind tinyint,
  sender_id text,
  record_id bigint,
  client_message_id text,
  time_us bigint,
  ordinal bigint,             -- messages up to and including this event
  version bigint,             -- newest membership version up to and including this event
  era int,                    -- position of the record: (era, offset)
  offset bigint,
  target_seq bigint,          -- the event that is changed, or 0
  body blob,                  -- sealed encoded body; empty once withdrawn
  body_version bigint,        -- seq of the event that wrote body, + 10^12 for a withdrawal
  PRIMARY KEY ((conversation_id, bucket), lane, seq)
) WITH CLUSTERING ORDER BY (lane ASC, seq DESC) AND ID = $events AND {_UNIFIED}""",
        # Written without USING TIMESTAMP, and so by wall clock: TWCS drops whole files by it. Nothing is ever deleted here, so
        # that a replica that was away brings nothing back: a day of grace is enough (hints are kept for three hours).
        f"""
CREATE TABLE IF NOT EXISTS idempotency_keys (
  conversation_id text, sender_id text, client_message_id text,
  era int, offset bigint, seq bigint, record_id bigint, time_us bigint, digest blob,
  PRIMARY KEY ((conversation_id, sender_id), client_message_id)
) WITH ID = $idempotency_keys AND default_time_to_live = {KEY_RETENTION_SECONDS} AND gc_grace_seconds = 86400
  AND compaction = {{
    'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', 'compaction_window_size': 1
  }}""",
        f"""
CREATE TABLE IF NOT EXISTS conversation_heads (
  conversation_id text PRIMARY KEY,
  bucket int                  -- the newest; timestamp = seq of its first event
) WITH ID = $conversation_heads AND {_UNIFIED}""",
        f"""
CREATE TABLE IF NOT EXISTS conversations_by_user (
  user_id text, conversation_id text,
  version bigint,             -- membership version of the newest change, its timestamp; 0 in a direct conversation
  member boolean,             -- whether the user is part of it
  seq bigint,                 -- the event that caused it
  PRIMARY KEY (user_id, conversation_id)
) WITH ID = $conversations_by_user AND {_UNIFIED}""",
        f"""
CREATE TABLE IF NOT EXISTS read_marks (
  user_id text, conversation_id text,
  seq bigint,                 -- also its timestamp: the highest wins
  PRIMARY KEY (user_id, conversation_id)
) WITH ID = $read_marks AND {_UNIFIED}""",
    ),
)

TABLES = (
    "schema_versions",
    "events",
    "idempotency_keys",
    "conversation_heads",
    "conversations_by_user",
    "read_marks",
)
"""Every table there is."""
