"""Who is connected, and the way from a sender straight to an addressee."""

from typing import Protocol

from services.runtime import People


class Receiver(Protocol):
    """One person's connection, as those who send to them see it."""

    def deliver(self, message_id: str, sender: str, body: str) -> None:
        """Write the message out."""

    def replaced(self) -> None:
        """End it: the same person has connected again."""


class Hub:
    """The people who are connected, by name, and the accounts that exist."""

    def __init__(self, people: People) -> None:
        self.people = people
        self._connected: dict[str, Receiver] = {}

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

    def send(self, message_id: str, sender: str, addressee: str, body: str) -> bool:
        """Deliver to the addressee if connected; False where there is no such account."""
        receiver = self._connected.get(addressee)
        if receiver is not None:
            receiver.deliver(message_id, sender, body)
            return True
        return self.people.index(addressee) is not None
