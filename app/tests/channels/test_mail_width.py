"""Mail on a telephone: no text may widen the page, or narrow another to a letter a line."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import pytest
from app.tests.channels.conftest import ALERT, FIRING, GONE

from hostpulse_server.notifications.channels import Notification, message_context
from hostpulse_server.notifications.channels.rendering import Templates

LONG = "web-" + "x" * 90
WIDE = dataclasses.replace(
    ALERT,
    server_id=LONG,
    server_name=LONG,
    summary=LONG,
    rule=LONG,
    tags={"mount": f"/{LONG}"},
    labels={"role": LONG},
    runbook=f"docs/{LONG}",
    evidence=(LONG,),
    others=(LONG,),
    acknowledged_by=LONG,
)
ONE = dataclasses.replace(
    FIRING, alerts=(WIDE,), site=LONG, environment=LONG, channel=LONG, note=LONG, act_url=""
)
MANY = dataclasses.replace(ONE, alerts=(WIDE, dataclasses.replace(WIDE, id=18)), firing=2)


class _Page(HTMLParser):
    """The texts that no space breaks, each with the styles around it; and the cells of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.around: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.rows: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "meta"):
            return
        self.around.append((tag, dict(attrs).get("style") or ""))
        if tag == "tr":
            self.rows.append(0)

    def handle_endtag(self, tag: str) -> None:
        assert self.around.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.around]
        if "body" in tags and any(len(word) > 40 for word in data.split()):
            self.texts.append((data, " ".join(style for _, style in self.around)))
            if "tr" in tags:
                self.rows[-1] += 1


def page(notification: Notification) -> _Page:
    """Read the HTML of a mail."""
    context = message_context.build_context(notification, "m-1")
    found = _Page()
    found.feed(Templates().render("mail.html", context, lambda _: None).text)
    return found


@pytest.mark.parametrize("notification", [ONE, MANY, dataclasses.replace(GONE, alerts=(WIDE,))])
def test_any_text_breaks_and_has_a_column_of_its_own(notification: Notification) -> None:
    """Looked at in a browser at 390 px; this holds what made it fit."""
    found = page(notification)
    assert len(found.texts) > 5
    for text, style in found.texts:
        assert "word-break:break-word" in style, text
        assert "nowrap" not in style, text
    assert max(found.rows) <= 1
