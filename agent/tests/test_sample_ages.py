"""Samples are as old as they are, whatever the host's clock says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent.tests.conftest import ManualClock

from hostpulse_agent import wire
from hostpulse_agent.sample_ages import SampleAges
from hostpulse_agent.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostpulse_agent.config import SpoolConfig
    from hostpulse_agent.stream import SampleId

HOUR = 3600.0
DAY = 24 * HOUR
DAY_MS = DAY * 1000


def make(sample_id: SampleId) -> bytes:
    """Encode the barest sample."""
    return wire.encode(sample_id._asdict())


class Host:
    """A host that samples every hour and cannot send; ``max_age`` is six days."""

    def __init__(self, config: SpoolConfig) -> None:
        self.config = config
        self.clock = ManualClock()
        self.boot_id = "first"
        self.spool = self.start()

    def start(self) -> Spool:
        """Start the agent."""
        return Spool(self.config, clock=self.clock, boot_id=self.boot_id)

    def restart(self) -> None:
        """Stop and start the agent."""
        self.spool.close()
        self.spool = self.start()

    def reboot(self) -> None:
        """Begin another boot, with a boot clock of its own."""
        self.spool.close()
        self.boot_id = "second"
        self.clock.mono = 30.0
        self.spool = self.start()

    def sample(self, count: int, every: float = HOUR) -> None:
        """Take samples, by default one an hour."""
        for _ in range(count):
            self.clock.advance(every)
            self.spool.append(int(self.clock.wall), make)

    @property
    def dropped(self) -> int:
        """How many samples were dropped for their age."""
        return self.spool.dropped_total


@pytest.fixture
def host(spool_config: SpoolConfig) -> Iterator[Host]:
    """Return a host that was started just now."""
    made = Host(spool_config)
    yield made
    made.spool.close()


def test_a_backlog_survives_a_clock_that_jumps_ahead(host: Host) -> None:
    """By a month: samples of this boot are as old as the boot clock says, before and after."""
    host.sample(48)
    host.clock.wall += 30 * DAY_MS
    host.sample(48)
    host.clock.wall -= 30 * DAY_MS
    host.sample(48)
    assert (len(host.spool), host.dropped) == (144, 0)
    host.sample(5)
    assert (len(host.spool), host.dropped) == (145, 4)


def test_ages_survive_a_restart_of_the_agent(host: Host) -> None:
    """The boot clock runs on."""
    host.sample(48)
    host.restart()
    host.clock.wall += 30 * DAY_MS
    host.sample(48)
    host.restart()
    host.sample(48)
    assert (len(host.spool), host.dropped) == (144, 0)
    host.sample(5)
    assert host.dropped == 4


def test_samples_of_another_boot_go_by_the_day_when_the_clock_comes_up_wrong(host: Host) -> None:
    """Their ages are not known: nothing goes for an hour, then a day's samples an hour."""
    host.sample(72)
    host.clock.wall += 30 * DAY_MS
    host.reboot()
    host.sample(59, every=60)
    assert host.dropped == 0
    host.sample(10, every=60)
    assert host.dropped == 24
    host.sample(60, every=60)
    assert host.dropped == 48
    host.sample(180, every=60)
    assert host.dropped == 72


def test_a_clock_that_is_right_again_within_the_hour_costs_nothing(host: Host) -> None:
    """Not even samples of an earlier boot."""
    host.sample(72)
    host.reboot()
    host.sample(2)
    host.clock.wall += 30 * DAY_MS
    host.sample(59, every=60)
    host.clock.wall -= 30 * DAY_MS
    host.sample(24)
    assert host.dropped == 0


def test_a_memory_without_ages_is_none() -> None:
    """Then a sample is as old as its timestamp says."""
    ages = SampleAges(ManualClock(), "first", {"boot_id": "first"})
    assert ages.present_ms(1, 5.0) == 5.0
    assert ages.cutoff_ms(DAY_MS, lambda: 5.0) is None
