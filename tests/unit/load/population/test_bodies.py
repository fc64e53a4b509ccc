import zlib

import numpy as np
import pytest

from bench.load.population import bodies
from bench.load.population.bodies import REFERENCE_BYTES, STOCK, kind_counts, text_sizes
from tests.unit.load.plans import plan_of


def test_texts_have_the_median_and_the_tail_asked_for() -> None:
    sizes = np.array(text_sizes(60, 2_000, 620))
    assert np.median(sizes) == pytest.approx(60, rel=0.02)
    assert np.quantile(sizes, 0.99) == pytest.approx(2_000, rel=0.05)
    assert sizes.min() >= 1
    assert text_sizes(60, 60, 3) == [60, 60, 60]


def test_the_stock_has_each_kind_by_its_share_and_what_is_not_text_is_a_reference() -> None:
    stock = bodies(plan_of(10), seed=1)
    assert len(stock) == sum(kind_counts().values()) == STOCK
    assert kind_counts() == {"text": 620, "voice": 160, "media": 200, "system": 10, "red_packet": 10}
    assert [len(body.text) for body in stock[:620]] == text_sizes(60, 2_000, 620)
    assert {len(body.text) for body in stock[620:]} == {REFERENCE_BYTES}
    assert stock[620].text.startswith("voice: ")
    assert stock[-1].text.startswith("red_packet: ")


def test_bodies_are_printable_with_their_own_crc_and_nothing_to_trim() -> None:
    for body in bodies(plan_of(10, body={"median": "1B", "p99": "90B"}), seed=1):
        assert zlib.crc32(body.text.encode("ascii")) == body.crc
        assert body.text == body.text.strip()
        assert body.text.isprintable()


def test_the_seed_decides_the_bodies() -> None:
    plan = plan_of(10)
    assert bodies(plan, 1) == bodies(plan, 1)
    assert bodies(plan, 1)[-1] != bodies(plan, 2)[-1]
