"""Slack, and what takes messages as Slack's incoming webhooks do."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.notifications.channels import message_context
from hostpulse_server.notifications.channels.base import ChannelError
from hostpulse_server.notifications.channels.escaping import Escaped
from hostpulse_server.notifications.channels.slack_blocks import MAX_TEXT, blocks

if TYPE_CHECKING:
    from hostpulse_server.notifications.channels.base import Notification
    from hostpulse_server.notifications.channels.http import HttpPoster
    from hostpulse_server.notifications.channels.rendering import Rendered, Templates

HEADERS: Final = {"Content-Type": "application/json; charset=utf-8"}
# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (errors)
FIXES: Final = {
    "action_prohibited": "an administrator of the workspace restricts what webhooks may do",
    "channel_is_archived": "unarchive the channel, or make a webhook for another one",
    "channel_not_found": "the channel is gone; make a webhook for another one",
    "invalid_blocks": "the message's blocks are wrong; look at a template slack.json of yours",
    "invalid_payload": "the message is malformed; look at a template slack.json of yours",
    "invalid_token": "the address was taken back; make a new webhook and put it into the file",
    "no_active_hooks": "the webhook was disabled; make a new one and put it into the file",
    "no_service": "the webhook was removed or disabled; make a new one and put it into the file",
    "no_service_id": "the address is incomplete; copy the webhook's address into the file again",
    "no_team": "the workspace is gone, or the address is incomplete",
    "no_text": "the message has no text; look at a template slack.json of yours",
    "posting_to_general_channel_denied": "only administrators may post there; take another channel",
    "team_disabled": "the workspace is disabled",
    "too_many_attachments": "look at a template slack.json of yours",
    "user_not_found": "the webhook's user is gone; make a new webhook",
}

log = logging.getLogger(__name__)


class Slack:
    """Posts blocks, with a text for what shows no blocks."""

    def __init__(self, name: str, poster: HttpPoster, templates: Templates) -> None:
        self._name = name
        self._poster = poster
        self._templates = templates

    def send(self, notification: Notification, *, message_id: str) -> None:
        """Deliver; raises ChannelError."""
        rendered = self._payload(notification, message_id)
        try:
            self._post(rendered)
        except ChannelError as error:
            if rendered.is_ours or not error.permanent:
                raise
            log.warning(
                "channel %s: refused with template slack.json of yours (%s); trying ours",
                self._name,
                error,
            )
            # is it the template? a message in our own shape shows
            note = f"With the template slack.json the receiver refused this: {error}"
            self._post(self._payload(notification, message_id, note))

    def _post(self, rendered: Rendered) -> None:
        self._poster.post(rendered.text.encode(), HEADERS, FIXES)

    def _payload(self, notification: Notification, message_id: str, note: str = "") -> Rendered:
        notified = message_context.build_context(notification, message_id)
        text = self._templates.render("slack_text.txt", notified, only_ours=bool(note))
        message_context.add_note(notified, note, text.fault)
        values = {**notified, "text": Escaped(_cut(text.text)), "blocks": blocks(notified)}
        rendered = self._templates.render("slack.json", values, _check, only_ours=bool(note))
        if rendered.fault:
            message_context.add_note(notified, rendered.fault)
            values["blocks"] = blocks(notified)
            rendered = self._templates.render("slack.json", values, _check, only_ours=True)
        return rendered


def _check(text: str) -> None:
    document: Any = json.loads(text)
    if not isinstance(document, dict) or not document:
        raise ValueError("it makes no JSON object")


def _cut(text: str) -> str:
    """Return as many whole lines as there is room for."""
    kept: list[str] = []
    room = MAX_TEXT - 2
    for line in text.strip().splitlines():
        room -= len(line) + 1
        if room < 0:
            return "\n".join([*kept, "…"])
        kept.append(line)
    return "\n".join(kept)
