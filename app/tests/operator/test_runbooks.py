"""``/runbooks/NAME`` and the links to it."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

import pytest
from tools.docs.runbook_pages import SOURCE, render

from hostpulse_server.notifications import runbooks

if TYPE_CHECKING:
    from app.tests.operator.conftest import AlertsHarness

URL = "https://monitor:8443"


def test_the_pages_are_those_of_the_document() -> None:
    """Otherwise: run `python -m tools.docs.runbook_pages`."""
    assert runbooks.pages() == render(SOURCE.read_text(encoding="utf-8"))


def test_every_link_of_a_page_leads_to_another() -> None:
    """Nothing of the document's own neighbours, which no server has."""
    links = {
        one for page in runbooks.pages().values() for one in re.findall(r'href="([^"]*)"', page)
    }
    assert links
    assert {one for one in links if not one.startswith("https://")} <= runbooks.pages().keys()


def test_markup_of_a_document_is_text() -> None:
    """Only Markdown is obeyed."""
    (page,) = render("# x\n\n## a\n\n<script>1</script> & `<b>` [x](javascript:1)\n").values()
    assert "&lt;script&gt;1&lt;/script&gt; &amp; <code>&lt;b&gt;</code>" in page
    assert "<a" not in page


def test_a_runbook_is_read_without_a_key_or_a_script(alerts_site: AlertsHarness) -> None:
    """On a telephone, as the policy of the action page allows."""
    client = alerts_site.api.app.test_client()
    response = client.get("/runbooks/oom_kill")
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert "<h1>oom_kill</h1>" in response.text
    assert 'name="viewport" content="width=device-width' in response.text
    assert runbooks.pages()["oom_kill"] in response.text
    assert "Set-Cookie" not in response.headers
    style = re.search(r"<style>(.*)</style>", response.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")


@pytest.mark.parametrize("name", ["nothing", "..%2Foom_kill", "oom_kill.html", "%3Cb%3E"])
def test_only_known_runbooks_are_there(alerts_site: AlertsHarness, name: str) -> None:
    """What was asked for is not repeated."""
    response = alerts_site.api.app.test_client().get(f"/runbooks/{name}")
    assert response.status_code == 404
    assert name not in response.text


@pytest.mark.parametrize(
    ("runbook", "public_url", "shown"),
    [
        ("docs/runbooks.md#oom_kill", URL, f"{URL}/runbooks/oom_kill"),
        ("docs/runbooks.md#oom_kill", f"{URL}/", f"{URL}/runbooks/oom_kill"),
        ("docs/runbooks.md#oom_kill", "", "docs/runbooks.md#oom_kill"),
        ("docs/runbooks.md#ours", URL, "docs/runbooks.md#ours"),
        ("https://wiki/oom_kill", URL, "https://wiki/oom_kill"),
        ("oom_kill", URL, "oom_kill"),
        ("", URL, ""),
    ],
)
def test_a_message_links_to_the_runbooks_of_the_pack(
    runbook: str, public_url: str, shown: str
) -> None:
    """A runbook of the site's own stays what it is."""
    assert runbooks.address(runbook, public_url) == shown
