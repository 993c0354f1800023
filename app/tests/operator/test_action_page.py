"""The page behind a link: whoever fetches it changes nothing, whoever presses a button does."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.operator.conftest import INCIDENT, SETTINGS, AlertsHarness

from hostpulse_server.api.services import EXTENSION
from hostpulse_server.notifications.action_links import ActionLinks
from hostpulse_server.operator.serializers import properties_of
from hostpulse_server.values.matchers import matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.tests.api.conftest import Api
    from werkzeug.test import TestResponse

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


class Page:
    """The page of one incident, fetched and used as a browser does."""

    def __init__(self, alerts_site: AlertsHarness, incident: str = INCIDENT) -> None:
        links = ActionLinks(alerts_site.api.app.extensions[EXTENSION].config, alerts_site.api.clock)
        self.path = links.url(incident, "mail").removeprefix("https://monitor:8443")
        self._client = alerts_site.api.app.test_client(use_cookies=False)

    def get(self, method: str = "GET", path: str = "") -> TestResponse:
        """Fetch the page."""
        return self._client.open(path or self.path, method=method)

    def press(self, button: str, **fields: str) -> TestResponse:
        """Press a button."""
        return self._client.post(self.path, data={"do": button, **fields})

    def said(self, button: str, **fields: str) -> str:
        """Press a button; return what the page says was done."""
        response = self.press(button, **fields)
        assert response.status_code == 200
        found = re.search(r'class="said done"[^>]*>([^<]*)<', response.text)
        assert found is not None, response.text
        return html.unescape(found[1])


@pytest.fixture
def page(alerts_site: AlertsHarness) -> Page:
    """Return the page of an incident of two alerts that fire and one that is over."""
    ids = [alerts_site.alert(), alerts_site.alert(server_id="web-02", severity="critical")]
    alerts_site.notify(*ids, alerts_site.alert("resolved"))
    alerts_site.alert(server_id="of another incident")
    return Page(alerts_site)


def test_the_page_shows_how_the_incident_stands(alerts_site: AlertsHarness, page: Page) -> None:
    """Environment first, the most serious next, and nothing of others."""
    response = page.get()
    assert response.status_code == 200
    text = response.text
    places = [
        text.index(part)
        for part in (
            "<b>production</b> · example",
            "<h1>2 alerts firing, 1 over",
            "web-02",
            "web-01",
        )
    ]
    assert places == sorted(places)
    assert "another incident" not in text
    assert "threshold 90" in text
    assert "2027-01-15 07:55:05 UTC" in text
    assert 'href="https://monitor:8443/runbooks/disk_usage"' in text
    assert "Take it back" not in text
    alerts_site.api.clock.move(60)
    assert "for 6 min" in page.get().text


def test_no_script_no_cookie_no_trace(page: Page) -> None:
    """The policy allows the one style that is there; nothing is kept, told on or found."""
    for response in (page.get(), page.press("acknowledge"), page.get(path="/act/forged")):
        headers = response.headers
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Robots-Tag"] == "noindex, nofollow"
        assert "Set-Cookie" not in headers
        style = re.search(r"<style>(.*)</style>", response.text, re.DOTALL)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        policy = headers["Content-Security-Policy"]
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; form-action")
        assert headers.getlist("Content-Security-Policy") == [policy]
        assert not re.search(r"<script|\son\w+=|\sstyle=|\ssrc=", response.text)


def test_fetching_the_link_changes_nothing(alerts_site: AlertsHarness, page: Page) -> None:
    """Mail scanners, previews, prefetching: GET, HEAD, OPTIONS, with whatever query."""
    query = f"{page.path}?do=acknowledge"
    for method in ("GET", "HEAD", "OPTIONS"):
        for path in (page.path, query):
            assert page.get(method, path).status_code == 200
    for method in ("PUT", "PATCH", "DELETE"):
        assert page.get(method, query).status_code == 405
    assert [row["acknowledged"] for row in alerts_site.get("/alerts")["alerts"]] == [None] * 3
    assert alerts_site.silences() == []


def test_acknowledging_is_for_what_fires_of_this_incident(
    alerts_site: AlertsHarness, page: Page
) -> None:
    """A day, by the link and a name; the second time it says so and changes nothing."""
    comment = {"name": "Ann  B.", "comment": "on it\r\nback at 9"}
    assert page.said("acknowledge", **comment) == "Done: 2 alerts are acknowledged for 24 hours."
    at = alerts_site.now_ms
    expected = {
        "by": "Ann B. (link on mail)",
        "at": at,
        "until": at + DAY_MS,
        "comment": "on it\nback at 9",
    }
    taken = [one["acknowledged"] for one in alerts_site.get("/alerts")["alerts"]]
    assert taken == [expected, expected, None]
    alerts_site.api.clock.move(3600)
    assert page.said("acknowledge") == "2 alerts were acknowledged already."
    assert alerts_site.get("/alerts")["alerts"][0]["acknowledged"] == expected
    shown = page.get().text
    assert "Acknowledged by Ann B. (link on mail) until 2027-01-16 08:00:05 UTC" in shown
    assert 'value="acknowledge" disabled' in shown
    assert len(alerts_site.get("/alerts/1")["events"]) == 2  # told, acknowledged


def test_what_flaps_can_be_acknowledged_while_it_is_over(alerts_site: AlertsHarness) -> None:
    """The message about it has the link, and the next firing keeps what is said here."""
    number = alerts_site.alert("resolved")
    alerts_site.notify(number)
    page = Page(alerts_site)
    assert "It is over" in page.get().text
    alerts_site.event(number, "flapping", channel="mail")
    shown = page.get().text
    assert "1 alert firing" in shown
    assert "flaps, over now" in shown
    assert page.said("acknowledge") == "Done: 1 alert is acknowledged for 24 hours."
    assert alerts_site.row(number).acknowledged_by == "link on mail"
    assert page.press("take_back").status_code == 200
    assert alerts_site.row(number).acknowledged_by is None
    alerts_site.event(number, "steady", channel="mail")
    assert "It is over" in page.get().text


def test_without_a_name_it_is_the_link(alerts_site: AlertsHarness, page: Page) -> None:
    """The channel says which message it was."""
    page.press("acknowledge")
    assert alerts_site.row(1).acknowledged_by == "link on mail"


def test_who_was_first_stays(alerts_site: AlertsHarness, page: Page) -> None:
    """Until that has run out; alerts of other incidents are not the link's."""
    page.press("acknowledge", name="Ann")
    late = alerts_site.alert()
    alerts_site.notify(late, channel="other", incident="another")
    alerts_site.change(2, acknowledged_until_ms=alerts_site.now_ms)
    said = page.said("acknowledge", name="Bob")
    assert said == "Done: 1 alert is acknowledged for 24 hours. 1 alert was acknowledged already."
    assert alerts_site.row(1).acknowledged_by == "Ann (link on mail)"
    assert alerts_site.row(2).acknowledged_by == "Bob (link on mail)"
    assert alerts_site.row(late).acknowledged_by is None


