import random
from collections.abc import Sequence

import orjson

from services.microservices import feed as feed_module
from services.microservices.feed import SILENCE_S, FeedEnd, Feeds, Push
from services.microservices.mailbox import Item, Mailboxes

USERS = ("u1", "u2", "u3")


class World:
    """An inbox and gateways; what is said between them is moved, or lost, by the test."""

    def __init__(self, *gateways: str) -> None:
        self.mailboxes = Mailboxes()
        self.feeds = Feeds(self.mailboxes)
        self.ends = {name: FeedEnd(name) for name in gateways}
        self.written = 0

    def message(self, user: str) -> None:
        self.written += 1
        entry = [[self.written, "u9", f"m{self.written}", user, "body"]]
        self.feeds.arrived(self.mailboxes.apply(self.written, orjson.dumps(entry)))

    def tell(self, said: bytes) -> None:
        self.feeds.told(*orjson.loads(said))

    def take(self, gateway: str) -> list[Push]:
        pushes = [payload for name, payload in self.feeds.pushes() if name == gateway]
        return [self.ends[gateway].take(payload, now_s=0) for payload in pushes]


def ids(pushes: Sequence[Push]) -> list[tuple[int, str]]:
    return [(session, orjson.loads(frame)["id"]) for push in pushes for session, _, frame in push.items]


def test_what_was_missed_comes_first_and_what_is_new_after_it() -> None:
    world = World("g")
    world.message("u1")
    world.message("u1")
    world.tell(world.ends["g"].start([("u1", 1, 0, 100)], epoch=1, now_s=0))
    world.message("u1")
    assert ids(world.take("g")) == [(1, "m1"), (1, "m2"), (1, "m3")]


def test_messages_of_users_whom_nobody_follows_are_not_pushed() -> None:
    world = World("g")
    world.tell(world.ends["g"].start([("u1", 1, 0, 100)], epoch=1, now_s=0))
    world.message("u2")
    assert world.take("g") == []


def test_a_gap_breaks_the_feed_and_nothing_is_taken_until_it_is_started_anew() -> None:
    world = World("g")
    end = world.ends["g"]
    world.tell(end.start([("u1", 1, 0, 100)], epoch=1, now_s=0))
    world.message("u1")
    list(world.feeds.pushes())  # lost
    world.message("u1")
    assert ids(world.take("g")) == []
    assert end.broken
    world.tell(end.start([("u1", 1, 0, 100)], epoch=2, now_s=0))
    assert ids(world.take("g")) == [(1, "m1"), (1, "m2")]


def test_a_check_finds_that_the_last_push_was_lost() -> None:
    world = World("g")
    end = world.ends["g"]
    world.tell(end.start([("u1", 1, 0, 100)], epoch=1, now_s=0))
    world.message("u1")
    list(world.feeds.pushes())  # lost
    world.tell(end.check())
    world.take("g")
    assert end.broken


def test_a_check_finds_that_a_login_was_not_heard() -> None:
    world = World("g")
    end = world.ends["g"]
    world.tell(end.start([], epoch=1, now_s=0))
    end.tell([("u1", 1, 0, 100)])  # lost
    world.tell(end.check())
    world.take("g")
    assert end.broken


def test_a_check_of_a_whole_feed_finds_nothing() -> None:
    world = World("g")
    end = world.ends["g"]
    world.tell(end.start([("u1", 1, 0, 100)], epoch=1, now_s=0))
    world.message("u1")
    world.tell(end.check())
    assert ids(world.take("g")) == [(1, "m1")]
    assert not end.broken


def test_an_inbox_that_was_started_again_does_not_know_the_feed() -> None:
    world = World("g")
    end = world.ends["g"]
    world.tell(end.start([("u1", 1, 0, 100)], epoch=1, now_s=0))
    world.feeds = Feeds(world.mailboxes)
    world.tell(end.check())
    world.take("g")
    assert end.broken


def test_silence_is_noticed() -> None:
    end = FeedEnd("g")
    end.start([], epoch=1, now_s=10)
    assert not end.silent(10 + SILENCE_S)
    assert end.silent(10.1 + SILENCE_S)


