"""`auth`: checks a password and gives a signed token.

Asked on `auth.check` with `{"user", "password"}`; answers `{"token"}` or `{"refused"}`. All accounts share
one password (services.runtime.People), so there is one salted PBKDF2 key, derived at the first login, and
a derivation is remembered for the few passwords seen last: a storm of right logins costs one HMAC each,
as it would with any session cache.
"""

import functools
import hashlib
import hmac
import secrets
import time

import orjson
from nats.aio.msg import Msg
from pydantic import Field

from services.microservices import bus, tokens
from services.microservices.metrics import Operations
from services.runtime import Node, People

ITERATIONS = 4096


class Config(bus.BusConfig):
    """Keys of an `auth` node."""

    people: People
    token_key: str = Field(min_length=32)
    """Key of the tokens' signature, shared with the gateways."""
    token_lifetime_s: int = Field(default=86_400, gt=0)


async def serve(node: Node, config: Config) -> None:
    """Answer until told to stop."""
    operations = Operations(node.registry, timed=["check"])
    salt = secrets.token_bytes(16)

    @functools.lru_cache(maxsize=64)
    def derive(password: str) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)

    def answer(request: bytes) -> dict[str, str]:
        asked = orjson.loads(request)
        user, password = str(asked["user"]), str(asked["password"])
        right = hmac.compare_digest(derive(password), derive(config.people.password))
        if config.people.index(user) is None or not right:
            return {"refused": "not authorized"}
        expires = int(time.time()) + config.token_lifetime_s
        return {"token": tokens.sign(user, expires_unix_s=expires, key=config.token_key.encode())}

    async def on_check(message: Msg) -> None:
        with operations.timed("check") as timing:
            reply = answer(message.data)
            timing.outcome = "failed" if "refused" in reply else "ok"
            await message.respond(orjson.dumps(reply))

    async with bus.connect(node, "auth", config) as connection:
        await connection.listen("auth.check", on_check, group="auth")
        node.ready()
        await node.stopping.wait()
