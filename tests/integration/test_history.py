"""A history put into each generation's own store, and read back through the wire."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.deployment.local import lay_out
from bench.deployment.local.filling import History
from bench.deployment.local.topology import POSITIONS, Site, Topology
from bench.generations import GENERATIONS
from bench.load.crowd import connect_with
from bench.records import Person
from services.history import History as Written
from services.history import HistoryConfig, Message
from services.runtime import People
from tests.integration.conftest import COUNT, PEOPLE, Running
from tests.unit.clients.ear import Ear, message

MESSAGES = 1_501
PERSONS = COUNT - 2
BODIES = ["é <&'\"> said", "b" * 300, "short"]


def events(running: Running, node: str, event: str) -> list[Mapping[str, Any]]:
    lines = (running.logs / f"{node}.log").read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line["event"] == event]


@pytest.mark.parametrize("generation", list(GENERATIONS))
def test_the_history_is_what_was_asked_for_and_who_has_received_it_does_not_receive_it_again(
    start: Callable[[Callable[[Site], Topology]], Running], tmp_path: Path, generation: str
) -> None:
    bodies_file = tmp_path / "bodies.json"
    bodies_file.write_text(json.dumps(BODIES))
    history = History(messages=MESSAGES, persons=PERSONS, seed=7, run=0xABC, bodies_file=bodies_file)
    sites: list[Site] = []

    def with_history(site: Site) -> Topology:
        sites.append(replace(site, history=history))
        return lay_out(generation, sites[0])

    running = start(with_history)
    (filled,) = events(running, "history", "preloaded")
    assert filled["messages"] == MESSAGES
    assert filled["bytes"] > MESSAGES * 100
    positions = {int(k): v for k, v in json.loads((sites[0].folder / POSITIONS).read_text()).items()}
    expected = Written(
        HistoryConfig(
            node="history",
            people=People.model_validate(PEOPLE),
            messages=MESSAGES,
            persons=PERSONS,
            seed=7,
            run=0xABC,
            bodies_file=bodies_file,
            positions_file=sites[0].folder / POSITIONS,
        )
    )
    if generation == "monolith":
        (replayed,) = events(running, "server", "replayed")
        assert replayed["bytes"] == filled["bytes"]
        assert replayed["undelivered"] == 0
    else:
        for number in range(PERSONS):
            assert read(running, generation, number, 0, len(range(number, MESSAGES, PERSONS))) == [
                told(one) for one in expected.of(number)
            ]
    # One that was sent before is known, and one that is new comes: nothing else does.
    last = expected.message(MESSAGES - 1)
    connect = connect_with(GENERATIONS[generation].client)
    for number in (last.sender, last.addressee):
        assert number in positions or generation == "monolith"
    ears = {number: Ear() for number in (last.sender, last.addressee)}
    people = {
        number: connect(Person(number, f"u{number}", str(PEOPLE["password"]), positions.get(number, 0)))
        for number in ears
    }
    for number, connection in people.items():
        connection.open(running.endpoints[0], ears[number])
    for message_id in (last.message_id, "new"):
        people[last.sender].send(message(message_id, f"u{last.addressee}", last.body))
    assert ears[last.sender].hear(2) == [("acknowledged", last.message_id), ("acknowledged", "new")]
    assert ears[last.addressee].hear(1) == [("delivered", "new", f"u{last.sender}", last.body, "")]
    for connection in people.values():
        connection.close()


def told(one: Message) -> tuple[str, ...]:
    return ("delivered", one.message_id, f"u{one.sender}", one.body, "")


def read(running: Running, generation: str, number: int, position: int, count: int) -> list[Any]:
    """The first `count` things that person `number` is told when they begin at `position`."""
    ear = Ear()
    connect = connect_with(GENERATIONS[generation].client)
    connection = connect(Person(number, f"u{number}", str(PEOPLE["password"]), position))
    connection.open(running.endpoints[number % len(running.endpoints)], ear)
    heard = ear.hear(count)
    connection.close()
    return heard
