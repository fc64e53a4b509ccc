"""The groups as rooms (XEP-0045) of a service beside the domain, `groups.` and its name.

A group is a room that is there for ever, whose members are all in it for ever, each by the name of their
account: whether they are online or not, nobody joins and nobody leaves. So a message to the room comes to
every member, and waits for those who are away, which a room's own history would not do for them.
"""

from services.monolith.stanza import Element, attribute, optional, write_inner
from services.runtime import People

XML_LANG = "http://www.w3.org/XML/1998/namespace lang"


class Rooms:
    """Who is in which group; `service` is the address that the rooms are at."""

    def __init__(self, domain: str, people: People) -> None:
        self.service = f"groups.{domain}"
        self._people = people
        self._groups = people.groups()
        self._members = [frozenset(members) for members in self._groups]

    def __len__(self) -> int:
        return len(self._groups)

    def refusal(self, sender: int, stanza: Element) -> str | None:
        """Why person `sender` may not say this message where it is addressed to; None when they may.

        The conditions are those of XEP-0045, 7.4 and 7.5, and `forbidden` for who is no member.
        """
        room, _, occupant = stanza.attributes["to"].partition("/")
        if occupant:
            return "bad-request" if stanza.attributes.get("type") == "groupchat" else "service-unavailable"
        number = self._number(room)
        if number is None:
            return "item-not-found"
        if sender not in self._members[number]:
            return "forbidden"
        return None if stanza.attributes.get("type") == "groupchat" else "service-unavailable"

    def addressees(self, room: str, sender: int) -> tuple[int, ...]:
        """The other members of a room that exists."""
        number = self._number(room)
        assert number is not None
        return tuple(member for member in self._groups[number] if member != sender)

    def written(self, stanza: Element, nick: str) -> bytes:
        """A message to a room as the room passes it on, but for `to`, which each addressee's session adds."""
        attributes = stanza.attributes
        return (
            f"<message from='{attribute(attributes['to'].lower())}/{attribute(nick)}'"
            f"{optional('id', attributes.get('id'))}{optional('xml:lang', attributes.get(XML_LANG))} "
            f"type='groupchat'>{write_inner(stanza)}</message>"
        ).encode()

    def _number(self, room: str) -> int | None:
        """Of the room at the bare address `room`; case does not matter (RFC 7622, 3.3)."""
        number = self._people.group_index(room.lower().partition("@")[0])
        return number if number is not None and number < len(self._groups) else None


def addressed(written: bytes, to: str) -> bytes:
    """What `Rooms.written` gave, to one addressee."""
    return b"<message to='%s'%s" % (to.encode(), written.removeprefix(b"<message"))
