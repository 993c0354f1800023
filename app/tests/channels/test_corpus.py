"""Hostile names through every channel: nothing is injected, and the message always arrives."""

from __future__ import annotations

import html.parser
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.channels.conftest import FIRING, all_texts, poster, sent, slack
from app.tests.channels.corpus import ALLOWED, CORPUS, EVIL, hostile, with_links
from tests.support.mail_server import MailServer
from tests.support.slack_receiver import Answer, SlackReceiver

from hostpulse_server.config import EmailChannel
from hostpulse_server.notifications.channels import Notification
from hostpulse_server.notifications.channels.email import Email
from hostpulse_server.notifications.channels.rendering import Templates
from hostpulse_server.notifications.channels.sanitize import one_line
from hostpulse_server.notifications.channels.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.mail_server import Received

HEADERS = [
    *("subject", "from", "to", "date", "message-id", "auto-submitted", "x-auto-response-suppress"),
    *("x-hostpulse-kind", "mime-version", "content-type"),
]
# they calls everybody, somebody or a group; or show as markup
MARKUP = re.compile(r"<[^>]|[*`~]|\[[^\]]*\]\(|(?<![\w])_\w|:[a-z_]+:|@(?:channel|here|everyone)\b")
ELEMENTS = {"rich_text", "rich_text_section", "rich_text_list", "text", "link", "header"} | {
    *("context", "plain_text"),
}


@pytest.fixture(scope="module")
def mail() -> Iterator[MailServer]:
    """Give a relay."""
    with MailServer() as server:
        yield server


@pytest.fixture(params=CORPUS)
def message(request: pytest.FixtureRequest) -> Notification:
    """Give a message with one text of the corpus, as it comes out of the outbox."""
    document = hostile(CORPUS[request.param]).to_document()
    return Notification.from_document(json.loads(json.dumps(document)))


def posted(mail: MailServer, notification: Notification, folder: Path | None = None) -> Received:
    """Send a mail by the relay and return what arrived."""
    settings = EmailChannel(
        host="127.0.0.1",
        port=mail.port,
        security="none",
        sender="Hostpulse <hostpulse@example.org>",
        to=("ops@example.org", "boss@example.org"),
    )
    count = len(mail.received)
    Email("mail", settings, "", Templates(folder)).send(notification, message_id="m-1")
    (received,) = mail.await_mail(count + 1)[count:]
    return received


