import pytest
from prometheus_client import CollectorRegistry

from services.microservices import frames, tokens
from services.microservices.backoff import Backoff
from services.microservices.metrics import Operations
from services.microservices.peers import LIVE_S, SHUN_S, Peers

KEY = b"k" * 32


def test_the_first_death_and_each_after_a_good_life_wait_for_nothing() -> None:
    backoff = Backoff(first_s=1, longest_s=10, stable_s=5)
    assert backoff.died(0.1) == 0
    assert [backoff.died(0.1) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.died(5) == 0
    assert backoff.died(0.1) == 1


def test_a_token_speaks_for_its_user_until_its_time() -> None:
    token = tokens.sign("u1", expires_unix_s=100, key=KEY)
    assert tokens.verify(token, now_unix_s=99, key=KEY) == "u1"
    assert tokens.verify(token, now_unix_s=100, key=KEY) is None
    assert tokens.verify(token.replace("u1", "u2", 1), now_unix_s=99, key=KEY) is None
    assert tokens.verify(token, now_unix_s=99, key=b"other" * 8) is None


@pytest.mark.parametrize("damaged", ["", ".", "..", "u1", "u1.5", "u1.5.é"])
def test_a_damaged_token_speaks_for_nobody(damaged: str) -> None:
    assert tokens.verify(damaged, now_unix_s=0, key=KEY) is None


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_frame_lengths_are_written_as_rfc_6455_says(size: int, header: bytes) -> None:
    assert frames.text(b"x" * size) == header + b"x" * size


def test_peers_take_turns_while_they_announce_themselves() -> None:
    peers = Peers()
    assert peers.choose(0) is None
    peers.announced("a", 0)
    peers.announced("b", 0)
    assert {peers.choose(1), peers.choose(1)} == {"a", "b"}
    peers.announced("b", LIVE_S)
    assert {peers.choose(LIVE_S) for _ in range(4)} == {"b"}


def test_a_peer_that_failed_is_shunned_for_a_while_unless_it_is_the_only_one() -> None:
    peers = Peers()
    peers.announced("a", 10)
    peers.announced("b", 10)
    peers.failed("a", 10)
    assert {peers.choose(10.1) for _ in range(4)} == {"b"}
    peers.failed("b", 10)
    assert {peers.choose(10.1) for _ in range(4)} == {"a", "b"}
    assert {peers.choose(10 + SHUN_S) for _ in range(4)} == {"a", "b"}


def test_operations_are_at_zero_from_the_start_and_what_breaks_is_unknown() -> None:
    registry = CollectorRegistry()
    operations = Operations(registry, timed=["take"], retried=["take"])

    def requests(outcome: str) -> float | None:
        labels = {"operation": "take", "outcome": outcome}
        return registry.get_sample_value("threegen_requests_total", labels)

    assert [requests(outcome) for outcome in ("ok", "failed", "unknown")] == [0, 0, 0]
    assert registry.get_sample_value("threegen_microservices_retries_total", {"operation": "take"}) == 0
    with operations.timed("take"):
        pass
    with operations.timed("take") as timing:
        timing.outcome = "failed"
    with pytest.raises(ZeroDivisionError), operations.timed("take"):
        _ = 1 // 0
    assert [requests(outcome) for outcome in ("ok", "failed", "unknown")] == [1, 1, 1]
    assert registry.get_sample_value("threegen_requests_in_flight", {"operation": "take"}) == 0
