"""What a scripted target does wrong, and when: written down in its configuration, told in its log.

Messages are counted from 1 as they are accepted, in each life of the process anew; what is to be done to
message n is done to the first from n on that it can be done to: its addressee is connected, and nothing
else is done to it. Seconds count from the first message. Each deed is logged as it is done: `injected` with
its `kind` and the ids of the messages it was done to, `stalled`, `down` and `up`. That is the truth that a
harness is held to. A message that is to be swapped is one of two people who write to each other often; it
is `held` until the next one comes, and lost where none does.

    lose n      acknowledged, and never delivered           double n    delivered twice
    corrupt n   delivered with another body                 swap n      delivered after the next message of
                                                                        the same sender to the same addressee
    stall       the whole process does nothing, connections stay
    down        every message is refused, connections stay
    slower_ms   everything that is read is handled so much later
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from services.noop.hub import Hub
from services.runtime import People


class Stretch(BaseModel):
    """Something that begins `at_s` after the first message and lasts `for_s`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_s: float = Field(ge=0)
    for_s: float = Field(gt=0)


class Script(BaseModel):
    """The misdeeds of one target; without any it is the calibration target itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lose: frozenset[int] = frozenset()
    double: frozenset[int] = frozenset()
    swap: frozenset[int] = frozenset()
    corrupt: frozenset[int] = frozenset()
    stall: Stretch | None = None
    down: Stretch | None = None
    slower_ms: float = Field(default=0.0, ge=0)

    def deeds(self) -> list[tuple[int, str]]:
        """What is done to which message, in their order."""
        every = {"lose": self.lose, "double": self.double, "swap": self.swap, "corrupt": self.corrupt}
        return sorted((number, deed) for deed, numbers in every.items() for number in numbers)


OFTEN = 4
"""Messages from one person to another, from which on the next is waited for."""
Log = Callable[..., None]
"""Writes one event down, with its fields."""


class ScriptedHub(Hub):
    """A hub that follows a script. Only messages between two people are counted and ill-treated."""

    def __init__(self, people: People, script: Script, log: Log) -> None:
        super().__init__(people)
        self._script = script
        self._log = log
        self._accepted = 0
        self._down = False
        self._held: dict[tuple[str, str], tuple[str, str]] = {}
        self._deeds = script.deeds()
        self._said: Counter[tuple[str, str]] = Counter()

    def send(self, message_id: str, sender: str, addressee: str, body: str) -> bool:
        """As the script says; see Hub."""
        if self._accepted == 0:
            self._begin()
        if self._down:
            return False
        self._accepted += 1
        pair = (sender, addressee)
        self._said[pair] += 1
        deed = self._due(pair) if self.connected(addressee) else ""
        if deed == "swap":
            self._log("held", messages=[message_id])
            self._held[pair] = message_id, body
            return True
        if deed == "lose":
            self._log("injected", kind="lost", messages=[message_id])
            return True
        if deed == "corrupt":
            self._log("injected", kind="corrupt", messages=[message_id])
            body = ("x" if body[:1] != "x" else "y") + body[1:]
        sent = super().send(message_id, sender, addressee, body)
        if deed == "double":
            self._log("injected", kind="duplicated", messages=[message_id])
            super().send(message_id, sender, addressee, body)
        if pair in self._held:
            late_id, late_body = self._held.pop(pair)
            self._log("injected", kind="reordered", messages=[late_id])
            super().send(late_id, sender, addressee, late_body)
        return sent

    def _due(self, pair: tuple[str, str]) -> str:
        """What is to be done to the message of this pair that was just accepted; empty for nothing."""
        if not self._deeds or self._deeds[0][0] > self._accepted:
            return ""
        if self._deeds[0][1] == "swap" and self._said[pair] < OFTEN:
            return ""
        return self._deeds.pop(0)[1]

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        stall, down = self._script.stall, self._script.down
        if stall is not None:
            loop.call_later(stall.at_s, self._stall, stall.for_s)
        if down is not None:
            loop.call_later(down.at_s, self._go_down)
            loop.call_later(down.at_s + down.for_s, self._come_up)

    def _stall(self, for_s: float) -> None:
        self._log("stalled", for_s=for_s)
        time.sleep(for_s)

    def _go_down(self) -> None:
        self._down = True
        self._log("down")

    def _come_up(self) -> None:
        self._down = False
        self._log("up")


class Slowed(asyncio.Protocol):
    """Hands on to `handler` all that happens to a connection, each a while later, in its order."""

    def __init__(self, handler: asyncio.Protocol, slower_ms: float) -> None:
        self._handler = handler
        self._later_s = slower_ms / 1000

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """At once, for what is read later needs it."""
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Later."""
        asyncio.get_running_loop().call_later(self._later_s, self._handler.data_received, data)

    def connection_lost(self, error: Exception | None) -> None:
        """Later, after what came before it."""
        asyncio.get_running_loop().call_later(self._later_s, self._handler.connection_lost, error)