def test_the_later_login_holds_wherever_it_is_told_first() -> None:
    world = World("a", "b")
    world.tell(world.ends["b"].start([("u1", 7, 0, 200)], epoch=1, now_s=0))
    world.tell(world.ends["a"].start([("u1", 3, 0, 100)], epoch=1, now_s=0))
    (push,) = world.take("a")
    assert list(push.replaced) == [3]
    world.message("u1")
    assert ids(world.take("b")) == [(7, "m1")]

    world = World("a", "b")
    world.tell(world.ends["a"].start([("u1", 3, 0, 100)], epoch=1, now_s=0))
    world.tell(world.ends["b"].start([("u1", 7, 0, 200)], epoch=1, now_s=0))
    (push,) = world.take("a")
    assert list(push.replaced) == [3]


def test_a_user_who_leaves_after_coming_again_is_still_followed() -> None:
    world = World("g")
    end = world.ends["g"]
    world.tell(end.start([("u1", 1, 0, 100)], epoch=1, now_s=0))
    world.tell(end.tell([("u1", 2, 0, 200)]))
    world.tell(end.tell([("u1", 1, None, 100)]))
    world.message("u1")
    assert ids(world.take("g")) == [(2, "m1")]
    world.tell(end.tell([("u1", 2, None, 200)]))
    assert world.feeds.followers == 0


def test_a_long_mailbox_comes_in_pages_and_what_is_new_waits_its_turn() -> None:
    world = World("g")
    end = world.ends["g"]
    for _ in range(feed_module.PAGE_ITEMS + 2):
        world.message("u1")
    world.tell(end.start([("u1", 1, 0, 100)], epoch=1, now_s=0))
    world.message("u1")
    first = world.take("g")
    assert len(ids(first)) == feed_module.PAGE_ITEMS
    assert list(first[-1].more) == [1]
    position = first[-1].items[-1][1]
    world.tell(end.tell([("u1", 1, position, 100)]))
    world.message("u1")
    assert [name for _, name in ids(world.take("g"))] == ["m501", "m502", "m503", "m504"]


def test_large_pages_are_split_into_several_pushes() -> None:
    items = [Item("u1", n, b"x" * 100_000) for n in range(1, 8)]

    class Large:
        def after(self, *_: object, **__: object) -> tuple[list[Item], bool]:
            return items, True

    feeds, end = Feeds(Large()), FeedEnd("g")
    feeds.told(*orjson.loads(end.start([("u1", 1, 0, 1)], epoch=1, now_s=0)))
    taken = [end.take(payload, now_s=0) for _, payload in feeds.pushes()]
    assert len(taken) == 4
    assert [len(push.more) for push in taken] == [0, 0, 0, 1]
    assert [p for push in taken for _, p, _ in push.items] == [1, 2, 3, 4, 5, 6, 7]


def test_whatever_is_lost_everybody_receives_everything_once_and_in_order() -> None:  # noqa: PLR0912
    """A lossy world, driven as a gateway drives it, until the losses stop and the feeds have healed."""
    for seed in range(200):
        dice = random.Random(seed)
        world = World("g")
        end = world.ends["g"]
        positions = dict.fromkeys(USERS, 0)
        received: dict[str, list[int]] = {user: [] for user in USERS}
        pending: list[tuple[str, int, int | None, int]] = []
        for step in range(80):
            lossy = step < 70
            world.message(dice.choice(USERS))
            if lossy and dice.random() < 0.03:
                world.feeds = Feeds(world.mailboxes)
            said = []
            if end.broken:
                entries = [(user, n, positions[user], 1) for n, user in enumerate(USERS)]
                said.append(end.start(entries, epoch=step, now_s=0))
                pending = []
            elif pending:
                said.append(end.tell(pending))
                pending = []
            said.append(end.check())
            for one in said:
                if not lossy or dice.random() > 0.1:
                    world.tell(one)
            heard = False
            for _, payload in world.feeds.pushes():
                if lossy and dice.random() < 0.1:
                    continue
                push = end.take(payload, now_s=0)
                heard = True
                for session, position, _ in push.items:
                    user = USERS[session]
                    if position > positions[user]:
                        positions[user] = position
                        received[user].append(position)
                pending += [(USERS[n], n, positions[USERS[n]], 1) for n in push.more]
            if not heard:
                end.broken = True  # silence
        for user in USERS:
            items, _ = world.mailboxes.after(user, 0, most_items=1000, most_bytes=10**9)
            assert received[user] == [item.position for item in items], f"seed {seed}"
