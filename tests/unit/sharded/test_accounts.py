"""Passwords and tokens."""

from services.runtime import People
from services.sharded.accounts import Accounts

SECRET = "s" * 32


def accounts(secret: str = SECRET) -> Accounts:
    return Accounts(People(count=10, password="right"), secret, shards=2)


def test_only_the_right_password_of_an_existing_person_gives_a_token() -> None:
    ours = accounts()
    assert ours.login("u1", "wrong") is None
    assert ours.login("u1", "right") is not None
    assert ours.login("u1", "wrong") is None
    assert ours.login("u10", "right") is None
    assert ours.login("u1", "right") == ours.login("u1", "right")


def test_a_token_is_good_at_every_node_with_the_same_secret_and_at_no_other() -> None:
    token = accounts().login("u3", "right")
    assert token is not None
    person = accounts().bearer(token.encode())
    assert person is not None
    assert (person.name, person.number) == ("u3", 3)
    assert accounts("t" * 32).bearer(token.encode()) is None


def test_a_token_is_nobody_elses_and_a_peers_is_no_persons() -> None:
    ours = accounts()
    token = ours.login("u3", "right")
    assert token is not None
    assert ours.bearer(token.replace("u3", "u4").encode()) is None
    assert ours.bearer(ours.peer_token()) is None
    assert ours.bearer(b"") is None
    assert ours.bearer(b"\xff.\xff") is None
    assert ours.is_peer(ours.peer_token())
    assert not ours.is_peer(token.encode())
