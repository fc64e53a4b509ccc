"""A scripted target does what its script says, to the message it says, and tells of it."""

import asyncio
from typing import Any

import pytest

from services.noop.script import Script, ScriptedHub, Stretch
from services.runtime import People

Event = tuple[str, ...]


class Person:
    def __init__(self) -> None:
        self.received: list[tuple[str, str]] = []

    def deliver(self, message_id: str, sender: str, body: str, group: str = "") -> None:
        self.received.append((message_id, body))

    def replaced(self) -> None: ...


class World:
    """A hub whose script is `script`, with `u1` and `u2` connected and `u3` away."""

    def __init__(self, **script: Any) -> None:
        self.told: list[Event] = []
        self.heard = {"down": asyncio.Event(), "up": asyncio.Event()}
        self.one, self.two = Person(), Person()

        def log(event: str, **fields: Any) -> None:
            self.told.append((event, fields.get("kind") or "", *fields.get("messages", ())))
            if event in self.heard:
                self.heard[event].set()

        self.hub = ScriptedHub(People(count=4), Script(**script), log)
        self.hub.connect("u1", self.one)
        self.hub.connect("u2", self.two)

    def send(self, *names: str, to: str = "u2") -> list[bool]:
        return [self.hub.send(name, "u1", to, "hello") for name in names]


async def test_a_message_is_lost_doubled_and_corrupted_as_the_script_says() -> None:
    world = World(lose=[2], double=[3], corrupt=[4])
    assert world.send("a", "b", "c", "d", "e") == [True] * 5
    assert world.two.received == [
        ("a", "hello"), ("c", "hello"), ("c", "hello"), ("d", "xello"), ("e", "hello")
    ]  # fmt: skip
    assert world.told == [
        ("injected", "lost", "b"),
        ("injected", "duplicated", "c"),
        ("injected", "corrupt", "d"),
    ]


async def test_a_message_is_swapped_with_the_next_of_two_people_who_write_often() -> None:
    world = World(swap=[1])
    world.send("a", "b", "c", "d")
    assert [name for name, _ in world.two.received] == ["a", "b", "c"]
    world.hub.send("other", "u2", "u1", "hello")
    world.send("e", "f")
    assert [name for name, _ in world.two.received] == ["a", "b", "c", "e", "d", "f"]
    assert world.told == [("held", "", "d"), ("injected", "reordered", "d")]


async def test_what_is_to_be_done_waits_for_somebody_who_is_connected() -> None:
    world = World(double=[1])
    world.send("a", to="u3")
    assert world.told == []
    world.send("b")
    assert world.told == [("injected", "duplicated", "b")]


async def test_while_it_is_down_every_message_is_refused() -> None:
    world = World(down={"at_s": 0.0, "for_s": 0.001})
    world.send("first")
    await world.heard["down"].wait()
    assert world.send("refused") == [False]
    await world.heard["up"].wait()
    assert world.send("after") == [True]
    assert [name for name, _ in world.two.received] == ["first", "after"]


def test_a_script_says_when_and_how_long() -> None:
    for wrong in ({"at_s": -1, "for_s": 1}, {"at_s": 1, "for_s": 0}, {"at_s": 1}):
        with pytest.raises(ValueError, match="_s"):
            Stretch(**wrong)
