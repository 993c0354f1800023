"""SIGKILL of influxd and of the shipper at any moment: what was acknowledged is stored once."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from testbed.influxdb.local import Influxd
from tests.e2e import influx
from tests.e2e.services import LONG, Site, kill
from tests.e2e.traffic import STREAM, Load
from tests.support.polling import wait_until

from hostpulse_server.shipper.last_seen import LastSeenReader

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

KILLS = 50 if LONG else 10
HOST = "web-01"
PAUSE = 0.01  # between two requests of a sender


class Victims:
    """Influxd and the shipper, killed and started again."""

    def __init__(self, site: Site, influxd: Influxd) -> None:
        self._site = site
        self._influxd = influxd
        self._shipper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the shipper."""
        self._shipper = self._site.start("ship")
        return self

    def __exit__(self, *_exc: object) -> None:
        """Kill the shipper."""
        self.kill_shipper()

    def kill_shipper(self) -> None:
        """Crash it."""
        if self._shipper is not None:
            kill(self._shipper)
            self._shipper = None

    def crash(self, number: int, load: Load, moments: random.Random) -> None:
        """Kill one of the two, or both a moment apart; more is acknowledged until they are back."""
        load.stop.wait(moments.uniform(0, 0.3))
        first = number % 3
        if first != 0:
            self._influxd.kill()
            load.stop.wait(moments.uniform(0, 0.3))
        if first != 1:
            self.kill_shipper()
        load.await_acknowledged(50)
        if first != 1:
            self._shipper = self._site.start("ship")
        if first != 0:
            self._influxd.resume()


def test_kills_of_store_and_shipper_lose_and_double_no_acknowledged_sample(tmp_path: Path) -> None:
    """Afterwards every 200 has its one value in InfluxDB and the books agree with the engine."""
    with ExitStack() as stack:
        influxd = stack.enter_context(Influxd.start(tmp_path / "influxd"))
        site = Site.make(
            tmp_path, f"[shipper]\nbatch_seconds = 0.2\n{influx.prepare(influxd, tmp_path)}"
        )
        load = Load(site, HOST, site.register([HOST])[HOST], PAUSE)
        stack.enter_context(site.running("api"))
        site.await_api()
        victims = stack.enter_context(Victims(site, influxd))
        moments = random.Random(7)  # noqa: S311  # moments to kill at
        with load.sending():
            for number in range(KILLS):
                before = site.shipped_to()
                load.await_acknowledged(50)
                wait_until(lambda: site.shipped_to() > before, "shipping goes on")  # noqa: B023
                victims.crash(number, load, moments)
        site.await_shipped()
        stored = values_by_seq(influxd, load)
    assert len(load.acknowledged) > KILLS * 100
    assert load.acknowledged - stored.keys() == set()
    assert all(values == [seq] for seq, values in stored.items())
    reader = LastSeenReader(site.config.paths.shipper)
    (stream,) = reader.ledger(HOST)
    assert (stream.stream, stream.missing, len(stream.ranges)) == (STREAM, 0, 1)
    assert stream.stored == len(stored)
    status = reader.status()
    assert status is not None
    assert dict(status.set_aside) == {}


def values_by_seq(influxd: Influxd, load: Load) -> dict[int, list[float]]:
    """Return seq → all values that InfluxDB has for its time, of whichever series."""
    found: dict[int, list[float]] = {}
    for row in influx.rows(influxd, f'filter(fn: (r) => r.server_id == "{load.server_id}")'):
        if row["_measurement"] == "cpu":
            seq = influx.time_ms(row) - load.begin_ms
            found.setdefault(seq, []).append(float(row["_value"]))
    return found