@pytest.mark.parametrize("hours", [1, 4, 24])
def test_a_silence_is_of_exactly_these_alerts(
    alerts_site: AlertsHarness, page: Page, hours: int
) -> None:
    """Rule, server and tags of each that fires, and nothing else they could match."""
    lasting = {1: "1 h", 4: "4 h", 24: "1 d"}[hours]
    assert page.said(f"silence-{hours}") == f"Done: 2 alerts are silenced for {lasting}."
    made = alerts_site.silences()
    assert [one.matchers for one in made] == [
        {"mount": "/data1", "rule": "disk_usage", "server_id": "web-02"},
        {"mount": "/data0", "rule": "disk_usage", "server_id": "web-01"},
    ]
    assert {(one.start_ms, one.end_ms - one.start_ms) for one in made} == {
        (alerts_site.now_ms, hours * HOUR_MS)
    }
    assert {one.created_by for one in made} == {"link on mail"}
    assert [bool(one["silenced_by"]) for one in alerts_site.get("/alerts")["alerts"]] == [1, 1, 0]
    alerts_site.api.clock.move(60)
    again = page.said(f"silence-{hours}")
    assert again == "2 alerts were silenced for that long already."
    assert len(alerts_site.silences()) == 2


def test_a_silence_matches_values_that_look_like_globs(alerts_site: AlertsHarness) -> None:
    """Brackets and stars in a mount's name are themselves; no host is a host, too."""
    odd = alerts_site.alert(tags={"mount": "/mnt/[a]*?", "rule": "x"}, server_id="")
    like = alerts_site.alert(tags={"mount": "/mnt/aaa"}, server_id="")
    alerts_site.notify(odd)
    Page(alerts_site).press("silence-1")
    (made,) = alerts_site.silences()
    assert matches(made.matchers, properties_of(alerts_site.row(odd)))
    assert not matches(made.matchers, properties_of(alerts_site.row(like)))


def test_what_was_done_is_taken_back(alerts_site: AlertsHarness, page: Page) -> None:
    """The link's own silences and the acknowledgements; an operator's broader silence stays."""
    body = {"matchers": {"rule": "disk_*"}, "end": "1h"}
    assert alerts_site.ask("POST", "/silences", json=body).status_code == 201
    page.press("acknowledge")
    page.press("silence-4")
    assert "Take it back" in page.get().text
    assert page.said("take_back") == "Done: 2 alerts are acknowledged no more."
    assert page.said("take_back") == "2 alerts were not acknowledged."
    assert page.said("end_silence") == "Done: 2 alerts are silenced by this page no more."
    assert page.said("end_silence") == "2 alerts were not silenced here."
    assert alerts_site.row(1).acknowledged_by is None
    assert [one.end_ms > alerts_site.now_ms for one in alerts_site.silences()] == [
        True,
        False,
        False,
    ]
    assert "Take it back" not in page.get().text


