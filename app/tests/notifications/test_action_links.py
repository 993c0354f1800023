"""Links of messages: made with a key of our own, and worthless once anything about them changes."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.clock import ManualClock

from hostpulse_server.config import load
from hostpulse_server.errors import LinkError
from hostpulse_server.notifications.action_links import ActionLink, ActionLinks
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from pathlib import Path

INCIDENT = "0123456789abcdef0123456789abcdef"
WEEK = 7 * 86_400


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands."""
    return ManualClock()


def links(
    folder: Path, clock: ManualClock, public_url: str = "https://monitor:8443/"
) -> ActionLinks:
    """Return the links of an installation."""
    path = folder / "server.toml"
    path.write_text(f'data_dir = "{folder}"\n[site]\npublic_url = "{public_url}"\n')
    return ActionLinks(load(path, {}), clock)


def token_of(made: ActionLinks) -> str:
    """Return the token of a new link."""
    return made.url(INCIDENT, "mail").rpartition("/")[2]


def test_a_link_opens_until_it_expires(tmp_path: Path, clock: ManualClock) -> None:
    """What it was made for comes back, in another process, too; a week later it does not."""
    url = links(tmp_path, clock).url(INCIDENT, "Ops & Söhne")
    assert url.startswith("https://monitor:8443/act/")
    token = url.rpartition("/")[2]
    assert len(url) < 200
    other = links(tmp_path, clock)
    clock.move(WEEK - 1)
    assert other.open(token) == ActionLink(INCIDENT, "Ops & Söhne", clock.ms + 1000)
    clock.move(1)
    with pytest.raises(LinkError) as caught:
        other.open(token)
    assert caught.value.has_expired


def test_without_a_public_address_there_is_no_link_and_no_key(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Nothing is written that nobody needs."""
    assert links(tmp_path, clock, "").url(INCIDENT, "mail") == ""
    assert not (tmp_path / "link.key").exists()


def test_the_key_is_private_whole_and_one_whoever_is_first(
    tmp_path: Path, clock: ManualClock
) -> None:
    """0600, owned as its folder is; many that make it at once all sign with the same."""
    owner = 1234 if os.geteuid() == 0 else os.geteuid()
    os.chown(tmp_path, owner, -1)
    many = [links(tmp_path, clock) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(token_of, many))
    assert len(set(tokens)) == 1
    facts = (tmp_path / "link.key").stat()
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert (facts.st_uid, facts.st_size) == (owner, 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.key", "server.toml"]


def test_another_key_or_none_opens_nothing(tmp_path: Path, clock: ManualClock) -> None:
    """Removing the key takes all links back at once; looking at one makes no key."""
    ours = links(tmp_path, clock)
    token = token_of(ours)
    (tmp_path / "link.key").unlink()
    with pytest.raises(LinkError):
        ours.open(token)
    assert not (tmp_path / "link.key").exists()
    assert token_of(ours) != token
    with pytest.raises(LinkError):
        ours.open(token)


def test_a_key_that_cannot_be_used_costs_the_link_and_not_the_message(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged file is named in the log; it never signs."""
    (tmp_path / "link.key").write_bytes(b"short")
    ours = links(tmp_path, clock)
    assert ours.url(INCIDENT, "mail") == ""
    assert "link.key" in caplog.text
    with pytest.raises(LinkError):
        ours.open("AAAA")


# Made by the program before release 0.1.0 with a key of 32 letters k.
FORMER = (
    "8-El0E9qqwQLPxFIFjMBVKk75bPu9nsZLpyOf5Dd4ZhbMSwxNzk1Mzg3MjAw"
    "MDAwLCIwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZiIsIm1haWwi"
    "XQ"
)
FORMER_ENDS_MS = 1_795_387_200_000


def test_a_link_sent_before_0_1_works_until_it_expires(tmp_path: Path, clock: ManualClock) -> None:
    """Messages of the week before an upgrade keep their links; a changed one opens nothing."""
    (tmp_path / "link.key").write_bytes(b"k" * 32)
    ours = links(tmp_path, clock)
    clock.ms = FORMER_ENDS_MS - 1
    assert ours.open(FORMER) == ActionLink(INCIDENT, "mail", FORMER_ENDS_MS)
    for forged in (FORMER[:-1] + "A", "A" + FORMER[1:], FORMER[4:], ""):
        with pytest.raises(LinkError):
            ours.open(forged)
    clock.ms += 1
    with pytest.raises(LinkError) as caught:
        ours.open(FORMER)
    assert caught.value.has_expired


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_token_opens(tmp_path: Path, clock: ManualClock, data: st.DataObject) -> None:
    """One character replaced, dropped or added anywhere, or anything else at all."""
    ours = links(tmp_path, clock)
    token = token_of(ours)
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters())
    junk = data.draw(st.text())
    for forged in (token[:at] + letter + token[at + 1 :], token[:at] + token[at + 1 :], junk):
        if forged != token:
            with pytest.raises(LinkError):
                ours.open(forged)
    with pytest.raises(LinkError):
        ours.open(token + letter)


def test_logs_show_no_token(tmp_path: Path, clock: ManualClock) -> None:
    """Who reads a log must not acknowledge with it."""
    url = links(tmp_path, clock).url(INCIDENT, "mail")
    shown = redact.text(f"GET {url} 410")
    assert shown == "GET https://monitor:8443/act/*** 410"
