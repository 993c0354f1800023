"""A server's host that is backed up by its timer: backups are tested, problems reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testinfra.host import Host

    Ask = Callable[..., Any]
    Until = Callable[[Callable[[], object], float], None]

COMMAND = "hostpulse-backup"
FOLDER = "/var/backups/hostpulse"
UNIT = "hostpulse-backup.service"


@pytest.fixture(scope="module")
def monitor(host_of: Callable[[str], Host]) -> Host:
    """Return the server's host."""
    return host_of("monitor")


@pytest.fixture
def scratch(monitor: Host) -> Iterator[str]:
    """Give a folder of backups of its own with a copy of the newest one, and settings for it."""
    place = "/var/backups/scratch"
    newest = listed(monitor)[-1]["name"]
    monitor.check_output(f"mkdir -p {place} && cp -a {FOLDER}/{newest} {place}/")
    edit = "import json, sys; settings = json.load(open('/etc/hostpulse/backup.json'));"
    edit += f"settings.update(directory='{place}', min_free_bytes=int(sys.argv[1]), results=None);"
    edit += f"json.dump(settings, open('{place}/settings.json', 'w'))"
    monitor.check_output("python3 -c %s %s", edit, str(2**60))
    yield place
    monitor.check_output(f"rm -r {place}")


def listed(host: Host) -> list[dict[str, Any]]:
    """Return the host's backups."""
    return list(json.loads(host.check_output(f"{COMMAND} list --json")))


def test_the_backup_was_tested_and_is_whole(monitor: Host) -> None:
    """State, InfluxDB with raw samples, configuration; each file as its manifest says."""
    newest = [one for one in listed(monitor) if one["raw"]][-1]
    assert newest["verified"], newest
    assert set(newest["kinds"]) == {"state", "influxdb", "configuration"}
    assert "is whole" in monitor.check_output(f"{COMMAND} verify {newest['name']}")


def test_only_root_reads_backups(monitor: Host) -> None:
    """They hold every key and token of the installation."""
    folder = monitor.file(FOLDER)
    assert (folder.user, folder.mode) == ("root", 0o700)
    newest = listed(monitor)[-1]["name"]
    assert monitor.check_output(f"find {FOLDER}/{newest} -type f -not -perm 0600") == ""


def test_the_timer_is_set_and_its_service_works_in_its_sandbox(
    monitor: Host, exposure: Callable[[Host, str], float]
) -> None:
    """It stops and starts InfluxDB, tests the backup as InfluxDB's user, and prunes."""
    timer = monitor.service("hostpulse-backup.timer")
    assert timer.is_running
    assert timer.is_enabled
    assert exposure(monitor, UNIT) <= 3.5
    done = monitor.run(f"systemctl start {UNIT}")
    assert done.succeeded, monitor.check_output(f"journalctl --no-pager -n 40 -u {UNIT}")
    assert monitor.service("hostpulse-influxdb.service").is_running
    assert listed(monitor)[-1]["verified"]
    assert not listed(monitor)[-1]["raw"]
    assert [one["raw"] for one in listed(monitor)].count(True) == 1


def test_a_service_that_is_killed_in_the_middle_leaves_influxdb_running(
    monitor: Host, until: Until
) -> None:
    """The marker of a killed run is found by what systemd runs after it."""
    monitor.check_output("systemctl stop hostpulse-influxdb.service")
    monitor.check_output(f"echo hostpulse-influxdb.service > {FOLDER}/.stopped")
    monitor.check_output(f"{COMMAND} resume")
    until(lambda: monitor.service("hostpulse-influxdb.service").is_running, 30)
    assert not monitor.file(f"{FOLDER}/.stopped").exists


def test_a_changed_file_is_found_and_named(monitor: Host, scratch: str) -> None:
    """One bit is enough."""
    name = listed(monitor)[-1]["name"]
    monitor.check_output(f"printf X | dd conv=notrunc of={scratch}/{name}/state/state.db")
    done = monitor.run(f"{COMMAND} --settings {scratch}/settings.json verify {name}")
    assert done.rc == 1
    assert "state/state.db has another SHA-256" in done.stderr


def test_too_little_disk_space_is_refused_with_numbers(monitor: Host, scratch: str) -> None:
    """Before anything is begun, and InfluxDB is not even stopped."""
    before = monitor.check_output(f"ls -A {scratch}")
    started = "systemctl show --property=ActiveEnterTimestamp hostpulse-influxdb.service"
    since = monitor.check_output(started)
    done = monitor.run(f"{COMMAND} --settings {scratch}/settings.json create")
    assert done.rc == 1
    assert "nothing was begun" in done.stderr
    assert "GiB" in done.stderr
    assert monitor.check_output(f"ls -A {scratch}").replace(".lock\n", "") == before
    assert monitor.check_output(started) == since


def test_the_server_measures_its_backups(monitor: Host, ask: Ask, until: Until) -> None:
    """Age, size and whether the last restore test passed, of each kind."""
    verified: dict[str, float] = {}

    def reported() -> bool:
        response = ask(monitor, "metrics", measurement="backup", field="verified", start="-5m")
        verified.update({one["tags"]["kind"]: one["points"][-1][1] for one in response["series"]})
        return set(verified) == {"state", "influxdb", "configuration"} and all(verified.values())

    until(reported, 120)


def test_no_secret_of_a_backup_shows(
    monitor: Host, shown: Callable[[Host, str], list[str]]
) -> None:
    """Neither the journal nor the process list has the token that it is made with."""
    assert shown(monitor, "/etc/hostpulse/influxdb/backup.token") == []