def test_when_it_is_over_there_is_nothing_to_press(alerts_site: AlertsHarness, page: Page) -> None:
    """A button pressed on an older page says so."""
    for alert_id in (1, 2):
        alerts_site.change(alert_id, state="resolved", resolved_ms=alerts_site.now_ms)
    assert "All 3 alerts are over" in page.get().text
    assert "<form" not in page.get().text
    said = page.said("acknowledge")
    assert said == "Nothing was done: nothing of this fires any more."
    assert alerts_site.row(1).acknowledged_by is None
    assert "Nothing is known" in Page(alerts_site, "f" * 32).get().text


def test_a_link_that_is_forged_or_has_expired_acts_no_more(
    alerts_site: AlertsHarness, page: Page
) -> None:
    """403 and 410, a page that says what to do, and nothing done."""
    forged = page.get("POST", page.path[:-1] + ("A" if page.path[-1] != "A" else "B"))
    assert forged.status_code == 403
    assert "copy the whole link" in forged.text
    alerts_site.api.clock.move(7 * 86_400)
    for response in (page.get(), page.press("acknowledge")):
        assert response.status_code == 410
        assert "work for 7 d" in response.text
        assert "hostpulse-server alerts ack" in response.text
    assert alerts_site.row(1).acknowledged_by is None


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"do": "acknowledge", "comment": "x" * 1001}, "comment must be at most 1000"),
        ({"do": "acknowledge", "comment": "\x1b[2J"}, "comment must not hold control"),
        ({"do": "acknowledge", "name": "n" * 81}, "name must be at most 80"),
        ({"do": "silence-4", "name": "\u202eevil"}, "name must be at most 80 plain"),
        ({"do": "silence-100"}, "do names no button"),
        ({}, "do names no button"),
    ],
)
def test_a_wrong_form_is_told_on_the_page(
    alerts_site: AlertsHarness, page: Page, fields: dict[str, str], fault: str
) -> None:
    """What was written stays in the form; nothing is done."""
    response = page.press(fields.pop("do", ""), **fields)
    assert response.status_code == 422
    assert f"Nothing was done: {fault}" in response.text
    assert (alerts_site.row(1).acknowledged_by, alerts_site.silences()) == (None, [])


def test_only_small_forms_are_read(alerts_site: AlertsHarness, page: Page) -> None:
    """Too large, of another type, broken: a page, no crash, nothing done."""
    client = alerts_site.api.app.test_client()
    form = "application/x-www-form-urlencoded"
    sent: tuple[tuple[Any, str, int], ...] = (
        (b"do=acknowledge&comment=" + b"x" * 20_000, form, 413),
        (b'{"do": "acknowledge"}', "application/json", 415),
        (b"do=acknowledge", "multipart/form-data; boundary=x", 415),
        (b"do=acknowledge", "", 415),
        (b"\xff\xfe=%zz&do=%00", form, 422),
    )
    for data, content_type, status in sent:
        response = client.post(page.path, data=data, content_type=content_type)
        assert response.status_code == status, data
        assert response.content_type.startswith("text/html")
    assert alerts_site.row(1).acknowledged_by is None


def test_texts_of_hosts_and_people_stay_texts(alerts_site: AlertsHarness) -> None:
    """No markup from a summary, a comment, a server; a runbook links only to the web."""
    evil = '"><script>alert(1)</script>{{ 7 * 7 }}'
    alerts_site.notify(
        alerts_site.alert(summary=evil, labels={"env": evil}, runbook="javascript:alert(1)")
    )
    page = Page(alerts_site)
    page.press("acknowledge", name=evil[:60], comment=evil)
    text = page.get().text
    assert "<script" not in text
    assert "{{ 7 * 7 }}" in text
    assert 'href="javascript' not in text
    alerts_site.change(1, runbook="https://wiki.example.org/disk?a=1&b=2")
    assert 'href="https://wiki.example.org/disk?a=1&amp;b=2"' in page.get().text


def test_a_storm_is_acknowledged_as_a_whole(alerts_site: AlertsHarness) -> None:
    """The page shows the first twenty; the button means all."""
    alerts_site.notify(*[alerts_site.alert() for _ in range(60)])
    page = Page(alerts_site)
    assert "… and 40 more" in page.get().text
    assert page.said("acknowledge").startswith("Done: 60 alerts are acknowledged")


def test_an_address_gets_only_so_many_pages(
    make_api: Callable[..., Api],
) -> None:
    """429 with Retry-After, as a page; the API behind the same address is not hit."""
    alerts_site = AlertsHarness(make_api(SETTINGS))
    page = Page(alerts_site)
    statuses = {page.get(path="/act/x").status_code for _ in range(60)}
    assert statuses <= {403, 429}
    while page.get().status_code != 429:  # a new minute may just have begun
        pass
    response = page.get()
    assert int(response.headers["Retry-After"]) >= 1
    assert response.content_type.startswith("text/html")
    assert alerts_site.ask("GET", "/alerts").status_code == 200


def test_the_state_database_away_is_said_on_the_page(
    alerts_site: AlertsHarness, page: Page
) -> None:
    """503, to be tried again."""
    with alerts_site.api.registry.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE alerts RENAME TO gone")
        connection.commit()
    for response in (page.get(), page.press("acknowledge")):
        assert response.status_code == 503
        assert "try again shortly" in response.text
