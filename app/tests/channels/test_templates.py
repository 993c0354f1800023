"""Templates: an operator's replace ours, and whatever is wrong with one, the alert is told."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.channels.conftest import FIRING, all_texts, slack
from tests.support.slack_receiver import Answer, SlackReceiver

from hostpulse_server.notifications.channels import message_context
from hostpulse_server.notifications.channels.mail_message import Mailbox, compose
from hostpulse_server.notifications.channels.rendering import OURS, Templates

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = {
    "syntax": "{% if %}",
    "unknown variable": "{{ nonsense }}",
    "unknown attribute": "{{ alerts[0].nonsense }}",
    "unknown filter": "{{ title | nonsense }}",
    "unsafe": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "unsafe by a filter": "{{ title | attr('__class__') }}",
    "changes what it is given": "{% do alerts.append(1) %}{{ alerts.append(1) }}",
    "division": "{{ 1 / 0 }}",
    "recursion": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "includes": "{% include '/etc/passwd' %}",
    "long loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "much output": "{% for a in range(9000) %}" + "x" * 100 + "{% endfor %}",
    "a large text": "{{ 'x' * 10000000000 }}",
    "a large power": "{{ 9 ** 999999999 }}",
    "a wide format": "{{ '%9999999999d' | format(1) }}",
    "a star in a format": "{{ '%*d' | format(9999999999, 1) }}",
    "a wide method": "{{ 'x'.ljust(9999999999) }}",
    "a large file": "x" * 300_000,
    "bytes": "\udcff",
}


def reported() -> dict[str, Any]:
    """Return what templates are rendered with."""
    return message_context.build_context(FIRING, "m-1")


def put(folder: Path, name: str, text: str) -> Templates:
    """Return templates of which one is an operator's."""
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return Templates(folder)


def test_a_template_of_the_operator_replaces_ours_by_name(tmp_path: Path) -> None:
    """The others stay."""
    templates = put(tmp_path, "mail_subject.txt", "{{ severity }} in {{ environment }}")
    subject = templates.render("mail_subject.txt", reported())
    assert (subject.text, subject.fault, subject.is_ours) == ("critical in production", "", False)
    assert templates.render("mail.txt", reported()).is_ours


def test_a_changed_file_counts_with_the_next_message(tmp_path: Path) -> None:
    """Without a restart."""
    templates = put(tmp_path, "mail_subject.txt", "one")
    assert templates.render("mail_subject.txt", reported()).text == "one"
    put(tmp_path, "mail_subject.txt", "two")
    assert templates.render("mail_subject.txt", reported()).text == "two"
    (tmp_path / "mail_subject.txt").unlink()
    assert templates.render("mail_subject.txt", reported()).is_ours


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("name", ["mail.txt", "mail.html", "webhook.json", "slack_text.txt"])
def test_a_broken_template_gives_way_to_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, how: str
) -> None:
    """With a line in the log, soon, whatever it does."""
    began = time.monotonic()
    rendered = put(tmp_path, name, BROKEN[how]).render(
        name, reported(), is_json if "json" in name else print
    )
    assert time.monotonic() - began < 5
    assert rendered.is_ours
    assert rendered.text == Templates().render(name, reported()).text
    assert name in rendered.fault
    [line] = caplog.messages
    assert line.startswith(rendered.fault)
    assert line.isprintable()
    assert len(line) < 500


def is_json(text: str) -> None:
    """Raise ValueError for what is no JSON."""
    json.loads(text)


def test_a_folder_in_place_of_a_template_gives_way_to_ours(tmp_path: Path) -> None:
    """As does anything that cannot be read."""
    (tmp_path / "mail.txt").mkdir()
    assert Templates(tmp_path).render("mail.txt", reported()).is_ours


@pytest.mark.parametrize("name", ["slack.json", "slack_text.txt"])
def test_slack_is_told_of_a_broken_template_with_the_alert(
    tmp_path: Path, receiver: SlackReceiver, name: str
) -> None:
    """In the message."""
    put(tmp_path, name, "{{ nonsense }}")
    slack(receiver, tmp_path).send(FIRING, message_id="m-1")
    texts = all_texts(receiver.posts[0].payload)
    assert any("96.2 %" in text for text in texts)
    assert any(f"{tmp_path}/{name}" in text for text in texts)


def test_a_slack_message_of_an_operator_is_sent_as_it_is(
    tmp_path: Path, receiver: SlackReceiver
) -> None:
    """With all that ours is made of."""
    text = '{"text": "{{ text }}", "username": "ops", "blocks": {{ blocks[:1] }}}'
    put(tmp_path, "slack.json", text)
    slack(receiver, tmp_path).send(FIRING, message_id="m-1")
    payload = receiver.posts[0].payload
    assert payload["username"] == "ops"
    assert [one["type"] for one in payload["blocks"]] == ["header"]


def test_a_slack_message_that_is_refused_for_its_template_goes_in_our_shape(
    tmp_path: Path, receiver: SlackReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    """The receiver says that it understands nothing: ours is tried before giving up."""
    put(tmp_path, "slack.json", '{"blocks": [{"type": "nonsense"}]}')
    slack(receiver, tmp_path).send(FIRING, message_id="m-1")
    assert [one.answered for one in receiver.posts] == [400, 200]
    assert any("invalid_blocks" in text for text in all_texts(receiver.posts[1].payload))
    assert "trying ours" in caplog.text


def test_no_second_try_where_the_template_is_not_at_fault(
    tmp_path: Path, receiver: SlackReceiver
) -> None:
    """What may pass is left to the outbox."""
    put(tmp_path, "slack.json", '{"text": "mine"}')
    receiver.answers.append(Answer(500))
    with pytest.raises(Exception, match="500"):
        slack(receiver, tmp_path).send(FIRING, message_id="m-1")
    assert len(receiver.posts) == 1


@pytest.mark.parametrize("name", ["mail_subject.txt", "mail.txt", "mail.html"])
def test_mail_is_sent_with_a_note_on_a_broken_template(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """In both of its bodies; the other templates of the operator are used."""
    caplog.set_level(logging.CRITICAL)
    other = "mail.txt" if name != "mail.txt" else "mail_subject.txt"
    put(tmp_path, other, "MINE {{ note }} {{ title }}")
    templates = put(tmp_path, name, "{{ nonsense }}")
    box = Mailbox.parse("a@example.org")
    message = compose(FIRING, "m-1", box, [box], templates)
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        assert name in part.get_content()
        assert "96.2 %" in part.get_content()
    assert "96.2 %" in message["Subject"]
    assert "MINE" in message.as_string()


def test_values_in_an_operators_json_need_no_escaping(tmp_path: Path) -> None:
    """No value gets out of its quotes, also where the author did not think of it."""
    values = reported() | {"title": '", "severity": "none\\'}
    templates = put(tmp_path, "webhook.json", '{"t": "{{ title }}", "j": {{ title | tojson }}}')
    document = json.loads(templates.render("webhook.json", values, is_json).text)
    assert document == {"t": values["title"], "j": values["title"]}


def test_our_templates_are_where_a_package_has_them() -> None:
    """All of them."""
    assert sorted(one.name for one in OURS.iterdir()) == [
        *("mail.html", "mail.txt", "mail_subject.txt", "slack.json", "slack_text.txt"),
        "webhook.json",
    ]
