"""Logging in by SCRAM (RFC 5802, RFC 7677) without deriving the same key twice.

scramp speaks the protocol; the derivation, thousands of HMACs, is done here, once per password, salt
and iteration count. A crowd that logs in again after a crash would else cost the generator more
than it costs the server.
"""

import functools
import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence

from scramp import ScramClient, ScramException

from bench.load.clients import LoginRefused

MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-1")
"""Those this client can use, best first. PLAIN is for connections under TLS only."""

_HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}


@functools.lru_cache(maxsize=100_000)
def _keys(hash_name: str, password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes, bytes]:
    """Client key, stored key and server key (RFC 5802, 3)."""
    salted = hashlib.pbkdf2_hmac(hash_name, password, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    return (
        client_key,
        hashlib.new(hash_name, client_key).digest(),
        hmac.digest(salted, b"Server Key", hash_name),
    )


class Login(ScramClient):  # type: ignore[misc]  # scramp has no types
    """One SCRAM exchange, seen from the client."""

    def get_client_final(self) -> str:
        """The proof (RFC 5802, 3), as scramp makes it but for where the keys come from."""
        self._set_stage(3)
        hash_name = _HASHES[self.mechanism_name]
        client_key, stored_key, server_key = _keys(
            hash_name, bytes(self.password), bytes(self.salt), int(self.iterations)
        )
        without_proof = f"c={b64encode(bytes(self.gs2_header)).decode()},r={self.nonce}"
        signed = f"{self.client_first_bare},{self.server_first},{without_proof}".encode()
        signature = hmac.digest(stored_key, signed, hash_name)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self.server_signature = hmac.digest(server_key, signed, hash_name)
        return f"{without_proof},p={b64encode(proof).decode()}"


def login(mechanism: str, name: str, password: str) -> Login:
    """A new exchange; raises LoginRefused for a name or password SASL cannot carry."""
    try:
        return Login([mechanism], name, password)
    except ScramException as error:
        raise LoginRefused(str(error)) from error


def choose(offered: Sequence[str], *, secure: bool, wanted: Sequence[str]) -> str | None:
    """The first of `wanted` that is offered and may be used, or None."""
    for name in wanted:
        if name in offered and (secure or name != "PLAIN"):
            return name
    return None
