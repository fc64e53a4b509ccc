"""Who exists, whether a password is right, and tokens that any api node accepts.

The accounts share one password (services.runtime.People), kept as one salted scrypt key. Checking a
password with scrypt takes tens of milliseconds by design; one that has been found right is recognised
from then on by an HMAC under a key that lives only in this process.

A token is `name.mac`: the HMAC-SHA256 of the name under the secret that all api nodes share. It holds no
session, so a login at one api node is a login at all, and outlives the node.
"""

import hashlib
import hmac
import secrets

from services.runtime import People
from services.sharded.routing import Person, shard_of

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1


class Accounts:
    """All persons, by name and by token. `shards` says how many shards keep their inboxes."""

    def __init__(self, people: People, secret: str, shards: int) -> None:
        self._people = people
        self._secret = secret.encode()
        self._shards = shards
        self._salt = secrets.token_bytes(16)
        self._key: bytes | None = None
        self._process_key = secrets.token_bytes(32)
        self._proven = b""
        self._by_name: dict[str, Person] = {}
        self._by_token: dict[bytes, Person] = {}

    def person(self, name: str) -> Person | None:
        """The person called `name`, or None."""
        known = self._by_name.get(name)
        if known is None and (number := self._people.index(name)) is not None:
            known = self._by_name[name] = Person(name, number, shard_of(name, self._shards))
        return known

    def name(self, number: int) -> str:
        """The name of person `number`."""
        return self._people.name(number)

    def shard(self, number: int) -> int:
        """The shard of person `number`'s inbox."""
        person = self.person(self.name(number))
        assert person is not None
        return person.shard

    def login(self, name: str, password: str) -> str | None:
        """A token, or None where the name or the password is wrong; both take the same work."""
        right = self._right(password)
        person = self.person(name)
        return self._token(person) if right and person is not None else None

    def bearer(self, token: bytes) -> Person | None:
        """Whose token it is, or None where it is nobody's."""
        known = self._by_token.get(token)
        if known is None:
            name = token.decode("ascii", "replace").rpartition(".")[0]
            person = self.person(name)
            if person is not None and hmac.compare_digest(self._token(person).encode(), token):
                known = self._by_token[token] = person
        return known

    def is_peer(self, token: bytes) -> bool:
        """Whether the token is the one that api nodes show each other."""
        return hmac.compare_digest(token, self.peer_token())

    def peer_token(self) -> bytes:
        """The token that api nodes show each other; no person's token looks like it."""
        return self._mac("").encode()

    def _token(self, person: Person) -> str:
        return f"{person.name}.{self._mac(person.name)}"

    def _mac(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()

    def _right(self, password: str) -> bool:
        seen = hmac.digest(self._process_key, password.encode(), "sha256")
        if self._proven and hmac.compare_digest(seen, self._proven):
            return True
        if self._key is None:
            self._key = self._scrypt(self._people.password)
        if not hmac.compare_digest(self._scrypt(password), self._key):
            return False
        self._proven = seen
        return True

    def _scrypt(self, password: str) -> bytes:
        return hashlib.scrypt(password.encode(), salt=self._salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
