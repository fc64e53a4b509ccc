"""The server's reading of XML streams: whole stanzas out of any chunks, and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monolith.stanza import Element, attribute, text, write, write_inner
from services.monolith.stream import StreamParser

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='threegen.example' version='1.0' "
    b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
LIMIT = 10_000


def opened() -> StreamParser:
    parser = StreamParser(LIMIT)
    assert parser.feed(HEADER) == []
    assert parser.header is not None
    assert parser.error is None
    return parser


def condition(parser: StreamParser) -> str | None:
    return parser.error.condition if parser.error is not None else None


def test_a_stream_cut_anywhere_gives_the_same_stanzas() -> None:
    stream = HEADER + "<message id='1'><body>ä&lt;b</body></message> <presence/></stream:stream>".encode()
    for cut in range(1, len(stream)):
        parser = StreamParser(LIMIT)
        stanzas = parser.feed(stream[:cut]) + parser.feed(stream[cut:])
        assert [stanza.name for stanza in stanzas] == ["jabber:client message", "jabber:client presence"]
        assert stanzas[0].children[0].text == "ä<b"
        assert parser.closed
        assert parser.error is None


def test_stanzas_before_an_error_are_given_back() -> None:
    parser = opened()
    stanzas = parser.feed(b"<presence/><message></presence>")
    assert [stanza.name for stanza in stanzas] == ["jabber:client presence"]
    assert condition(parser) == "not-well-formed"
    assert parser.feed(b"<presence/>") == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>", "restricted-xml"),
        (b"<!-- hello --><x/>", "restricted-xml"),
        (b"<?php ?><x/>", "restricted-xml"),
        (b"<stream xmlns='jabber:client'>", "invalid-namespace"),
        (b"<html>", "bad-format"),
        (HEADER.replace(b"jabber:client", b"jabber:server"), "invalid-namespace"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
    ],
)
def test_what_is_no_stream_is_refused(header: bytes, expected: str) -> None:
    parser = StreamParser(LIMIT)
    parser.feed(header)
    assert condition(parser) == expected


@pytest.mark.parametrize("inside", [b"<!-- x -->", b"<?x y?>"])
def test_restricted_xml_inside_the_stream_is_refused(inside: bytes) -> None:
    parser = opened()
    parser.feed(b"<message>" + inside)
    assert condition(parser) == "restricted-xml"


@pytest.mark.parametrize(
    "endless", [b"<message><body>" + b"x" * LIMIT, b"<message " + b"x" * LIMIT, b"<" + b"m" * LIMIT]
)
def test_an_endless_stanza_is_refused_while_it_comes_in(endless: bytes) -> None:
    parser = opened()
    for start in range(0, len(endless), 1_000):
        parser.feed(endless[start : start + 1_000])
    parser.feed(b"xxxx" * 10)
    assert condition(parser) == "policy-violation"


def test_a_whole_stanza_over_the_limit_is_refused() -> None:
    parser = opened()
    assert parser.feed(b"<message><body>" + b"x" * LIMIT + b"</body></message>") == []
    assert condition(parser) == "policy-violation"


def test_many_stanzas_and_keepalives_may_together_exceed_the_limit() -> None:
    parser = opened()
    for _ in range(3 * LIMIT // 1000):
        parser.feed(b" " * 990)
        assert len(parser.feed(b"<presence/>")) == 1
    assert len(parser.feed(b"<presence/>" * LIMIT)) == LIMIT
    assert parser.error is None


def test_a_stanza_nested_too_deep_is_refused() -> None:
    parser = opened()
    parser.feed(b"<message>" + b"<x>" * 40)
    assert condition(parser) == "policy-violation"


SAFE = st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from("\n\r\t&<>'\""))


@given(SAFE, SAFE)
def test_text_and_attributes_survive_being_written_and_read(inside: str, quoted: str) -> None:
    if "￾" in inside + quoted or "￿" in inside + quoted:
        return
    parser = opened()
    (stanza,) = parser.feed(f"<message id='{attribute(quoted)}'>{text(inside)}</message>".encode())
    assert (stanza.text, stanza.attributes["id"]) == (inside, quoted)


def test_any_payload_passes_through_as_it_was() -> None:
    payload = (
        "<body>a</body><x xmlns='urn:x' xmlns:y='urn:y' y:k='&amp;' xml:lang='de'>one"
        "<y:z/>two<w xmlns='jabber:client'>three</w></x>tail"
    )

    def read(inner: str) -> Element:
        (stanza,) = opened().feed(f"<message>{inner}</message>".encode())
        return stanza

    def shape(element: Element) -> object:
        inner = [shape(child) for child in element.children]
        return element.name, element.attributes, element.text, element.tail, inner

    once = read(payload)
    again = read(write_inner(once))
    assert shape(again) == shape(once)
    assert write(once.children[0], "jabber:client") == "<body>a</body>"
