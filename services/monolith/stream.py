"""Reading one XML stream (RFC 6120, 4) with expat, chunk by chunk, within bounds.

What RFC 6120 forbids is refused: document types and so entities, comments and processing
instructions (11.1 `restricted-xml`), other encodings than UTF-8, and stanzas that are too long or too
deep (13.12 `policy-violation`).
"""

from xml.parsers import expat

from services.monolith.stanza import CLIENT, STREAMS, Element
from services.xml_tags import TagBuffer

MAX_DEPTH = 32


class StreamError(Exception):
    """A condition of RFC 6120, 4.9.3, after which the stream ends."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(condition)
        self.condition = condition
        self.text = text


class StreamParser:
    """Feed it bytes; it gives back whole stanzas. A restarted stream needs a new parser.

    `header` is the stream's own tag once it was read, `closed` whether it was closed, and `error`
    what ends the stream; stanzas complete before the error are given back all the same.
    """

    def __init__(self, max_stanza_bytes: int) -> None:
        self.header: Element | None = None
        self.content_namespace: str | None = None
        self.closed = False
        self.error: StreamError | None = None
        self._max_stanza_bytes = max_stanza_bytes
        self._fed_bytes = 0
        self._stanza_end = 0
        self._open: list[Element] = []
        self._whole: list[Element] = []
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartNamespaceDeclHandler = self._declared
        parser.StartElementHandler = self._start_header
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._restricted
        parser.CommentHandler = self._restricted
        parser.ProcessingInstructionHandler = self._restricted
        self._parser = parser
        self._tags = TagBuffer()

    def feed(self, data: bytes) -> list[Element]:
        """The stanzas completed by `data`, in order; none once `error` is set."""
        if self.error is not None:
            return []
        try:
            self._parser.Parse(self._tags.take(data), False)
        except expat.ExpatError as error:
            self.error = StreamError("not-well-formed", str(error))
        except StreamError as error:
            self.error = error
        else:
            self._fed_bytes += len(data)
            if self._fed_bytes - self._stanza_end > self._max_stanza_bytes:
                self._refuse_oversize()
        whole, self._whole = self._whole, []
        return whole

    def _refuse_oversize(self) -> None:
        if not self._open:  # white space between stanzas is no part of one
            self._stanza_end = max(self._stanza_end, self._parser.CurrentByteIndex)
        if self._fed_bytes - self._stanza_end > self._max_stanza_bytes:
            self.error = StreamError("policy-violation", f"over {self._max_stanza_bytes} bytes")

    def _declared(self, prefix: str | None, uri: str | None) -> None:
        if self.header is None and prefix is None:
            self.content_namespace = uri

    def _start_header(self, name: str, attributes: dict[str, str]) -> None:
        if name != f"{STREAMS} stream":
            raise StreamError("invalid-namespace" if name.endswith("stream") else "bad-format")
        if self.content_namespace != CLIENT:
            raise StreamError("invalid-namespace")
        self.header = Element(name, attributes)
        self._stanza_end = self._parser.CurrentByteIndex
        self._parser.StartElementHandler = self._start
        self._parser.StartNamespaceDeclHandler = None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = Element(name, attributes)
        stack = self._open
        if stack:
            if len(stack) >= MAX_DEPTH:
                raise StreamError("policy-violation", f"nested deeper than {MAX_DEPTH}")
            stack[-1].children.append(element)
        stack.append(element)

    def _end(self, _: str) -> None:
        stack = self._open
        if not stack:
            self.closed = True
            return
        element = stack.pop()
        if not stack:
            self._whole.append(element)
            end = self._parser.CurrentByteIndex
            if end - self._stanza_end > self._max_stanza_bytes:
                self._whole.pop()
                raise StreamError("policy-violation", f"over {self._max_stanza_bytes} bytes")
            self._stanza_end = end

    def _characters(self, data: str) -> None:
        stack = self._open
        if not stack:
            return  # white space keepalive (RFC 6120, 4.6.1)
        element = stack[-1]
        if element.children:
            element.children[-1].tail += data
        else:
            element.text += data

    def _restricted(self, *_: object) -> None:
        raise StreamError("restricted-xml")
