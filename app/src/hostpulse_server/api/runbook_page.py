"""``/runbooks/NAME``: what to do about an alert, for people without a key."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from hostpulse_server.api import limits, page_style
from hostpulse_server.api.problems import ProblemError
from hostpulse_server.notifications import runbooks

blueprint = Blueprint(
    "runbooks", __name__, url_prefix=f"/{runbooks.PATH}", template_folder="templates"
)


@blueprint.get("/<name>")
def show(name: str) -> Response:
    """Show one of the runbooks that are part of the release."""
    limits.count_page(request.remote_addr or "")
    body = runbooks.pages().get(name)
    if body is None:
        raise ProblemError(404, "This release has no such runbook.")
    return page_style.answer("runbook.html", 200, title=name, body=body)


@blueprint.errorhandler(ProblemError)
def _problem(error: ProblemError) -> Response:
    g.problem = error.detail
    title = "No such runbook" if error.status == 404 else "Not now"  # noqa: PLR2004 - HTTP
    response = page_style.answer("act_refused.html", error.status, title=title, text=error.detail)
    response.headers.update(error.headers or {})
    return response
