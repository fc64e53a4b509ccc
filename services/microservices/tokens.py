"""Signed tokens: what `auth` gives out, and any gateway can check without asking it.

<user>.<expiry, Unix seconds>.<HMAC-SHA256 over the rest, hexadecimal>
"""

import hmac


def sign(user: str, *, expires_unix_s: int, key: bytes) -> str:
    """The token that says `user` until `expires_unix_s`."""
    claim = f"{user}.{expires_unix_s}"
    return f"{claim}.{_mac(claim, key)}"


def verify(token: str, *, now_unix_s: float, key: bytes) -> str | None:
    """The user the token speaks for, or None where it is forged, damaged or past its time."""
    claim, _, mac = token.rpartition(".")
    user, _, expiry = claim.rpartition(".")
    if not hmac.compare_digest(mac.encode(), _mac(claim, key).encode()):
        return None
    return user if user and now_unix_s < int(expiry) else None


def _mac(claim: str, key: bytes) -> str:
    return hmac.digest(key, claim.encode(), "sha256").hex()
