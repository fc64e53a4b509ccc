"""Who listens to a connection under test."""

import gevent

from bench.load.clients import Request

PATIENCE_S = 30.0
Told = tuple[str, ...]


class Ear:
    """A listener that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def acknowledged(self, request_id: str) -> None:
        self.told.append(("acknowledged", request_id))

    def refused(self, request_id: str, reason: str) -> None:
        self.told.append(("refused", request_id, reason))

    def delivered(self, message_id: str, sender: str, body: str, group: str) -> None:
        self.told.append(("delivered", message_id, sender, body, group))

    def lost(self, reason: str) -> None:
        self.told.append(("lost", reason))

    def failed(self, error: Exception) -> None:
        self.told.append(("failed", str(error)))

    def hear(self, count: int) -> list[Told]:
        """The next `count` things; waits for them."""
        with gevent.Timeout(PATIENCE_S, AssertionError(f"heard {self.told}, waited for {count}")):
            while len(self.told) < count:
                gevent.sleep(0.001)
        heard, self.told = self.told[:count], self.told[count:]
        return heard


def message(message_id: str, addressee: str, body: str) -> Request:
    return Request("send", message_id, addressee, body, 0)
