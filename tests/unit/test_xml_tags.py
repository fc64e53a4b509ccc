import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.clients import xmpp_stream
from services import xml_tags

STREAM = b"<s a='x>y' b=\"it's\"><body>2 > 1, isn't it</body><empty/>\n</s>"


@pytest.mark.parametrize("module", [xml_tags, xmpp_stream])
@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", 0),
        (b"text only", 9),
        (b"<m", 0),
        (b"<m>", 3),
        (b"<m>2 > 1, it's", 14),
        (b"<m>text</m", 7),
        (b"<m a='x>", 0),
        (b"<m a='x>y'>", 11),
        (b"<m/><n a=\"x'>", 4),
        (b'<m/><n a="x\'>"> ', 16),
    ],
)
def test_the_cut_is_before_a_tag_whose_end_has_not_come(module: object, data: bytes, end: int) -> None:
    assert module._end_of_whole_tags(data) == end  # type: ignore[attr-defined]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_nothing_is_lost_or_moved_however_the_stream_is_cut(cuts: list[int]) -> None:
    edges = sorted({0, len(STREAM), *cuts})
    buffer = xml_tags.TagBuffer()
    assert b"".join(buffer.take(STREAM[a:b]) for a, b in itertools.pairwise(edges)) == STREAM


SPLIT = """
import sys
from bench.load.clients.xmpp_stream import StreamReader
from services.monolith.stream import StreamParser
header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
stanza = b"<message id='" + b"x" * 500 + b"'><body>hello</body></message>"
reader, parser = StreamReader(), StreamParser(100_000)
reader.feed(header), parser.feed(header)
for cut in range(1, len(stanza)):
    one = reader.feed(stanza[:cut]) + reader.feed(stanza[cut:])
    other = parser.feed(stanza[:cut]) + parser.feed(stanza[cut:])
    assert len(one) == len(other) == 1, (cut, len(one), len(other))
print("well")
"""


def test_a_stanza_cut_in_two_is_whole_as_soon_as_its_end_has_come() -> None:
    done = subprocess.run([sys.executable, "-c", SPLIT], capture_output=True, text=True, check=False)
    assert done.stdout == "well\n", done.stderr
