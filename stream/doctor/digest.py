"""Digest credentials (RFC 7616), which cameras ask for over RTSP.

In: a camera's challenge, and what is asked of whom. Out: the value of an Authorization header.
"""

from __future__ import annotations

import hashlib
import re
import secrets

_FIELD = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')
_HASHES = {"": "md5", "MD5": "md5", "SHA-256": "sha256"}
_COUNT = "00000001"
"""nc: every challenge is answered once."""


def authorization(challenge: str, method: str, url: str, user: str, password: str, cnonce: str | None = None) -> str:
    """Empty for an algorithm that is not known. `cnonce`: our own random part, given by tests alone."""
    fields = {name.lower(): quoted or plain for name, quoted, plain in _FIELD.findall(challenge.partition(" ")[2])}
    algorithm = fields.get("algorithm", "")
    if algorithm not in _HASHES:
        return ""

    def digest(text: str) -> str:
        return hashlib.new(_HASHES[algorithm], text.encode()).hexdigest()

    realm, nonce = fields.get("realm", ""), fields.get("nonce", "")
    secret, request = digest(f"{user}:{realm}:{password}"), digest(f"{method}:{url}")
    told = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
    plain = {"algorithm": algorithm} if algorithm else {}
    if "auth" in [each.strip() for each in fields.get("qop", "").split(",")]:
        told["cnonce"] = cnonce or secrets.token_hex(8)
        told["response"] = digest(f"{secret}:{nonce}:{_COUNT}:{told['cnonce']}:auth:{request}")
        plain |= {"qop": "auth", "nc": _COUNT}
    else:
        told["response"] = digest(f"{secret}:{nonce}:{request}")
    if "opaque" in fields:
        told["opaque"] = fields["opaque"]
    return "Digest " + ", ".join(
        [*(f'{name}="{value}"' for name, value in told.items()), *(f"{n}={v}" for n, v in plain.items())]
    )
