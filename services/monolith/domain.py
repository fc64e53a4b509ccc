"""The domain: its accounts, who of them is online, and the way of every message.

A message is numbered and journalled first. Once durable it is acknowledged to its sender and handed
to its addressee, or waits there (XEP-0160). It leaves the mailbox only when the addressee's client has
acknowledged it (XEP-0198), or was written to a client that does not speak XEP-0198. So across a crash
of the server a message may arrive twice, never not at all, and in the order it was taken.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple

from services.monolith.account import Account, Connected
from services.monolith.commit import GroupCommit
from services.monolith.metrics import Metrics
from services.monolith.records import LONGEST_ID_BYTES, GroupMessage, Message, key
from services.monolith.rooms import Rooms, addressed
from services.monolith.sasl import Accounts
from services.monolith.stanza import XML, Element, attribute, error, optional, write_inner
from services.monolith.state import State
from services.runtime import People


class Entry(NamedTuple):
    """A message stanza on its way to the disk: the sender's session, the stanza's position in it.

    `message` is None for a duplicate, which is acknowledged again and delivered no more. `resource`
    is the addressee's, where the sender named one; `to_group` where it goes to all of a group.
    """

    session: Connected
    position: int
    message: Message | GroupMessage | None
    resource: str
    to_group: bool = False


class Domain:
    """All accounts of one server. `contacts` holds contact indices by person (People.contacts)."""

    def __init__(
        self,
        name: str,
        people: People,
        state: State,
        metrics: Metrics,
    ) -> None:
        self.name = name
        self.metrics = metrics
        self.credentials = Accounts(people)
        self.online: dict[int, Account] = {}
        self.connections: set[Connected] = set()
        self.stopping = False
        self.commit: GroupCommit[Entry]
        self.rooms = Rooms(name, people)
        self._people = people
        self._contacts = people.contacts()
        self._state = state
        self._next_number = state.next_number
        self._accounts: dict[int, Account] = {}
        self._by_jid: dict[str, Account] = {}
        self._committing: set[str] = set()
        metrics.sessions = lambda: sum(session.account is not None for session in self.connections)
        metrics.mailbox_depth = lambda: len(state.undelivered)
        for message in state.undelivered.values():
            self.account(message.addressee).queue.append(message)

    def account(self, index: int) -> Account:
        """The account of person `index`, which must exist."""
        account = self._accounts.get(index)
        if account is None:
            account = Account(index, f"{self._people.name(index)}@{self.name}")
            self._accounts[index] = account
            self._by_jid[account.jid] = account
        return account

    def find(self, bare_jid: str) -> Account | None:
        """The account at `bare_jid`, or None where there is none; case does not matter (RFC 7622, 3.3)."""
        account = self._by_jid.get(bare_jid)
        if account is None:
            local, _, domain = bare_jid.lower().partition("@")
            index = self._people.index(local)
            if index is not None and domain == self.name:
                account = self.account(index)
        return account

    def contacts(self, account: Account) -> list[int]:
        """Who is in the account's roster, as person indices; both ways (`subscription='both'`)."""
        return self._contacts[account.index]

    def route_message(self, session: Connected, stanza: Element) -> None:
        """Take one message from a bound session (RFC 6121, 8.5)."""
        attributes = stanza.attributes
        to = attributes.get("to") or session.owner.jid
        address, _, resource = to.partition("/")
        account = self._by_jid.get(address) or self.find(address)
        kind = attributes.get("type", "normal")
        identity = attributes.get("id", "")
        if account is None:
            host = address.lower().rpartition("@")[2]
            if kind == "error":
                pass  # never answered (RFC 6120, 8.3.1)
            elif host == self.rooms.service:
                self._route_to_room(session, stanza)
            else:
                local = host == self.name
                self._refuse(session, stanza, "service-unavailable" if local else "remote-server-not-found")
            return
        if kind == "groupchat" or len(identity) > LONGEST_ID_BYTES // 4:
            self._refuse(session, stanza, "service-unavailable" if kind == "groupchat" else "bad-request")
            return
        language = attributes.get(f"{XML} lang")
        suffix = f"/{attribute(resource)}" if resource else ""
        inner = write_inner(stanza)
        wire = (
            f"<message from='{session.written_jid}' to='{account.jid}{suffix}'{optional('id', identity)}"
            f"{optional('xml:lang', language)} type='{attribute(kind)}'>{inner}</message>"
        ).encode()
        if kind in {"headline", "error"}:  # never stored (RFC 6121, 8.5.2.2)
            receiver = account.sessions.get(resource) or account.chosen
            if receiver is not None:
                receiver.write_stanza(wire)
            return
        if self._taken_before(session, identity, to_group=False):
            return
        number = self._next_number
        self._next_number += 1
        message = Message(number, _now_ms(), session.owner.index, account.index, identity, wire)
        self.commit.submit(Entry(session, session.received, message, resource), message)

    def _route_to_room(self, session: Connected, stanza: Element) -> None:
        """Take one message to a room: one record for all whom it goes to."""
        sender = session.owner
        room, identity = stanza.attributes["to"], stanza.attributes.get("id", "")
        condition = self.rooms.refusal(sender.index, stanza)
        if condition is None and len(identity) > LONGEST_ID_BYTES // 4:
            condition = "bad-request"
        if condition is not None:
            self._refuse(session, stanza, condition)
            return
        if self._taken_before(session, identity, to_group=True):
            return
        wire = self.rooms.written(stanza, self._people.name(sender.index))
        addressees = self.rooms.addressees(room, sender.index)
        first = self._next_number
        self._next_number += len(addressees)
        numbers = tuple(range(first, self._next_number))
        message = GroupMessage(_now_ms(), sender.index, identity, wire, numbers, addressees)
        self.commit.submit(Entry(session, session.received, message, "", to_group=True), message)

    def _taken_before(self, session: Connected, identity: str, *, to_group: bool) -> bool:
        """Whether the session's person has sent this message already, which then is acknowledged again.

        In either case the session has one more that is on its way to the disk.
        """
        session.committing += 1
        if identity:
            name = key(session.owner.index, identity)
            if name in self._state.taken or name in self._committing:
                # The first may still be on its way to the disk: answered no sooner than that.
                self.metrics.messages_duplicated += 1
                self.commit.submit(Entry(session, session.received, None, "", to_group), None)
                return True
            self._committing.add(name)
        return False

    def _refuse(self, session: Connected, stanza: Element, condition: str) -> None:
        self.metrics.messages_refused += 1
        session.write_stanza(error(stanza, condition, session.jid))

    def durable(self, entries: list[Entry]) -> None:
        """Acknowledge and hand on messages that are on the disk now, in order."""
        state = self._state
        senders: dict[Connected, None] = {}
        for session, position, message, resource, to_group in entries:
            session.committing -= 1
            session.durable = position
            senders[session] = None
            if to_group:
                self.metrics.group_sends += 1
            else:
                self.metrics.messages_acknowledged += 1
            if message is None:
                continue
            state.apply(message)
            if message.message_id:
                self._committing.discard(key(message.sender, message.message_id))
            if isinstance(message, Message):
                self._hand_on(message, resource)
                continue
            for number in message.numbers:
                self._hand_on(state.undelivered[number], "")
            # Rooms send to whoever said it, too (XEP-0045, 7.4); from them it needs no keeping.
            session.write_stanza(addressed(message.stanza, session.written_jid))
        for session in senders:
            session.acknowledge()

    def _hand_on(self, message: Message, resource: str) -> None:
        """Write a message out to its addressee, or have it wait for them."""
        account = self.account(message.addressee)
        receiver = account.sessions.get(resource) if resource else None
        if receiver is None or not receiver.available:
            receiver = account.chosen
        if receiver is None or receiver.paused or account.queue:
            account.queue.append(message)
        else:
            receiver.deliver(message, late=False)

    def became_available(self, session: Connected) -> None:
        """Initial presence (RFC 6121, 4.2): tell contacts, hear of theirs, and get what waited."""
        account = session.owner
        self.online[account.index] = account
        session.available = True
        account.choose()
        self.announce(session)
        for other in self._present(account):
            if other is not session:
                session.write_presence(other, account.jid)
        account.drain()

    def announce(self, session: Connected) -> None:
        """The session's presence to its contacts who are online, and to its account's other resources."""
        for other in self._present(session.owner):
            if other is not session:
                other.write_presence(session, other.owner.jid)

    def _present(self, account: Account) -> Iterator[Connected]:
        """The available sessions of the account's contacts, and its own."""
        for index in (*self.contacts(account), account.index):
            contact = self.online.get(index)
            if contact is not None:
                yield from (session for session in contact.sessions.values() if session.available)

    def became_unavailable(self, session: Connected) -> None:
        """Unavailable presence, said or implied (RFC 6121, 4.5)."""
        account = session.owner
        session.available = False
        if not any(other.available for other in account.sessions.values()):
            self.online.pop(account.index, None)
        account.choose()
        if not self.stopping:
            self.announce(session)

    def bind(self, session: Connected, account: Account, resource: str) -> None:
        """Give `resource` to the session; whoever had it is sent away (RFC 6120, 7.7.2.2)."""
        older = account.sessions.get(resource)
        if older is not None:
            older.end("conflict")
        account.sessions[resource] = session
        self.metrics.logins += 1

    def detach(self, session: Connected) -> None:
        """Forget a session; what it had not acknowledged waits again. Safe more than once."""
        account, session.account = session.account, None
        if account is None:
            return
        if account.sessions.get(session.resource) is session:
            del account.sessions[session.resource]
        if session.available:
            session.account = account  # it still speaks as itself, for the last time
            self.became_unavailable(session)
            session.account = None
        account.take_back(session.take_unacknowledged())

    async def watch(self, interval_s: float) -> None:
        """For ever, every `interval_s`: ask clients for acknowledgements, end logins that take too long."""
        while True:
            await asyncio.sleep(interval_s)
            now = time.monotonic()
            for session in tuple(self.connections):
                session.look_after(now)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def directed_presence(domain: Domain, session: Connected, stanza: Element) -> None:
    """Presence with an addressee (RFC 6121, 4.6): to that account's resources, or the one named."""
    address, _, resource = stanza.attributes["to"].partition("/")
    account = domain.find(address)
    kind = stanza.attributes.get("type")
    if account is None or kind not in {None, "unavailable", "error"}:
        return  # rosters are fixed: there is nothing to subscribe to (3.1.3 allows silence)
    said = f" type='{kind}'" if kind else ""
    to = attribute(stanza.attributes["to"])
    inner = write_inner(stanza)
    wire = f"<presence from='{session.written_jid}' to='{to}'{said}>{inner}</presence>".encode()
    for other in account.sessions.values():
        if other.available and (not resource or other.resource == resource):
            other.write_stanza(wire)
