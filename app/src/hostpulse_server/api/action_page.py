"""``/act/TOKEN``: the page behind the link in a message, for people without a key.

GET and HEAD only show, so a mail scanner that fetches a link changes nothing; POST acts. The
token is all that is asked for, so the page sets no cookie and runs no script.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from hostpulse_server import formatting
from hostpulse_server.api import action_page_view, limits, page_style
from hostpulse_server.api.problems import ProblemError
from hostpulse_server.api.services import services
from hostpulse_server.errors import (
    HostpulseError,
    InvalidItemError,
    LinkError,
    StateUnavailableError,
)
from hostpulse_server.notifications.action_links import PATH, ActionLink, ActionLinks
from hostpulse_server.operator import actions, incidents
from hostpulse_server.state import reading, writing

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_FORM: Final = 16_384
MAX_NAME: Final = 80
_SILENCES: Final = {"silence-1": 1, "silence-4": 4, "silence-24": 24}

blueprint = Blueprint("act", __name__, url_prefix=f"/{PATH}", template_folder="templates")


@blueprint.get("/<token>")
def show(token: str) -> Response:
    """Show how the incident stands."""
    link = _opened(token)
    service = services()
    with reading(service.registry.engine) as session:
        return _page(_read(session, link), link, action_page_view.PageNotice())


@blueprint.post("/<token>")
def do(token: str) -> Response:
    """Do what the button says and show how the incident stands then."""
    link = _opened(token)
    request.max_content_length = MAX_FORM
    if request.mimetype != "application/x-www-form-urlencoded":
        raise ProblemError(415, "The page sends its form as application/x-www-form-urlencoded.")
    said = action_page_view.PageNotice(
        name=" ".join(request.form.get("name", "").split()),
        comment=request.form.get("comment", "").replace("\r\n", "\n").strip(),
    )
    service = services()
    try:
        with writing(service.registry.engine) as session:
            done = _act(session, link, said)
            return _page(_read(session, link), link, action_page_view.PageNotice(done=done))
    except InvalidItemError as error:
        texts = [f"{at.strip('/')} {text}" for at, found in error.errors.items() for text in found]
        said.fault = f"Nothing was done: {'; '.join(texts)}."
    with reading(service.registry.engine) as session:
        return _page(_read(session, link), link, said, HTTPStatus.UNPROCESSABLE_ENTITY)


def _opened(token: str) -> ActionLink:
    limits.count_page(request.remote_addr or "")
    service = services()
    return ActionLinks(service.config, service.clock).open(token)


def _read(session: Session, link: ActionLink) -> incidents.Incident:
    return incidents.read(session, link.incident, services().clock.now_ms())


def _act(session: Session, link: ActionLink, said: action_page_view.PageNotice) -> str:
    """Do what was asked for; return what was done, in words. Raises InvalidItemError."""
    if len(said.name) > MAX_NAME or not said.name.isprintable():
        raise InvalidItemError({"/name": [f"must be at most {MAX_NAME} plain characters"]})
    by = f"link on {link.channel}"
    incident = _read(session, link)
    act = actions.Act(f"{said.name} ({by})" if said.name else by, incident.now_ms, said.comment)
    if not incident.firing:
        return "Nothing was done: nothing of this fires any more."
    button = request.form.get("do", "")
    if button == "acknowledge":
        done = incidents.acknowledge(session, incident, act)
        return action_page_view.sentence(
            done, "acknowledged for 24 hours", "was acknowledged already"
        )
    if button == "take_back":
        done = incidents.unacknowledge(session, incident, act)
        return action_page_view.sentence(done, "acknowledged no more", "was not acknowledged")
    if button == "end_silence":
        done = incidents.end_silence(session, incident, act)
        return action_page_view.sentence(
            done, "silenced by this page no more", "was not silenced here"
        )
    if button in _SILENCES:
        hours = _SILENCES[button]
        done = incidents.silence(session, incident, hours * actions.HOUR_MS, act)
        lasting = formatting.duration(hours * actions.HOUR_MS)
        return action_page_view.sentence(
            done, f"silenced for {lasting}", "was silenced for that long already"
        )
    raise InvalidItemError({"/do": ["names no button of the page"]})


def _page(
    incident: incidents.Incident,
    link: ActionLink,
    said: action_page_view.PageNotice,
    status: int = 200,
) -> Response:
    values = action_page_view.page(incident, link, services().config.site)
    return page_style.answer("act.html", status, said=said, **values)


def _refused(status: int, title: str, text: str, headers: dict[str, str] | None = None) -> Response:
    g.problem = text
    response = page_style.answer("act_refused.html", status, title=title, text=text)
    response.headers.update(headers or {})
    return response


@blueprint.errorhandler(LinkError)
def _bad_link(error: LinkError) -> Response:
    if not error.has_expired:
        text = "It may have been cut off on its way: copy the whole link from the message."
        return _refused(403, "This link does not work", text)
    lasting = formatting.duration(round(services().config.alerts.link_lifetime * 1000))
    text = f"Links in messages work for {lasting}. A newer message has a newer link."
    return _refused(410, "This link has expired", text)


@blueprint.errorhandler(ProblemError)
def _problem(error: ProblemError) -> Response:
    return _refused(
        error.status, HTTPStatus(error.status).phrase, error.detail, dict(error.headers or {})
    )


@blueprint.errorhandler(StateUnavailableError)
def _unavailable(error: HostpulseError) -> Response:
    del error
    text = "The server cannot reach its database just now. Nothing was done; try again shortly."
    return _refused(503, "Not now", text, {"Retry-After": "10"})


@blueprint.errorhandler(HTTPException)
def _http(error: HTTPException) -> Response:
    status = error.code or 500
    return _refused(status, HTTPStatus(status).phrase, error.description or "")
