"""Any receiver of JSON: a pager, a chat, a script; the template decides the shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.notifications.channels import message_context

if TYPE_CHECKING:
    from hostpulse_server.notifications.channels.base import Notification
    from hostpulse_server.notifications.channels.http import HttpPoster
    from hostpulse_server.notifications.channels.rendering import Templates

CONTENT_TYPE: Final = "application/json; charset=utf-8"
TEMPLATE: Final = "webhook.json"


class Webhook:
    """Posts what the template ``webhook.json`` makes of a notification."""

    def __init__(self, name: str, poster: HttpPoster, templates: Templates) -> None:
        self._name = name
        self._poster = poster
        self._templates = templates

    def send(self, notification: Notification, *, message_id: str) -> None:
        """Deliver; raises ChannelError. A repetition has the same ``Idempotency-Key``."""
        notified = message_context.build_context(notification, message_id)
        rendered = self._templates.render(TEMPLATE, notified, _check)
        if rendered.fault:
            message_context.add_note(notified, rendered.fault)
            rendered = self._templates.render(TEMPLATE, notified, _check, only_ours=True)
        headers = {"Content-Type": CONTENT_TYPE, "Idempotency-Key": _token(message_id)}
        self._poster.post(rendered.text.encode(), headers)


def _check(text: str) -> None:
    document: Any = json.loads(text)
    if not isinstance(document, dict | list):
        raise ValueError("it makes no JSON object or array")  # noqa: TRY004 - of a text, not a type


def _token(message_id: str) -> str:
    return "".join(one for one in message_id if one.isascii() and one.isprintable()).strip()
