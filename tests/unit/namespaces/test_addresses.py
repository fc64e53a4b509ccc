import json
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.deployment.namespaces.addresses import BENCHMARKS, Block, free_block, hardware, routed
from bench.errors import MachineError

BLOCKS = list(BENCHMARKS.subnets(new_prefix=24))
LONGEST_DEVICE_NAME = 15


@given(st.sampled_from(BLOCKS))
def test_a_block_names_its_device_as_the_kernel_allows_and_no_other_block_does(network: IPv4Network) -> None:
    block = Block(network)
    assert len(block.device) <= LONGEST_DEVICE_NAME
    assert [other for other in BLOCKS if Block(other).device == block.device] == [network]


@given(st.sampled_from(BLOCKS), st.integers(0, 200))
def test_everybody_in_a_block_has_an_address_and_a_hardware_address_of_their_own(
    network: IPv4Network, index: int
) -> None:
    block = Block(network)
    assert block.node(index) in network
    assert block.node(index) != block.harness
    assert hardware(block.node(index)) != hardware(block.harness)
    assert int(hardware(block.node(index))[:2], 16) & 0b11 == 0b10, "locally administered, and of one device"


def test_a_block_that_overlaps_a_route_is_passed_over() -> None:
    used = [IPv4Network("198.18.0.0/23"), IPv4Network("10.0.0.0/8")]
    assert free_block(used, order=BLOCKS).network == IPv4Network("198.18.2.0/24")


def test_where_none_is_free_the_routes_that_take_them_are_named() -> None:
    with pytest.raises(MachineError, match=r"there are routes to 198\.18\.0\.0/15; remove them"):
        free_block([BENCHMARKS, IPv4Network("10.0.0.0/8")])


def test_of_the_hosts_routes_those_to_neighbours_count() -> None:
    routes = [
        {"dst": "default", "gateway": "192.0.2.1"},
        {"dst": "0.0.0.0/1", "dev": "tun0"},
        {"dst": "198.18.4.0/24", "dev": "threegen-18-4"},
        {"type": "local", "dst": "192.0.2.7", "dev": "eth0"},
        {"type": "unreachable"},
    ]
    assert routed(json.dumps(routes)) == [IPv4Network("198.18.4.0/24"), IPv4Network("192.0.2.7/32")]
    assert routed("") == []
