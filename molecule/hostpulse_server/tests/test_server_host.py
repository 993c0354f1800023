"""What the server's host looks like, with the store that it has by default."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    Until = Callable[[Callable[[], object], float], None]

UNITS = ("hostpulse-api.service", "hostpulse-shipper.service")
SERVER = "runuser -u hostpulse -- /opt/hostpulse/server/current/venv/bin/hostpulse-server"
DATA = "/var/lib/hostpulse"
VERIFY_KEY = "/etc/hostpulse/verify.key"
API = "http://127.0.0.1:8080"

# Sends one request from the host itself: URL, file with the key, file with the body or nothing.
REQUEST = """
import pathlib, sys, urllib.error, urllib.request
url, key, body = sys.argv[1:]
request = urllib.request.Request(url, data=body.encode() or None, headers={
    'Authorization': 'Bearer ' + pathlib.Path(key).read_text().strip(),
    'Content-Type': 'application/json'})
try:
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(answer.read().decode())
except urllib.error.URLError as error:
    sys.exit(str(error))
"""


@pytest.fixture(scope="module")
def monitor(host_of: Callable[[str], Host]) -> Host:
    """Return the scenario's only host."""
    return host_of("monitor")


def ready(monitor: Host) -> bool:
    """Return whether the api says that it can take samples."""
    probe = f"import urllib.request; urllib.request.urlopen('{API}/readyz', timeout=5)"
    return bool(monitor.run("python3 -c %s", probe).succeeded)


@pytest.mark.parametrize("unit", UNITS)
def test_every_service_runs_and_starts_with_the_host(monitor: Host, unit: str) -> None:
    """The services are restarted alone, and none of them needs a person after a reboot."""
    assert monitor.service(unit).is_running
    assert monitor.service(unit).is_enabled


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_locked_down(
    monitor: Host, exposure: Callable[[Host, str], float], unit: str
) -> None:
    """The score is systemd's own."""
    assert exposure(monitor, unit) <= 1.5


@pytest.mark.parametrize("unit", UNITS)
def test_a_killed_service_is_back_within_seconds(monitor: Host, unit: str, until: Until) -> None:
    """What crashed is started again, and the api is ready again."""
    show = f"systemctl show --property=MainPID --value {unit}"
    before = monitor.check_output(show)
    monitor.check_output(f"kill -KILL {before}")
    until(lambda: monitor.check_output(show) not in ("0", before), 30)
    until(lambda: monitor.service(unit).is_running and ready(monitor), 30)


def test_the_api_listens_for_the_proxy_only(monitor: Host, until: Until) -> None:
    """Nobody gets round TLS."""
    until(lambda: ready(monitor), 30)
    listening = monitor.check_output("ss -Hltn sport = :8080")
    assert "127.0.0.1:8080" in listening
    assert "0.0.0.0:8080" not in listening


def test_data_and_keys_are_for_their_owners_only(monitor: Host) -> None:
    """Another user of the host reads no sample and no key."""
    folder = monitor.file(DATA)
    assert (folder.user, folder.mode) == ("hostpulse", 0o700)
    assert (
        monitor.check_output(f"find {DATA} -type f ! -user hostpulse -o -type f -perm /077") == ""
    )
    key = monitor.file(VERIFY_KEY)
    assert (key.user, key.mode) == ("root", 0o600)


def test_the_key_shows_in_no_log_and_no_process_list(
    monitor: Host, shown: Callable[[Host, str], list[str]]
) -> None:
    """Whoever may read the journal or call ps has not thereby the key."""
    assert shown(monitor, VERIFY_KEY) == []


def answer_to(monitor: Host, query: str) -> list[dict[str, Any]]:
    """Return the series that the query API has, none as long as it does not answer."""
    url = f"{API}/api/v1/metrics?{query}"
    answer = monitor.run("python3 -c %s %s %s %s", REQUEST, url, VERIFY_KEY, "")
    return list(json.loads(answer.stdout)["series"]) if answer.succeeded else []


def test_the_hosts_own_agent_is_in_the_embedded_store(monitor: Host, until: Until) -> None:
    """What site.yml installed on one host delivers, and what the store says is true."""
    assert monitor.check_output(f"stat --format=%U {DATA}/store.db") == "hostpulse"
    shown: list[dict[str, Any]] = []

    def stored() -> bool:
        query = "server_id=monitor&measurement=memory&field=total_bytes&start=-1m&aggregate=last"
        shown[:] = answer_to(monitor, query)
        return bool(shown)

    until(stored, 60)
    kib = monitor.check_output("awk '$1 == \"MemTotal:\" { print $2 }' /proc/meminfo")
    assert [points["points"][-1][1] for points in shown] == [int(kib) * 1024]


def test_a_sample_goes_in_and_comes_out(monitor: Host, until: Until) -> None:
    """From a registered host's key to the query API, through all services."""
    until(lambda: ready(monitor), 30)
    key = "/var/lib/hostpulse/probe.key"
    now = int(time.time() * 1000)
    monitor.check_output(f"{SERVER} servers add probe --key-file {key}")
    point = {"measurement": "system", "tags": {}, "fields": {"load1": 0.25}}
    sample = {"seq": 1, "time": now, "interval_ms": 10000, "points": [point]}
    agent = {"version": "0.1.0", "stream": "5a0f5ae6-6fd1-4d0c-8f3c-0a4cbd3a3c11"}
    body = {"schema": 1, "server_id": "probe", "agent": agent, "samples": [sample]}

    def post() -> bool:
        sent = monitor.run(
            "python3 -c %s %s %s %s", REQUEST, f"{API}/api/v1/metrics", key, json.dumps(body)
        )
        return bool(sent.succeeded) and json.loads(sent.stdout)["accepted"] == 1

    def stored() -> bool:
        series = answer_to(monitor, "server_id=probe&measurement=system&field=load1")
        return [value for one in series for _, value in one["points"]] == [0.25]

    try:
        # A new key is in force within 5 seconds.
        until(post, 10)
        until(stored, 30)
    finally:
        monitor.check_output(f"{SERVER} servers remove probe")
        monitor.check_output(f"rm {key}")
