"""What a batch becomes."""

from services.sharded.batch import Entry, Letter, Post, Presence, transaction
from services.sharded.database import Result


def test_a_batch_numbers_each_inbox_in_the_order_of_the_sends_and_locks_in_the_order_of_persons() -> None:
    batch = [Letter(7, 1, "a", "x"), Letter(3, 1, "b", "it's", 5), Letter(7, 2, "c", "z")]
    bump, insert, commit, proof = transaction(batch, 2).sql.split(";")
    assert bump.startswith("INSERT INTO sequences (person,last) VALUES (3,1),(7,2) ")
    assert f"GREATEST(last,{2 << 32})+VALUES(last)" in bump
    rows = insert.partition(" VALUES ")[2]
    assert rows == (
        "(7,(SELECT last-1 FROM sequences WHERE person=7),1,'a',NULL,'x'),"
        "(3,(SELECT last-0 FROM sequences WHERE person=3),1,'b',5,'it\\'s'),"
        "(7,(SELECT last-0 FROM sequences WHERE person=7),2,'c',NULL,'z')"
    )
    assert (commit, proof) == ("COMMIT", "DO 1")


def test_only_what_is_in_the_batch_is_written() -> None:
    posts, commit, _ = transaction([Post(4, 1, "m", "x"), Post(4, 2, "m", "y")], 1).sql.split(";")
    assert (
        posts == "INSERT IGNORE INTO outbox (grp,sender,message_id,body) VALUES (4,1,'m','x'),(4,2,'m','y')"
    )
    assert commit == "COMMIT"


def test_the_last_presence_of_each_person_counts_and_rows_are_locked_in_order() -> None:
    changes = [Presence(9, "away", 0), Presence(2, "dnd", 1), Presence(9, "available", 2)]
    shown = transaction(changes, 1).sql.split(";")[0]
    assert shown.startswith("INSERT INTO presences (person,shown) VALUES (2,'dnd'),(9,'available') ON ")


def test_what_was_there_already_is_counted_of_letters_and_posts_alone() -> None:
    batch: list[Entry] = [
        Letter(1, 2, "a", "x"),
        Post(4, 1, "m", "x"),
        Letter(1, 2, "b", "x"),
        Presence(1, "away", 0),
    ]
    storing = transaction(batch, 1)
    assert len(storing.sql.split(";")) == 6
    bump, letters, posts, shown = Result((), 4), Result((), 1), Result((), 0), Result((), 2)
    assert storing.suppressed([bump, letters, posts, shown, Result((), 0), Result((), 0)]) == 2
