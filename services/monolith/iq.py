"""Requests and answers (RFC 6120, 8.2.3): what the server itself answers, and the way to others.

Rosters are fixed by the people's configuration: they can be read and not changed.
"""

from collections.abc import Callable

from services.monolith.account import Connected
from services.monolith.domain import Domain
from services.monolith.stanza import Element, attribute, error, optional, write_inner

ROSTER = "jabber:iq:roster"
PING = "urn:xmpp:ping"
SESSION = "urn:ietf:params:xml:ns:xmpp-session"
DISCO_INFO = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS = "http://jabber.org/protocol/disco#items"


def answer(domain: Domain, session: Connected, stanza: Element) -> None:
    """Answer one iq from a bound session, or pass it on."""
    kind = stanza.attributes.get("type")
    to = stanza.attributes.get("to")
    if kind not in {"get", "set", "result", "error"} or "id" not in stanza.attributes:
        _refuse(session, stanza, "bad-request")
    elif to is not None and "/" in to:
        _pass_on(domain, session, stanza, to)
    elif kind in {"result", "error"}:
        pass  # answers to the server, which asks nothing
    elif len(stanza.children) != 1:
        _refuse(session, stanza, "bad-request")
    elif to is None or to.lower() in {domain.name, session.owner.jid}:
        _serve(domain, session, stanza, kind)
    else:
        _refuse(session, stanza, "service-unavailable")


def _serve(domain: Domain, session: Connected, stanza: Element, kind: str) -> None:
    request = stanza.children[0]
    serve = _SERVED.get((kind, request.name))
    if serve is not None:
        _result(session, stanza, serve(domain, session))
    elif request.name == f"{ROSTER} query":
        _refuse(session, stanza, "not-allowed")
    else:
        _refuse(session, stanza, "service-unavailable")


def _pass_on(domain: Domain, session: Connected, stanza: Element, to: str) -> None:
    address, _, resource = to.partition("/")
    account = domain.find(address)
    receiver = account.sessions.get(resource) if account is not None else None
    kind = stanza.attributes["type"]
    if receiver is None:
        if kind in {"get", "set"}:
            _refuse(session, stanza, "service-unavailable")
        return
    receiver.write_stanza(
        (
            f"<iq type='{kind}' id='{attribute(stanza.attributes['id'])}' from='{session.written_jid}' "
            f"to='{receiver.written_jid}'>{write_inner(stanza)}</iq>"
        ).encode()
    )


def _result(session: Connected, stanza: Element, payload: str) -> None:
    identity = attribute(stanza.attributes["id"])
    origin = optional("from", stanza.attributes.get("to"))
    session.write_stanza(
        f"<iq type='result' id='{identity}'{origin} to='{session.written_jid}'>{payload}</iq>".encode()
    )


def _refuse(session: Connected, stanza: Element, condition: str) -> None:
    session.write_stanza(error(stanza, condition, session.jid))


def _nothing(_: Domain, __: Connected) -> str:
    return ""


def _roster(domain: Domain, session: Connected) -> str:
    domain.metrics.syncs += session.available
    items = "".join(
        f"<item jid='{domain.account(index).jid}' subscription='both'/>"
        for index in domain.contacts(session.owner)
    )
    return f"<query xmlns='{ROSTER}'>{items}</query>"


def _info(_: Domain, __: Connected) -> str:
    features = "".join(f"<feature var='{name}'/>" for name in (DISCO_INFO, DISCO_ITEMS, PING, "msgoffline"))
    identity = "<identity category='server' type='im' name='threegen'/>"
    return f"<query xmlns='{DISCO_INFO}'>{identity}{features}</query>"


def _items(_: Domain, __: Connected) -> str:
    return f"<query xmlns='{DISCO_ITEMS}'/>"


_SERVED: dict[tuple[str, str], Callable[[Domain, Connected], str]] = {
    ("get", f"{ROSTER} query"): _roster,
    ("get", f"{PING} ping"): _nothing,
    ("set", f"{SESSION} session"): _nothing,
    ("get", f"{DISCO_INFO} query"): _info,
    ("get", f"{DISCO_ITEMS} query"): _items,
}
