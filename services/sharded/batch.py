"""What may wait in a shard's line, and the one transaction that a batch of it becomes. Pure.

A transaction is one round trip of at most six sentences:

  1. raise the sequence number of each addressee by as many as they get, in the order of their row
     numbers: the row locks, held to the end of the commit, order commits to one inbox by number, and
     the one order for all keeps two api nodes from locking each other out;
  2. insert the messages, leaving out those whose (addressee, sender, message id) is there already;
  3. insert the messages to groups, leaving out those whose (group, sender, message id) is there;
  4. keep what people show, the last of each;
  5. commit: the primary waits for its replica (server.py);
  6. `DO 1`: only a connection that nobody has killed gets this far. A commit answered with success on a
     killed connection may be on one disk only; it counts as not answered.

So storing a batch again, when it is not known whether it was stored, changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.sharded.database import Result, quoted
from services.sharded.schema import EPOCH_SHIFT

Key = tuple[str, int, int, str]
"""What makes two entries the same one, sent again."""


class Letter(NamedTuple):
    """A message for one person's inbox; from a group, where it has one. Persons and groups are numbers."""

    person: int
    sender: int
    message_id: str
    body: str
    group: int | None = None

    @property
    def key(self) -> Key:
        """See Key."""
        return "letter", self.person, self.sender, self.message_id


class Post(NamedTuple):
    """A message to a group, for its shard's outbox."""

    group: int
    sender: int
    message_id: str
    body: str

    @property
    def key(self) -> Key:
        """See Key."""
        return "post", self.group, self.sender, self.message_id


class Presence(NamedTuple):
    """What a person shows from now on, one of SHOWN; `change` tells the changes of one api node apart."""

    person: int
    body: str
    change: int

    @property
    def key(self) -> Key:
        """See Key."""
        return "presence", self.person, self.change, ""


Entry = Letter | Post | Presence


class Transaction(NamedTuple):
    """The sentences, and by their position how many rows those would insert that leave out what is there."""

    sql: str
    insertions: dict[int, int]

    def suppressed(self, results: Sequence[Result]) -> int:
        """How many messages turned out to be there already."""
        return sum(rows - results[place].affected for place, rows in self.insertions.items())


def transaction(entries: Iterable[Entry], epoch: int) -> Transaction:
    """What stores `entries` in order; numbers begin above epoch × 2^32."""
    letters, posts, presences = [], [], []
    for entry in entries:
        if isinstance(entry, Letter):
            letters.append(entry)
        elif isinstance(entry, Post):
            posts.append(entry)
        else:
            presences.append(entry)
    sentences: list[str] = []
    insertions: dict[int, int] = {}
    if letters:
        sentences += _into_inboxes(letters, epoch)
        insertions[len(sentences) - 1] = len(letters)
    if posts:
        rows = ",".join(f"({p.group},{p.sender},{quoted(p.message_id)},{quoted(p.body)})" for p in posts)
        insertions[len(sentences)] = len(posts)
        sentences.append(f"INSERT IGNORE INTO outbox (grp,sender,message_id,body) VALUES {rows}")
    if presences:
        last = {presence.person: presence.body for presence in presences}
        rows = ",".join(f"({person},{quoted(last[person])})" for person in sorted(last))
        sentences.append(
            f"INSERT INTO presences (person,shown) VALUES {rows} ON DUPLICATE KEY UPDATE shown=VALUES(shown)"
        )
    return Transaction(";".join([*sentences, "COMMIT", "DO 1"]), insertions)


def _into_inboxes(letters: Sequence[Letter], epoch: int) -> tuple[str, str]:
    left: dict[int, int] = {}
    for letter in letters:
        left[letter.person] = left.get(letter.person, 0) + 1
    bumps = ",".join(f"({person},{left[person]})" for person in sorted(left))
    rows = []
    for letter in letters:
        person = letter.person
        left[person] -= 1
        group = "NULL" if letter.group is None else letter.group
        rows.append(
            f"({person},(SELECT last-{left[person]} FROM sequences WHERE person={person}),"
            f"{letter.sender},{quoted(letter.message_id)},{group},{quoted(letter.body)})"
        )
    return (
        f"INSERT INTO sequences (person,last) VALUES {bumps}"
        f" ON DUPLICATE KEY UPDATE last=GREATEST(last,{epoch << EPOCH_SHIFT})+VALUES(last)",
        f"INSERT IGNORE INTO inbox (person,seq,sender,message_id,grp,body) VALUES {','.join(rows)}",
    )
