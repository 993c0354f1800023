"""Alerts to tell and receivers that are real: HTTP, HTTPS by a private authority, SMTP."""

from __future__ import annotations

import dataclasses
import ssl
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from agent.tests.conftest import Authority
from tests.support.clock import ManualClock
from tests.support.slack_receiver import SlackReceiver

from hostpulse_server.notifications.channels import AlertDetails, Notification
from hostpulse_server.notifications.channels.http import HttpPoster, trusted
from hostpulse_server.notifications.channels.rendering import Templates
from hostpulse_server.notifications.channels.slack import Slack
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_795_387_200_000
ALERT = AlertDetails(
    id=17,
    rule="disk_used",
    server_id="web-01",
    server_name="web-01.example.org",
    severity="critical",
    state="firing",
    summary="Disk /var is 96.2 % full on web-01",
    started_ms=T0 - 725_000,
    fired_ms=T0 - 425_000,
    value=96.2,
    threshold=90.0,
    comparison="above",
    measurement="disk",
    field="used_percent",
    tags={"mount": "/var"},
    labels={"env": "production", "role": "web"},
    runbook="https://wiki.example.org/runbooks#disk_used",
    dashboard="https://grafana.example.org/d/server?var-server=web-01",
    trend=(71.0, 80.0, 89.0, 91.0, 96.2),
    processes=({"name": "postgres", "pid": 812, "cpu_percent": 92.13, "rss_bytes": 3_300_000_000},),
    others=("warning: I/O pressure 41 %, for 3 min",),
)
FIRING = Notification(
    kind="firing",
    channel="chat",
    site="example",
    severity="critical",
    created_ms=T0,
    incident="ab12cd",
    environment="production",
    alerts=(ALERT,),
    firing=1,
    servers=1,
    act_url="https://monitor.example.org:8443/act/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_",
    timezone="Europe/Berlin",
)
OVER = dataclasses.replace(
    ALERT, state="resolved", resolved_ms=T0 + 600_000, reason="cleared", value=71.3
)
RESOLVED = dataclasses.replace(
    FIRING,
    kind="resolved",
    number=2,
    created_ms=T0 + 600_500,
    alerts=(OVER,),
    firing=0,
    resolved=1,
    reason="cleared",
)


GONE = dataclasses.replace(
    RESOLVED,
    alerts=(dataclasses.replace(OVER, reason="gone", value=96.2),),
    reason="gone",
)
FALLEN = dataclasses.replace(
    FIRING,
    kind="update",
    severity="warning",
    number=2,
    alerts=(dataclasses.replace(ALERT, severity="warning", previous_severity="critical"),),
)
OOM = dataclasses.replace(
    OVER,
    rule="oom_kill",
    severity="warning",
    summary="The kernel killed 2 processes for want of memory on web-01",
    value=0.0,
    worst=2.0,
    threshold=0.5,
    measurement="kernel",
    field="oom_kills_total",
    tags={},
    trend=(),
    others=(),
    runbook="docs/runbooks.md#oom_kill",
    started_ms=T0,
    fired_ms=T0,
    resolved_ms=T0 + 900_000,
)
WAS = dataclasses.replace(
    RESOLVED,
    kind="was",
    number=1,
    severity="warning",
    created_ms=T0 + 7_200_000,
    alerts=(OOM,),
    act_url="",
)
MANY_WAS = dataclasses.replace(
    WAS,
    alerts=(
        OOM,
        dataclasses.replace(
            OOM,
            id=18,
            server_id="web-02",
            server_name="web-02",
            summary="The kernel killed 1 process for want of memory on web-02",
        ),
    ),
    resolved=2,
    servers=2,
)


LINK = dataclasses.replace(
    ALERT,
    rule="link_down",
    severity="warning",
    summary="eth0 is down on web-01",
    value=0.0,
    threshold=0.5,
    comparison="below",
    measurement="network",
    field="link_up",
    tags={"interface": "eth0"},
    trend=(),
    processes=(),
    others=(),
    runbook="docs/runbooks.md#link_down",
    started_ms=T0 - 70_000,
    fired_ms=T0 - 70_000,
)
FLAPPING = dataclasses.replace(
    FIRING,
    kind="flapping",
    severity="warning",
    number=2,
    alerts=(
        dataclasses.replace(
            LINK,
            flap="flapping",
            changes=7,
            changed_within_ms=2_520_000,
            is_quiet=True,
            value=1.0,
            worst=0.0,
        ),
    ),
    group={"server_id": "web-01"},
)
STEADY = dataclasses.replace(
    FLAPPING,
    kind="steady",
    number=3,
    created_ms=T0 + 1_130_000,
    alerts=(dataclasses.replace(LINK, flap="steady", changed_within_ms=1_200_000),),
)
STEADY_OVER = dataclasses.replace(
    RESOLVED,
    severity="warning",
    number=3,
    created_ms=T0 + 1_230_000,
    alerts=(
        dataclasses.replace(
            LINK,
            state="resolved",
            resolved_ms=T0 + 30_000,
            reason="cleared",
            flap="steady",
            changed_within_ms=1_200_000,
            value=1.0,
            worst=0.0,
        ),
    ),
    group={"server_id": "web-01"},
)


