"""What InfluxDB's host looks like, and what each token may do from where it lies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    SeenFrom = Callable[[str, str], Any]
    Until = Callable[[Callable[[], object], float], None]

UNIT = "hostpulse-influxdb.service"
SECRETS = "/etc/hostpulse/influxdb"
OPERATOR = f"{SECRETS}/operator.token"
RAW, ROLLUP = "hostpulse_raw", "hostpulse_rollup"
# Where each token lies, and the buckets that it may read and write.
TOKENS: dict[tuple[str, str], tuple[set[str], set[str]]] = {
    ("monitor", "/etc/hostpulse/influxdb_write_token"): ({RAW}, {RAW, ROLLUP}),
    ("monitor", "/etc/hostpulse/influxdb_query_token"): ({RAW, ROLLUP}, set()),
    ("store", f"{SECRETS}/grafana.token"): ({RAW, ROLLUP}, set()),
    ("store", f"{SECRETS}/backup.token"): ({RAW, ROLLUP}, set()),
}
EACH_TOKEN = pytest.mark.parametrize("place", TOKENS, ids=lambda place: place[1].rpartition("/")[2])
SERVER = "/usr/local/sbin/hostpulse-server"


@pytest.fixture(scope="module")
def store(host_of: Callable[[str], Host]) -> Host:
    """Return InfluxDB's host."""
    return host_of("store")


@pytest.fixture(scope="module")
def monitor(host_of: Callable[[str], Host]) -> Host:
    """Return the server's host."""
    return host_of("monitor")


def test_the_named_version_runs_and_starts_with_the_host(store: Host, seen_from: SeenFrom) -> None:
    """What answers is what the archive's version says."""
    assert store.service(UNIT).is_running
    assert store.service(UNIT).is_enabled
    ((status, text),) = seen_from("store", "").ask(("GET", "/health", None))
    assert (status, json.loads(text)["version"]) == (200, "2.9.1")
    assert "/releases/2.9.1+" in store.check_output("readlink /opt/hostpulse/influxdb/current")


def test_the_unit_is_locked_down(store: Host, exposure: Callable[[Host, str], float]) -> None:
    """The score is systemd's own."""
    assert exposure(store, UNIT) <= 1.5
    assert "hostpulse-influxdb" in store.check_output("ps -o user:20= -C influxd")
    folder = store.file("/var/lib/hostpulse-influxdb")
    assert (folder.user, folder.mode) == ("hostpulse-influxdb", 0o700)


def test_a_killed_influxd_is_back_within_seconds(
    store: Host, seen_from: SeenFrom, until: Until
) -> None:
    """What crashed is started again, and answers again."""
    show = f"systemctl show --property=MainPID --value {UNIT}"
    before = store.check_output(show)
    store.check_output(f"kill -KILL {before}")
    until(lambda: store.check_output(show) not in ("0", before), 30)
    port = "ss -Hltn sport = :8086"
    until(lambda: "8086" in store.check_output(port), 30)
    assert seen_from("store", "").ask(("GET", "/health", None))[0][0] == 200


def test_telemetry_is_off_and_further_settings_reach_influxd(seen_from: SeenFrom) -> None:
    """The program itself says what it runs with."""
    ((status, text),) = seen_from("store", OPERATOR).ask(("GET", "/api/v2/config", None))
    assert status == 200
    config = json.loads(text)["config"]
    assert config["reporting-disabled"] is True
    assert config["pprof-disabled"] is True
    assert config["query-concurrency"] == 10


def test_nobody_gets_round_tls(store: Host) -> None:
    """Where others reach it, a request without TLS gets no answer."""
    plain = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8086/health')"
    assert not store.run("python3 -c %s", plain).succeeded


def test_the_buckets_keep_what_the_contract_says(seen_from: SeenFrom) -> None:
    """7 and 30 days, in groups of a day."""
    ((_, text),) = seen_from("store", OPERATOR).ask(("GET", "/api/v2/buckets?limit=100", None))
    rules = {one["name"]: one["retentionRules"] for one in json.loads(text)["buckets"]}
    for name, days in ((RAW, 7), (ROLLUP, 30)):
        (rule,) = rules[name]
        assert (rule["everySeconds"], rule["shardGroupDurationSeconds"]) == (days * 86400, 86400)


@EACH_TOKEN
def test_a_token_can_do_its_job_and_nothing_else(
    place: tuple[str, str], seen_from: SeenFrom
) -> None:
    """Reads and writes exactly its buckets; makes, lists and ends nothing."""
    reads, writes = TOKENS[place]
    influxdb = seen_from(*place)
    answers = influxdb.ask(
        *(influxdb.read(name) for name in (RAW, ROLLUP)),
        *(influxdb.write(name) for name in (RAW, ROLLUP)),
        ("GET", "/api/v2/authorizations", None),
        ("GET", "/api/v2/users", None),
        ("POST", "/api/v2/buckets", {"name": "mine", "orgID": "0" * 16, "retentionRules": []}),
        ("GET", "/api/v2/backup/metadata", None),
    )
    statuses = [status for status, _ in answers]
    assert {
        name for name, status in zip((RAW, ROLLUP), statuses, strict=False) if status == 200
    } == (reads)
    wrote = {
        name for name, status in zip((RAW, ROLLUP), statuses[2:], strict=False) if status == 204
    }
    assert wrote == writes
    for status, text in answers[4:6]:
        listed = json.loads(text) if status == 200 else {}
        assert not listed.get("authorizations")
        assert len(listed.get("users", [])) == 0
    assert all(status >= 400 for status in statuses[6:])


@EACH_TOKEN
def test_a_token_is_for_root_alone(place: tuple[str, str], host_of: Callable[[str], Host]) -> None:
    """Another user of the host reads none."""
    file = host_of(place[0]).file(place[1])
    assert (file.user, file.mode) == ("root", 0o600)


def test_the_operator_token_stays_on_its_host(store: Host, monitor: Host) -> None:
    """What may do everything is where InfluxDB is and nowhere else."""
    folder = store.file(SECRETS)
    assert (folder.user, folder.mode) == ("root", 0o700)
    assert store.file(OPERATOR).mode == 0o600
    assert not monitor.file(SECRETS).exists


@pytest.mark.parametrize(
    "place", [*TOKENS, ("store", OPERATOR)], ids=lambda place: place[1].rpartition("/")[2]
)
def test_a_secret_shows_nowhere(
    place: tuple[str, str],
    host_of: Callable[[str], Host],
    shown: Callable[[Host, str], list[str]],
) -> None:
    """Not in a journal, not in a process list, not in what the deployment said."""
    host = host_of(place[0])
    assert shown(host, place[1]) == []
    secret = host.file(place[1]).content_string.strip()
    checkout = Path(__file__).parents[4]
    log = checkout / ".cache" / "molecule" / f"{os.environ['MOLECULE_SCENARIO_NAME']}.log"
    assert not log.exists() or secret not in log.read_text(errors="replace")


def test_the_servers_commands_work_beside_the_store(monitor: Host, until: Until) -> None:
    """A person on the server's host sees the store's state and the quarantine."""
    output = [""]

    def well() -> bool:
        found = monitor.run(f"{SERVER} doctor")
        output[0] = found.stdout + found.stderr
        return bool(found.succeeded)

    until(well, 60)
    assert "influxdb" in output[0]
    assert monitor.run(f"{SERVER} quarantine list --json").succeeded
    strangers = "find /var/lib/hostpulse ! -user hostpulse"
    assert monitor.check_output(strangers) == ""
