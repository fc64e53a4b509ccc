"""Proving who one is: SASL SCRAM (RFC 5802, RFC 7677) and, under TLS only, PLAIN (RFC 4616).

All accounts share one password, so one salted key per SCRAM mechanism is made, at its first use, and
serves every login: a login costs HMACs, not a key derivation. A deployment with a password of its own
per account stores such a key per account and pays as little at login.
"""

import binascii
import functools
import hmac
from base64 import b64decode

from scramp import ScramException, ScramMechanism

from services.runtime import People

SCRAM_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-1")
"""Strongest first, as they are offered."""


class Denied(Exception):
    """The login failed; the argument is a SASL condition of RFC 6120, 6.5."""


def decode(text: str) -> str:
    """The octets behind one SASL element's text, as UTF-8; `=` stands for none (RFC 6120, 6.4.2)."""
    if text == "=":
        return ""
    try:
        return b64decode(text.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Denied("incorrect-encoding") from error


SaltedKey = tuple[bytes, bytes, bytes, int]
"""Salt, stored key, server key and iteration count (RFC 5802, 3)."""


@functools.cache
def _salted_key(mechanism: str, password: str) -> SaltedKey:
    key: SaltedKey = ScramMechanism(mechanism).make_auth_info(password)
    return key


class Accounts:
    """The keys behind the accounts, and the checks against them."""

    def __init__(self, people: People) -> None:
        self._people = people

    def plain(self, response: str) -> int:
        """The person whose PLAIN response this is (RFC 4616, 2); raises Denied."""
        parts = response.split("\0")
        if len(parts) != 3:
            raise Denied("malformed-request")
        authorized, name, password = parts
        if authorized and authorized.partition("@")[0] != name:
            raise Denied("invalid-authzid")
        index = self._people.index(name)
        right = hmac.compare_digest(password.encode(), self._people.password.encode())
        if index is None or not right:
            raise Denied("not-authorized")
        return index

    def scram(self, mechanism: str) -> "ScramExchange":
        """A new exchange in `mechanism`."""
        return ScramExchange(self._people, mechanism, _salted_key(mechanism, self._people.password))


class ScramExchange:
    """One SCRAM login, seen from the server."""

    def __init__(self, people: People, mechanism: str, key: SaltedKey) -> None:
        self._people = people
        self._index: int | None = None
        self._challenged = False

        def key_of(name: str) -> SaltedKey | None:
            self._index = people.index(name)
            return None if self._index is None else key

        self._server = ScramMechanism(mechanism).make_server(key_of)

    def respond(self, message: str) -> tuple[str, int | None]:
        """What to say to the client's message, and who it is once proven; raises Denied."""
        try:
            if not self._challenged:
                self._server.set_client_first(message)
                self._challenged = True
                return self._server.get_server_first(), None
            self._server.set_client_final(message)
            return self._server.get_server_final(), self._index
        except ScramException as error:
            raise Denied("not-authorized") from error
