"""XML as values: elements read from a stream, text made safe for writing, and the errors of RFC 6120.

Names are written `namespace local`, with one space, as expat gives them.
"""

import re

CLIENT = "jabber:client"
STREAMS = "http://etherx.jabber.org/streams"
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
XML = "http://www.w3.org/XML/1998/namespace"

BODY = f"{CLIENT} body"

_ERROR_TYPES = {
    "bad-request": "modify",
    "jid-malformed": "modify",
    "forbidden": "auth",
    "not-allowed": "cancel",
    "feature-not-implemented": "cancel",
    "item-not-found": "cancel",
    "remote-server-not-found": "cancel",
    "service-unavailable": "cancel",
}
"""Condition -> error type (RFC 6120, 8.3.3), for the conditions this server uses."""

# A carriage return, and white space other than a blank in an attribute, would not survive the
# reader's normalisation (XML 1.0, 2.11 and 3.3.3) unless written as a character reference.
_UNSAFE = re.compile("[&<>'\"\r\n\t]")
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = str.maketrans(
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


class Element:
    """One XML element: `text` stands before its first child, `tail` after the element itself."""

    __slots__ = ("attributes", "children", "name", "tail", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""
        self.tail = ""

    def child(self, name: str) -> "Element | None":
        """The first child called `name`, or None."""
        for child in self.children:
            if child.name == name:
                return child
        return None


def text(value: str) -> str:
    """`value` as character data."""
    return value.translate(_TEXT) if _UNSAFE.search(value) else value


def attribute(value: str) -> str:
    """`value` for a quoted attribute, whichever the quote."""
    return value.translate(_ATTRIBUTE) if _UNSAFE.search(value) else value


def optional(name: str, value: str | None) -> str:
    """The attribute with the blank before it; nothing where the value is missing or empty."""
    return f" {name}='{attribute(value)}'" if value else ""


def write(element: Element, within: str) -> str:
    """The element, without its tail, as XML to stand where the default namespace is `within`."""
    namespace, _, local = element.name.rpartition(" ")
    parts = [f"<{local}"]
    if namespace != within:
        parts.append(f" xmlns='{attribute(namespace)}'")
    for number, (name, value) in enumerate(element.attributes.items()):
        space, _, plain = name.rpartition(" ")
        if space == XML:
            plain = f"xml:{plain}"
        elif space:
            parts.append(f" xmlns:a{number}='{attribute(space)}'")
            plain = f"a{number}:{plain}"
        parts.append(f" {plain}='{attribute(value)}'")
    inner = write_inner(element)
    parts.append(f">{inner}</{local}>" if inner else "/>")
    return "".join(parts)


def write_inner(element: Element) -> str:
    """What stands between the element's tags, as XML."""
    children = element.children
    if len(children) == 1 and not element.text:
        only = children[0]
        if only.name == BODY and not only.children and not only.attributes and not only.tail:
            return f"<body>{text(only.text)}</body>"  # nearly every message
    namespace = element.name.rpartition(" ")[0]
    parts = [text(element.text)]
    for child in children:
        parts.append(write(child, namespace))
        if child.tail:
            parts.append(text(child.tail))
    return "".join(parts)


def bare(jid: str) -> str:
    """The JID without its resource."""
    return jid.partition("/")[0]


def error(element: Element, condition: str, to: str) -> bytes:
    """The answer to stanza `element` that says `condition`, addressed to the full JID `to`.

    `condition` is one of RFC 6120, 8.3.3. The answer comes from the address the stanza was sent to.
    """
    local = element.name.rpartition(" ")[2]
    identity = optional("id", element.attributes.get("id"))
    origin = optional("from", element.attributes.get("to"))
    said = f"<error type='{_ERROR_TYPES[condition]}'><{condition} xmlns='{STANZA_ERRORS}'/></error>"
    return f"<{local} type='error'{identity}{origin} to='{attribute(to)}'>{said}</{local}>".encode()
