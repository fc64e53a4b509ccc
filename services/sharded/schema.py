"""The tables of one shard. All servers of a shard get them alike, outside the binary log.

`sequences`  one row a person: the highest sequence number given out. Its row lock, held to the end of
             the commit, makes commits to one inbox happen in the order of their numbers, so a reader
             who has read up to n never finds a smaller number later.
`inbox`      one row a message: numbers increase per person and may have gaps. The unique key is what
             makes a message sent twice be kept once.
`outbox`     one row a message to a group, to be copied into its members' inboxes (outbox.py); on the
             shard of the group's name. What has been copied stays: by its key a message that is sent
             again is known.
`presences`  one row a person who has said so: what they show.
`term`       one row: the epoch in which this data's primary was promoted. New numbers start at
             epoch × 2^32 at least, so that a number which a reader saw on a primary that died, and
             which its replica never got, is not given to another message.
"""

DATABASE = "threegen"
EPOCH_SHIFT = 32
LONGEST_MESSAGE_ID = 64
SHOWN = ("available", "away", "dnd")
"""What a person can show."""


def creation(people: int) -> str:
    """The sentences that make the tables and a sequence row for persons 0 … people-1; harmless again."""
    return f"""
CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS {DATABASE}.sequences (
  person INT UNSIGNED NOT NULL PRIMARY KEY,
  last BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS {DATABASE}.inbox (
  person INT UNSIGNED NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  sender INT UNSIGNED NOT NULL,
  message_id VARCHAR({LONGEST_MESSAGE_ID}) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  grp INT UNSIGNED,
  body MEDIUMTEXT NOT NULL,
  PRIMARY KEY (person, seq),
  UNIQUE KEY once (person, sender, message_id)
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS {DATABASE}.outbox (
  grp INT UNSIGNED NOT NULL,
  sender INT UNSIGNED NOT NULL,
  message_id VARCHAR({LONGEST_MESSAGE_ID}) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  body MEDIUMTEXT NOT NULL,
  posted TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  copied BOOLEAN NOT NULL DEFAULT FALSE,
  PRIMARY KEY (grp, sender, message_id),
  KEY left_to_do (copied, posted)
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS {DATABASE}.presences (
  person INT UNSIGNED NOT NULL PRIMARY KEY,
  shown ENUM({", ".join(f"'{show}'" for show in SHOWN)}) NOT NULL
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS {DATABASE}.term (
  id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  epoch INT UNSIGNED NOT NULL
) ENGINE=InnoDB;
INSERT IGNORE INTO {DATABASE}.sequences SELECT seq, 0 FROM {DATABASE}.seq_0_to_{people - 1};
INSERT IGNORE INTO {DATABASE}.term VALUES (1, 1);
"""
