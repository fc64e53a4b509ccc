"""The client's reading and writing of XML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.clients import ConnectionLost
from bench.load.clients.xmpp_stream import StreamReader, escape

HEADER = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

XML_CHARACTERS = st.text(
    st.one_of(
        st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"),
        st.sampled_from("\n\r\t&<>'\""),
    )
)


@given(XML_CHARACTERS)
def test_whatever_xml_can_hold_survives_text_and_attributes(value: str) -> None:
    reader = StreamReader()
    (stanza,) = reader.feed(HEADER + f"<m a='{escape(value)}'><b>{escape(value)}</b></m>".encode())
    assert stanza.attributes["a"] == value
    assert stanza.inside[0].text == value


@pytest.mark.parametrize("character", ["\0", "\x0b", "\x1f", "\ud800", "\uffff"])
def test_what_xml_cannot_hold_is_refused(character: str) -> None:
    with pytest.raises(ValueError, match="XML cannot hold"):
        escape(f"fine{character}")


def test_a_stream_cut_anywhere_gives_the_same_stanzas() -> None:
    stream = HEADER + "<a h='1'/> <m><body>ä&amp;b</body><x>y</x></m></stream:stream>".encode()
    for cut in range(1, len(stream)):
        reader = StreamReader()
        stanzas = reader.feed(stream[:cut]) + reader.feed(stream[cut:])
        assert [stanza.name for stanza in stanzas] == ["jabber:client a", "jabber:client m"]
        assert stanzas[1].texts("jabber:client body") == ["ä&b"]
        assert reader.closed


def test_a_stream_goes_on_after_more_than_a_parser_is_kept_for() -> None:
    large = b"<m><body>" + b"x" * 20_000 + b"</body></m>"
    for declared_apart in (HEADER, HEADER[:21]):
        reader = StreamReader()
        reader.feed(declared_apart)
        reader.feed(HEADER[len(declared_apart) :])
        for _ in range(3):
            assert [len(stanza.inside[0].text) for stanza in reader.feed(large)] == [20_000]
            # What the header declares still holds.
            (stanza,) = reader.feed(b"<stream:error><x xmlns='y'/></stream:error>")
            assert stanza.name == "http://etherx.jabber.org/streams error"
        assert reader.feed(b"<m>" + b"<b/>" * 3_000) == []
        assert [len(stanza.inside) for stanza in reader.feed(b"</m>")] == [3_000]
        assert not reader.closed
        reader.feed(b"</stream:stream>")
        assert reader.closed


def test_what_is_no_xml_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match="no XML"):
        StreamReader().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
