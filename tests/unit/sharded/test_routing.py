"""Known answers of routing; they may never change while data exists."""

import pytest

from services.sharded.routing import BUCKETS, bucket_of, shard_of


@pytest.mark.parametrize(
    ("user", "bucket"),
    [("", 0), ("123456789", 0xCBF43926 % 1024)],  # the check value of CRC-32/ISO-HDLC
)
def test_a_users_bucket_is_the_crc_of_the_name(user: str, bucket: int) -> None:
    assert bucket_of(user) == bucket


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_every_shard_gets_its_share_of_users(shards: int) -> None:
    counts = [0] * shards
    for number in range(3000):
        counts[shard_of(f"u{number}", shards)] += 1
    assert min(counts) > 0.85 * 3000 / shards


def test_a_small_population_is_spread_too() -> None:
    assert {shard_of(f"u{number}", 2) for number in range(8)} == {0, 1}


def test_no_user_is_beyond_the_last_shard() -> None:
    assert max(shard_of(f"u{number}", BUCKETS) for number in range(5000)) < BUCKETS
