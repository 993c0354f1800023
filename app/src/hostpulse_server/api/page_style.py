"""What the pages for people have in common: one style, no script, no cookie."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any, Final

from flask import Response, render_template

from hostpulse_server.api.services import services

STYLE: Final = (Path(__file__).parent / "templates" / "act.css").read_text(encoding="utf-8")
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


def answer(template: str, status: int, **values: Any) -> Response:
    """Return a page of a template, in the style of all."""
    site = services().config.site.name
    text = render_template(template, site=site, style=STYLE, **values)
    return Response(text, status, HEADERS, content_type="text/html; charset=utf-8")