def is_harmless(text: str) -> bool:
    """Tell whether a text has nothing that is not seen, and no lone surrogate."""
    return all(unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Cn") for one in text)


class Page(html.parser.HTMLParser):
    """The tags of a page with the names of their attributes, its links and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[tuple[str, ...]] = set()
        self.links: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add((tag, *(name for name, _ in attrs)))
        self.links.update(str(value) for name, value in attrs if name in ("href", "src"))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data

    def handle_comment(self, data: str) -> None:
        """Note a comment, which ours have none of."""
        self.tags.add(("comment", data))


def elements(item: Any) -> Iterator[dict[str, Any]]:
    """Yield all that has a type in a Slack message."""
    if isinstance(item, list):
        for one in item:
            yield from elements(one)
    elif isinstance(item, dict):
        if "type" in item:
            yield item
        yield from elements(list(item.values()))


def test_slack_shows_names_and_obeys_none(receiver: SlackReceiver, message: Notification) -> None:
    """Literal elements only; links are ours; the text for telephones is escaped."""
    payload = sent(receiver, message)
    assert receiver.posts[0].answered == 200
    found = list(elements(payload["blocks"]))
    assert {one["type"] for one in found} <= ELEMENTS
    assert {one["url"] for one in found if "url" in one} <= ALLOWED
    for one in found:
        if isinstance(one.get("text"), str) and one["text"] != "\n":
            assert is_harmless(one["text"])
            assert not re.search(r"[<>]|@(channel|here|everyone)\b", one["text"])
    assert payload["mrkdwn"] is False
    text = payload["text"]
    for url in ALLOWED:
        text = text.replace(url, "")
    assert not MARKUP.search(text), MARKUP.search(text)
    assert all(map(is_harmless, text.splitlines()))
    assert len(payload["text"]) <= 3000


def test_mail_has_our_headers_and_our_tags_only(mail: MailServer, message: Notification) -> None:
    """One of each; what was a name is text in both parts, and lines are as SMTP wants them."""
    received = posted(mail, message)
    assert received.recipients == ("ops@example.org", "boss@example.org")
    assert [name.lower() for name in received.message.keys()] == HEADERS  # noqa: SIM118
    assert received.message["To"] == "ops@example.org, boss@example.org"
    assert is_harmless(received.message["Subject"])
    assert len(received.message["Subject"]) <= 200
    assert received.content.isascii()
    assert max(map(len, received.content.split(b"\r\n"))) <= 998
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", received.content)
    assert [part.get_content_type() for part in received.message.walk()] == [
        *("multipart/alternative", "text/plain", "text/html"),
    ]
    page, benign = Page(received.part("html")), Page(posted(mail, FIRING).part("html"))
    ours = {("p", "style"), ("ul", "style"), ("li", "style"), ("br",), ("code",), ("span", "style")}
    assert page.tags <= benign.tags | ours
    assert page.links <= ALLOWED
    for text in (received.part("plain"), page.text):
        assert all(map(is_harmless, text.splitlines()))
        assert one_line(message.note, 500).rstrip("…") in " ".join(text.split())


def test_a_webhook_gets_the_same_keys_whatever_the_names_are(
    receiver: SlackReceiver, message: Notification
) -> None:
    """Values stay values."""
    hook = Webhook("pager", poster(receiver.url), Templates())
    for one in (FIRING, message):
        receiver.answers.append(Answer())
        hook.send(one, message_id="m-1")
    benign, document = (post.payload for post in receiver.posts)
    assert document.keys() == benign.keys()
    assert document["alerts"][0].keys() == benign["alerts"][0].keys()
    assert (document["severity"], document["act_url"]) == ("critical", FIRING.act_url)
    assert all(map(is_harmless, all_texts(document)))
    assert receiver.posts[1].headers["idempotency-key"] == "m-1"
    assert document["note"] == one_line(message.note, 600)


@pytest.mark.parametrize("how", CORPUS)
def test_an_end_and_a_group_arrive_as_well(
    receiver: SlackReceiver, mail: MailServer, how: str
) -> None:
    """By Slack and mail, with the names of a whole group."""
    over = hostile(CORPUS[how], is_over=True)
    group = Notification(**{**vars_of(over), "alerts": over.alerts * 20, "kind": "firing"})
    for one in (over, group):
        payload = sent(receiver, one)
        assert receiver.posts[-1].answered == 200
        assert not MARKUP.search(payload["text"].replace(FIRING.act_url, ""))
        names = [name.lower() for name in posted(mail, one).message.keys()]  # noqa: SIM118
        assert set(names) <= {*HEADERS, "in-reply-to", "references"}
        assert len(names) == len(set(names))


def vars_of(one: Notification) -> dict[str, Any]:
    """Return the values of a message."""
    return {name: getattr(one, name) for name in one.__slots__}


@pytest.mark.parametrize(
    "url",
    [
        f'https://{EVIL}/"onclick="alert(1)',
        f"https://{EVIL}/|click",
        f"https://{EVIL}/><b>x</b>",
        f"https://{EVIL}/\r\nBcc: x@{EVIL}",
        f"https://{EVIL}/ x",
        f"https://{EVIL}/\u202e",
        "javascript:alert(1)",
        "data:text/html,<b>x</b>",
        f"//{EVIL}/x",
        f"mailto:x@{EVIL}",
        f"https://{EVIL}/{'x' * 3000}",
    ],
)
def test_an_address_that_is_none_makes_no_link(
    receiver: SlackReceiver, mail: MailServer, url: str
) -> None:
    """Of a runbook, a dashboard or the page of an incident."""
    message = with_links(url)
    blocks = sent(receiver, message)["blocks"]
    assert [one for one in elements(blocks) if one["type"] == "link"] == []
    assert Page(posted(mail, message).part("html")).links == set()


@pytest.mark.parametrize("how", ["all of a channel", "people", "a link of Slack", "marks"])
def test_an_operators_template_for_slack_lets_no_name_mention_or_mark_up(
    tmp_path: Path, receiver: SlackReceiver, how: str
) -> None:
    """Nor does its text, however it is put in; what is ours is not escaped twice."""
    section = '{"type": "section", "text": {"type": "mrkdwn", "text": %s}}'
    both = ", ".join(section % text for text in ('"{{ note }}"', "{{ note | tojson }}"))
    (tmp_path / "slack.json").write_text(f'{{"text": "{{{{ text }}}}", "blocks": [{both}]}}')
    message = hostile(CORPUS[how])
    slack(receiver, tmp_path).send(message, message_id="m-1")
    plain, filtered = (one["text"]["text"] for one in receiver.posts[0].payload["blocks"])
    assert plain == filtered
    assert not MARKUP.search(plain)
    assert "\uff20channel" in plain or how != "all of a channel"
    assert "&amp;lt;" not in receiver.posts[0].payload["text"]


def test_an_operators_template_for_mail_is_escaped_by_itself(
    tmp_path: Path, mail: MailServer
) -> None:
    """In HTML; a subject stays one line whatever it is made of."""
    (tmp_path / "mail.html").write_text('<p title="{{ note }}">{{ note }}</p>')
    (tmp_path / "mail_subject.txt").write_text("{{ title }}\nBcc: x@evil.example\n")
    received = posted(mail, hostile(CORPUS["out of an attribute"]), tmp_path)
    assert Page(received.part("html")).tags == {("p", "title")}
    assert "Bcc" not in received.message
    assert "Bcc: x@evil.example" in received.message["Subject"]
