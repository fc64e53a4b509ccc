from hypothesis import given
from hypothesis import strategies as st

from bench.load.clock_offset import Exchange, clock_name, offset_of


@given(
    ahead_ns=st.integers(-(10**12), 10**12),
    ways=st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1),
)
def test_the_truth_lies_within_the_offset_and_its_uncertainty(
    ahead_ns: int, ways: list[tuple[int, int]]
) -> None:
    exchanges = [Exchange(0, there_ns + ahead_ns, there_ns + back_ns) for there_ns, back_ns in ways]
    offset = offset_of(exchanges)
    assert abs(offset.offset_ns - ahead_ns) <= offset.plus_minus_ns
    assert offset.plus_minus_ns <= min((there_ns + back_ns + 1) // 2 for there_ns, back_ns in ways)


def test_a_process_reads_the_same_clock_as_itself() -> None:
    assert clock_name() == clock_name() != ""
