"""A slow link in the words of tc."""

from bench.deployment.namespaces.network import netem, tbf
from bench.records import Link


def test_netem_is_told_only_what_was_asked_for() -> None:
    assert netem(Link(latency_s=0.0125)) == ["netem", "limit", "100000", "delay", "12500us"]
    assert netem(Link(loss_ratio=0.005)) == ["netem", "limit", "100000", "loss", "0.5000%"]
    assert netem(Link(0.1, 0.01, 125_000)) == [
        *("netem", "limit", "100000"),
        *("delay", "100000us", "loss", "1.0000%", "rate", "1000000bit"),
    ]


def test_a_burst_is_what_a_timer_of_the_kernel_needs_and_no_less_than_half_a_segment() -> None:
    assert tbf(125_000) == ["tbf", "rate", "1000000bit", "burst", "32768b", "latency", "400ms"]
    assert tbf(125_000_000) == ["tbf", "rate", "1000000000bit", "burst", "500000b", "latency", "400ms"]
