"""Reading an XMPP stream with expat, no deeper than a client of this kind looks."""

import re
from xml.parsers import expat

from bench.load.clients import ConnectionLost

_TAG = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")


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

    def __init__(self) -> None:
        self.closed = False
        self._depth = 0
        self._stanza: Stanza | None = None
        self._last: Stanza | None = None
        self._whole: list[Stanza] = []
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        self._parser = parser
        self._held = b""

    def feed(self, data: bytes) -> list[Stanza]:
        """The stanzas completed by `data`; raises ConnectionLost for what is not XML."""
        # Expat may put off an unfinished token until much more has come (2.6, and 2.5 with its fixes), so
        # it is only given whole tags: a stanza that TCP cut in two would wait for the next one.
        data = self._held + data
        end = _end_of_whole_tags(data)
        self._held = data[end:]
        try:
            self._parser.Parse(data[:end], False)
        except expat.ExpatError as error:
            raise ConnectionLost(f"the server sent no XML: {error}") from error
        whole, self._whole = self._whole, []
        return whole

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > 2:
            assert self._stanza is not None
            element = Stanza(name, attributes)
            self._stanza.inside.append(element)
            self._last = element
        elif self._depth == 2:
            self._stanza = self._last = Stanza(name, attributes)

    def _end(self, _: str) -> None:
        self._depth -= 1
        self._last = None
        if self._depth == 1:
            assert self._stanza is not None
            self._whole.append(self._stanza)
            self._stanza = None
        elif self._depth == 0:
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
