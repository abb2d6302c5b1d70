"""The two pages, each in one file: what both share is put into them, and the browser is told to run nothing else.

In: names of files beside this one. Out: responses with a Content-Security-Policy that names every script and style by its SHA-256 (CSP level 3,
2.3.1), so a page takes nothing from elsewhere, and nothing that was smuggled into it runs.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files

from fastapi.responses import HTMLResponse

STYLE_LINK, SCRIPT_LINK = '<link rel="stylesheet" href="page.css">', '<script src="page.js"></script>'
"""How the pages name what they share."""


def page(file: str) -> HTMLResponse:
    """A page, with what both share put into it: they need no route of their own."""
    folder = files("stream.webrtc")
    text, style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in (file, "page.css", "page.js"))
    text = text.replace(STYLE_LINK, f"<style>\n{style}</style>").replace(SCRIPT_LINK, f"<script>\n{script}</script>")
    return HTMLResponse(text, headers={"Cache-Control": "no-cache", "Content-Security-Policy": content_policy(text)})


def content_policy(text: str, *, script_src: str = "", style_src: str = "") -> str:
    """What a page may load: its own scripts and styles, and what is named; data from this service; no frame may hold it. A page that
    names styles of its own (`'unsafe-inline'` counts only without hashes) has none named by hash."""
    styles = style_src or " ".join(_hashes(text, "style"))
    rules = {
        "default-src": "'none'",
        "script-src": " ".join([*_hashes(text, "script"), script_src]).strip(),
        "style-src": styles or "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "media-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hashes(text: str, tag: str) -> Iterator[str]:
    for content in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL):
        yield f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
