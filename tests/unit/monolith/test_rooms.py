"""Who may say what in which room, and what the others are sent."""

import json
from pathlib import Path

import pytest

from services.monolith.rooms import Rooms, addressed
from services.monolith.stanza import BODY, Element
from services.runtime import People


@pytest.fixture
def rooms(tmp_path: Path) -> Rooms:
    """Two groups among five people: the first three, and the last two."""
    path = tmp_path / "groups.json"
    path.write_text(json.dumps([[0, 1, 2], [3, 4]]))
    return Rooms("d.example", People(count=5, groups_file=path))


def said(to: str, kind: str = "groupchat", **attributes: str) -> Element:
    stanza = Element("jabber:client message", {"to": to, "type": kind, **attributes})
    body = Element(BODY, {})
    body.text = "a & b"
    stanza.children.append(body)
    return stanza


@pytest.mark.parametrize(
    ("sender", "to", "kind", "condition"),
    [
        (0, "g0@groups.d.example", "groupchat", None),
        (0, "G0@Groups.d.example", "groupchat", None),
        (3, "g0@groups.d.example", "groupchat", "forbidden"),
        (0, "g1@groups.d.example", "groupchat", "forbidden"),
        (0, "g2@groups.d.example", "groupchat", "item-not-found"),
        (0, "g00@groups.d.example", "groupchat", "item-not-found"),
        (0, "u1@groups.d.example", "groupchat", "item-not-found"),
        (0, "groups.d.example", "groupchat", "item-not-found"),
        (0, "g0@groups.d.example/u1", "groupchat", "bad-request"),
        (0, "g0@groups.d.example/u1", "chat", "service-unavailable"),
        (0, "g0@groups.d.example", "chat", "service-unavailable"),
    ],
)
def test_members_may_speak_to_the_whole_room_and_nobody_else_may(
    rooms: Rooms, sender: int, to: str, kind: str, condition: str | None
) -> None:
    assert rooms.refusal(sender, said(to, kind)) == condition


def test_a_message_goes_to_every_member_but_the_sender(rooms: Rooms) -> None:
    assert rooms.addressees("g0@groups.d.example", 1) == (0, 2)
    assert rooms.addressees("g1@groups.d.example", 4) == (3,)


def test_a_room_passes_a_message_on_from_the_speaker_to_each(rooms: Rooms) -> None:
    stanza = said("g0@groups.d.example", id="m'1")
    assert addressed(rooms.written(stanza, "u1"), "u2@d.example") == (
        b"<message to='u2@d.example' from='g0@groups.d.example/u1' id='m&apos;1' type='groupchat'>"
        b"<body>a &amp; b</body></message>"
    )


def test_without_a_file_there_are_no_rooms() -> None:
    rooms = Rooms("d.example", People(count=5))
    assert len(rooms) == 0
    assert rooms.refusal(0, said("g0@groups.d.example")) == "item-not-found"