def ailing() -> Notification:
    """Return the first message of a host with several alerts: each is in it once."""
    rules = {"cpu_usage": "CPU 97 %", "memory_usage": "Memory 93 % used"}
    alerts = tuple(
        dataclasses.replace(
            ALERT, id=20 + i, rule=rule, severity="warning", summary=f"{text} on web-01", tags={}
        )
        for i, (rule, text) in enumerate(rules.items())
    )
    values: dict[str, Any] = {"alerts": (ALERT, *alerts), "group": {"server_id": "web-01"}}
    return dataclasses.replace(FIRING, firing=3, **values)


def storm(shown: int = 20, firing: int = 1000, servers: int = 970) -> Notification:
    """Return a message of a group that is too large for it."""
    alerts = tuple(
        dataclasses.replace(
            ALERT,
            id=i,
            server_id=f"web-{i:02}",
            server_name="",
            summary=f"Disk /var is 96 % full on web-{i:02}",
            severity="critical" if i < 3 else "warning",
        )
        for i in range(shown)
    )
    return dataclasses.replace(FIRING, alerts=alerts, firing=firing, servers=servers)


def partial_end() -> Notification:
    """Return a message that a part of a group is over."""
    still = tuple(
        dataclasses.replace(one, severity="warning") for one in storm(10, firing=17).alerts
    )
    over = tuple(
        dataclasses.replace(
            OVER,
            id=one.id + 20,
            server_id=f"db-{one.id:02}",
            server_name="",
            summary=f"Disk /var is 96 % full on db-{one.id:02}",
        )
        for one in still
    )
    return dataclasses.replace(
        FIRING,
        kind="update",
        severity="warning",
        number=2,
        alerts=(*still, *over),
        firing=17,
        resolved=13,
        servers=17,
        is_partial=True,
    )


def all_texts(item: Any) -> list[str]:
    """Return every text in JSON-like data, keys included."""
    if isinstance(item, dict):
        return [text for pair in item.items() for one in pair for text in all_texts(one)]
    if isinstance(item, list):
        return [text for one in item for text in all_texts(one)]
    return [item] if isinstance(item, str) else []


@pytest.fixture(autouse=True)
def secrets_of_one_test() -> Iterator[None]:
    """Forget what a test made known as secret."""
    before = set(redact._known)
    yield
    redact._known.clear()
    redact._known.update(before)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a private CA."""
    return Authority(tmp_path_factory.mktemp("authority"), "channels-test-ca")


@pytest.fixture(scope="session")
def trust(authority: Authority) -> ssl.SSLContext:
    """Return a client's context that trusts the private CA only."""
    return ssl.create_default_context(cafile=str(authority.ca_file))


@pytest.fixture
def receiver() -> Iterator[SlackReceiver]:
    """Return a receiver on plain HTTP."""
    with SlackReceiver() as made:
        yield made


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands at T0."""
    return ManualClock(T0)


@cache
def system_trust() -> ssl.SSLContext:
    """Return what a channel trusts by itself; reading it costs 30 ms, so once is enough."""
    return trusted()


def poster(url: str, **options: Any) -> HttpPoster:
    """Return a poster that may speak to the loopback."""
    defaults = {"allow_private": True, "clock": ManualClock(T0), "trust": system_trust()}
    return HttpPoster(url, **{**defaults, **options})


def slack(receiver: SlackReceiver, templates: Path | None = None) -> Slack:
    """Return a channel to a receiver."""
    return Slack("chat", poster(receiver.url), Templates(templates))


def sent(receiver: SlackReceiver, notification: Notification) -> dict[str, Any]:
    """Send and return what arrived."""
    slack(receiver).send(notification, message_id="m-1")
    payload: dict[str, Any] = receiver.await_posts(1)[-1].payload
    return payload
