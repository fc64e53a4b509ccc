"""`python -m bench.load.probe`: passes one real message from one person to another, then ends.

Exit 0 once it was acknowledged and has arrived; 1 with a line on standard error where it did not
within the time. The two people are the last ones, who take no part in the load.
"""

import argparse
import sys

import gevent

from bench.load.clients import Acknowledged, Delivered, LoginRefused, Message
from bench.load.clients.client import Client
from bench.load.crowd import connect_with
from bench.load.trial import Assignment
from bench.records import Person

TIMEOUT_S = 30.0


def main() -> int:
    """Read the command line and pass the message."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.probe", description=__doc__)
    parser.add_argument("--assignment", required=True)
    parser.add_argument("--people", type=int, required=True)
    parser.add_argument("--password", required=True)
    arguments = parser.parse_args()
    assignment = Assignment.from_json(arguments.assignment)
    connect = connect_with(assignment.client)
    people = [Person(n, f"u{n}", arguments.password) for n in (arguments.people - 2, arguments.people - 1)]
    sender, addressee = (
        Client(connect(person), assignment.endpoints, first_endpoint=place, seed=place)
        for place, person in enumerate(people)
    )
    reached = "nobody was online"
    try:
        with gevent.Timeout(TIMEOUT_S):
            addressee.open()
            sender.open()
            reached = "the message was not acknowledged"
            sender.send(Message("probe", people[1].name, "Watson, come here"))
            for event in sender.events():
                if isinstance(event, Acknowledged):
                    break
                if not isinstance(event, Delivered):
                    print(f"probe: refused: {event}", file=sys.stderr)
                    return 1
            reached = "the message was acknowledged but did not arrive"
            for event in addressee.events():
                if isinstance(event, Delivered) and event.message_id == "probe":
                    break
    except gevent.Timeout:
        print(f"probe: {reached} within {TIMEOUT_S:g} s", file=sys.stderr)
        return 1
    except LoginRefused as error:
        print(f"probe: login refused: {error}", file=sys.stderr)
        return 1
    finally:
        sender.close()
        addressee.close()
    gevent.sleep(0.2)  # let the addressee's own acknowledgement leave
    return 0


if __name__ == "__main__":
    sys.exit(main())
