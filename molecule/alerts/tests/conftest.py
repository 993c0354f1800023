"""Two things that go wrong on web-01, one after the other, and a person who is notified of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    Until = Callable[[Callable[[], object], float], None]

# Another program may take the free loop device first; and a new one has no file in a container.
MOUNT = """
truncate --size=64M /var/tmp/data.img
mkfs.ext4 -q -m 0 /var/tmp/data.img
mkdir -p /srv/data
for attempt in 1 2 3 4 5; do
  device=$(losetup --find)
  [ -b "$device" ] || mknod "$device" b 7 "${device#/dev/loop}" || true
  mount -o "loop=$device" /var/tmp/data.img /srv/data && exit 0
done
exit 1
"""
FILL, EMPTY = "fallocate --length 51M /srv/data/dump", "rm /srv/data/dump"
# As after a crash that nobody gets over: a stop that was said has two minutes of grace.
STOP = "systemctl kill --signal=KILL hostpulse-agent; systemctl stop hostpulse-agent"
START = "systemctl reset-failed hostpulse-agent; systemctl start hostpulse-agent"


@dataclass(frozen=True)
class Story:
    """One problem from beginning to end.

    ``taken`` is who had acknowledged it when its page had been looked at and no more; ``alert`` is
    what the server knows of it in the end.
    """

    firing: Any
    looked: tuple[int, str]
    taken: dict[str, Any] | None
    pressed: tuple[int, str]
    resolved: Any
    alert: dict[str, Any]


class Desk:
    """Lets things go wrong, and does what a person who is notified does."""

    def __init__(
        self,
        web: Host,
        people: Any,
        browser: Callable[..., tuple[int, str]],
        alerts: Callable[..., Any],
        until: Until,
    ) -> None:
        self._web = web
        self._people = people
        self._browser = browser
        self._alerts = alerts
        self._until = until

    def live_through(self, begin: str, end: str, *, number: int, link: int) -> Story:
        """Have a problem begin, acknowledge it by Slack's link (0) or the mail's (1), have it end.

        ``number`` is that of the message that tells of it.
        """
        self._web.check_output(begin)
        firing = self._people.await_told(number, 90)
        url = firing.links[link]
        looked = self._browser(url)
        (alert,) = self._alerts("history", "--limit", "1")
        taken = alert["acknowledged"]
        pressed = self._browser(url, do="acknowledge", name="Robin", comment="on it")
        self._web.check_output(end)
        resolved = self._people.await_told(number + 1, 90)

        def is_noted() -> bool:
            alert.update(self._alerts("show", str(alert["id"])))
            return len(alert["told"]) == 4

        # A message is noted as sent a moment after it has arrived.
        self._until(is_noted, 15)
        return Story(firing, looked, taken, pressed, resolved, alert)


@pytest.fixture(scope="session")
def web(host_of: Callable[[str], Host]) -> Host:
    """Return a host with a disk of its own, for data."""
    found = host_of("web-01")
    found.check_output("sh -euc %s", MOUNT)
    return found


@pytest.fixture(scope="session")
def desk(
    web: Host,
    people: Any,
    browser: Callable[..., tuple[int, str]],
    alerts: Callable[..., Any],
    until: Until,
) -> Desk:
    """Return who is notified; the disk is there, and empty, while people get ready."""
    return Desk(web, people, browser, alerts, until)


@pytest.fixture(scope="session")
def disk(desk: Desk) -> Story:
    """Return the story of the disk that was full."""
    return desk.live_through(FILL, EMPTY, number=1, link=0)


@pytest.fixture(scope="session")
def agent(desk: Desk, disk: Story) -> Story:
    """Return the story of the agent that had stopped, which came after that of the disk."""
    assert disk.alert["resolved"]
    return desk.live_through(STOP, START, number=3, link=1)


@pytest.fixture(params=["disk", "agent"])
def story(request: pytest.FixtureRequest) -> Story:
    """Return each of the stories."""
    found: Story = request.getfixturevalue(request.param)
    return found
