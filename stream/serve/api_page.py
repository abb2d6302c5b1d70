"""The page at /docs: Swagger UI over the service's own description of its routes.

In: the address of that description. Out: a page that may run FastAPI's one script and Swagger UI's from the CDN that FastAPI names, and nothing
else.
"""

from __future__ import annotations

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from stream.webrtc.pages import content_policy

CDN = "https://cdn.jsdelivr.net"


def api_page(title: str, openapi_url: str) -> HTMLResponse:
    page = bytes(get_swagger_ui_html(openapi_url=openapi_url, title=title, swagger_favicon_url="data:,").body).decode()
    policy = content_policy(
        page, script_src=CDN, style_src=f"{CDN} 'unsafe-inline'"
    )  # Swagger UI writes styles into its elements
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})
