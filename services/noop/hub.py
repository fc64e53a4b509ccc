"""Who is connected, and the way from a sender straight to an addressee."""

from typing import Protocol

from services.runtime import People

NOT_FOUND = "not_found"
FORBIDDEN = "forbidden"


class Receiver(Protocol):
    """One person's connection, as those who send to them see it."""

    def deliver(self, message_id: str, sender: str, body: str, group: str = "") -> None:
        """Write the message out; `group` is the group's name, empty for one person's to another."""

    def replaced(self) -> None:
        """End it: the same person has connected again."""


class Hub:
    """The people who are connected, by name, and the accounts that exist."""

    def __init__(self, people: People) -> None:
        self.people = people
        self._connected: dict[str, Receiver] = {}
        self._groups = {
            f"g{number}": {people.name(member) for member in members}
            for number, members in enumerate(people.groups())
        }

    def __len__(self) -> int:
        return len(self._connected)

    def admits(self, user: str, password: str) -> bool:
        """Whether there is such an account and this is its password."""
        return self.people.index(user) is not None and password == self.people.password

    def connect(self, user: str, receiver: Receiver) -> None:
        """Have messages for `user` go to `receiver`, in place of an earlier one."""
        earlier = self._connected.get(user)
        self._connected[user] = receiver
        if earlier is not None and earlier is not receiver:
            earlier.replaced()

    def disconnect(self, user: str, receiver: Receiver) -> None:
        """Take `receiver` out, where it is still the one."""
        if self._connected.get(user) is receiver:
            del self._connected[user]

    def connected(self, user: str) -> bool:
        """Whether `user` is."""
        return user in self._connected

    def send(self, message_id: str, sender: str, addressee: str, body: str) -> bool:
        """Deliver to the addressee if connected; False where there is no such account."""
        receiver = self._connected.get(addressee)
        if receiver is not None:
            receiver.deliver(message_id, sender, body)
            return True
        return self.people.index(addressee) is not None

    def send_to_group(self, message_id: str, sender: str, group: str, body: str) -> str | None:
        """Deliver to the other members who are connected; NOT_FOUND or FORBIDDEN where that may not be."""
        members = self._groups.get(group)
        if members is None:
            return NOT_FOUND
        if sender not in members:
            return FORBIDDEN
        for member in members:
            receiver = self._connected.get(member)
            if receiver is not None and member != sender:
                receiver.deliver(message_id, sender, body, group)
        return None
