"""`python -m bench.load.probe`: passes one real message from one person to another, then ends.

Exit 0 once it was acknowledged and has arrived; 1 with a line on standard error where it did not
within the time. The two people are the last ones, who take no part in the load.
"""

import argparse
import sys
import time

import gevent
from gevent.event import Event

from bench.load.clients import LoginRefused, Request
from bench.load.clients.client import Client
from bench.load.crowd import connect_with
from bench.load.trial import Assignment
from bench.records import Person

TIMEOUT_S = 30.0


class _Onlooker:
    """The Witness of both people."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self.acknowledged = Event()
        self.arrived = Event()
        self.complaint = ""

    def answered(self, person: int, request: Request, ok: bool) -> None:
        if not ok:
            self.complaint = "the message was refused"
        self.acknowledged.set()

    def sent_again(self, person: int, request: Request) -> None:
        pass

    def turned(self, person: int, online: bool) -> None:
        pass

    def delivered(self, person: int, message_id: str, sender: str, body: str, group: str) -> None:
        if message_id == self._message_id:
            self.arrived.set()

    def failed(self, person: int, error: Exception) -> None:
        self.complaint = f"{type(error).__name__}: {error}"
        self.acknowledged.set()
        self.arrived.set()


def main() -> int:
    """Read the command line and pass the message."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.probe", description=__doc__)
    parser.add_argument("--assignment", required=True)
    parser.add_argument("--people", type=int, required=True)
    parser.add_argument("--password", required=True)
    arguments = parser.parse_args()
    assignment = Assignment.from_json(arguments.assignment)
    connect = connect_with(assignment.client)
    message_id = f"probe-{time.time_ns():x}"  # a server with an old disk must not take it for one sent again
    onlooker = _Onlooker(message_id)
    people = [Person(n, f"u{n}", arguments.password) for n in (arguments.people - 2, arguments.people - 1)]
    sender, addressee = (
        Client(person.number, connect(person), assignment.endpoints, onlooker, seed=place)
        for place, person in enumerate(people)
    )
    reached = "nobody was online"
    try:
        with gevent.Timeout(TIMEOUT_S):
            for client in (addressee, sender):
                client.open()
                gevent.spawn(_stay, client)
            reached = "the message was not acknowledged"
            sender.send(Request("send", message_id, people[1].name, "Watson, come here", 0))
            onlooker.acknowledged.wait()
            reached = "the message was acknowledged but did not arrive"
            if not onlooker.complaint:
                onlooker.arrived.wait()
            if onlooker.complaint:
                print(f"probe: {onlooker.complaint}", file=sys.stderr)
                return 1
    except gevent.Timeout:
        print(f"probe: {reached} within {TIMEOUT_S:g} s", file=sys.stderr)
        return 1
    except LoginRefused as error:
        print(f"probe: login refused: {error}", file=sys.stderr)
        return 1
    finally:
        gevent.sleep(0.2)  # let the addressee's own acknowledgement leave
        for client in (sender, addressee):
            client.close()
    return 0


def _stay(client: Client) -> None:
    while client.wait_lost():
        client.open()


if __name__ == "__main__":
    sys.exit(main())
