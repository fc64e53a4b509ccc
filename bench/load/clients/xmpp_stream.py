"""Reading an XMPP stream with expat, no deeper than a client of this kind looks."""

import re
from xml.parsers import expat

from bench.load.clients import ConnectionLost

_TAG = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")


_NAMES: dict[str, str] = {}
"""Names of elements and attributes, one copy for all connections."""
_LARGE_BYTES = 8_192
"""Expat keeps a buffer for the most it was ever fed at once; after so much it is made anew."""


class Stanza:
    """One element directly under the stream. Names are `namespace local`, as expat gives them.

    `inside` are all its descendants, flat, in document order; each holds only its own text.
    """

    __slots__ = ("attributes", "inside", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.inside: list[Stanza] = []
        self.text = ""

    def texts(self, name: str) -> list[str]:
        """The texts of all descendants called `name`."""
        return [element.text for element in self.inside if element.name == name]


class StreamReader:
    """Feed it bytes; it gives back whole stanzas. A restarted stream needs a new one."""

    __slots__ = (
        *("_depth", "_fed_bytes", "_head", "_head_start", "_held", "_last", "_parser", "_stanza", "_whole"),
        "closed",
    )

    def __init__(self) -> None:
        self.closed = False
        self._head: bytes | None = None
        self._head_start = self._fed_bytes = 0
        self._held = b""
        self._depth = 0
        self._stanza: Stanza | None = None
        self._last: Stanza | None = None
        self._whole: list[Stanza] = []
        self._parser = self._new_parser()

    def feed(self, data: bytes) -> list[Stanza]:
        """The stanzas completed by `data`; raises ConnectionLost for what is not XML."""
        # Expat may put off an unfinished token until much more has come (2.6, and 2.5 with its fixes), so
        # it is only given whole tags: a stanza that TCP cut in two would wait for the next one.
        if self._held:
            data = self._held + data
        end = _end_of_whole_tags(data)
        self._held = data[end:]
        if self._head is None:
            self._parse_head(data[:end])
        else:
            self._parse(data[:end] if self._held else data)
        if end > _LARGE_BYTES and self._depth == 1 and self._head:  # between stanzas
            self._depth = 0
            self._parser = self._new_parser()
            self._parser.Parse(self._head, False)
        whole, self._whole = self._whole, []
        return whole

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError as error:
            raise ConnectionLost(f"the server sent no XML: {error}") from error

    def _parse_head(self, data: bytes) -> None:
        """Parse what comes up to the stream's own tag, and keep that."""
        before = self._fed_bytes
        self._fed_bytes += len(data)
        self._parse(data)
        if self._depth or self.closed:
            tag = _TAG.match(data, self._head_start - before)
            self._head = tag[0] if tag is not None else b""

    def _new_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate("utf-8", " ", _NAMES)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        return parser

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth = depth = self._depth + 1
        if depth > 2:
            assert self._stanza is not None
            self._last = element = Stanza(name, attributes)
            self._stanza.inside.append(element)
        elif depth == 2:
            self._stanza = self._last = Stanza(name, attributes)
        else:
            self._head_start = self._parser.CurrentByteIndex

    def _end(self, _: str) -> None:
        self._depth = depth = self._depth - 1
        self._last = None
        if depth == 1:
            assert self._stanza is not None
            self._whole.append(self._stanza)
            self._stanza = None
        elif depth == 0:
            self.closed = True

    def _characters(self, data: str) -> None:
        if self._last is not None:
            self._last.text += data


def _end_of_whole_tags(data: bytes) -> int:
    """Where the last tag begins if its end has not come yet, else the end. No `<` may stand anywhere else."""
    start = data.rfind(b"<")
    return len(data) if start < 0 or _TAG.match(data, start) else start


# A carriage return, and white space other than a blank in an attribute, would not survive the
# reader's normalisation (XML 1.0, 2.11 and 3.3.3) unless written as a character reference.
_SPECIAL = re.compile("[^ !#-%(-;=?-\U0010ffff]|[\ud800-\udfff\ufffe\uffff]")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "'": "&apos;",
        '"': "&quot;",
        "\r": "&#13;",
        "\n": "&#10;",
        "\t": "&#9;",
    }
)


def escape(value: str) -> str:
    """`value` for text or a quoted attribute; raises ValueError for what XML cannot hold (XML 1.0, 2.2)."""
    if _SPECIAL.search(value) is None:
        return value
    if forbidden := _FORBIDDEN.search(value):
        raise ValueError(f"XML cannot hold {forbidden[0]!r}, at {forbidden.start()} of {value[:40]!r}")
    return value.translate(_ESCAPES)
