"""After a rotation that was broken off and repeated, a failed upgrade, one that held, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    SeenFrom = Callable[[str, str], Any]
    Until = Callable[[Callable[[], object], float], None]

SECRETS = "/etc/hostpulse/influxdb"
OPERATOR = f"{SECRETS}/operator.token"
PLACES = (
    ("monitor", "/etc/hostpulse/influxdb_write_token"),
    ("monitor", "/etc/hostpulse/influxdb_query_token"),
    ("store", f"{SECRETS}/grafana.token"),
    ("store", f"{SECRETS}/backup.token"),
)
EACH = pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1].rpartition("/")[2])
HOME = "/opt/hostpulse/influxdb"


@EACH
def test_the_new_token_works_and_the_old_one_does_not(
    place: tuple[str, str], seen_from: SeenFrom
) -> None:
    """Whoever has an old one is shut out."""
    name, path = place
    new, old = seen_from(name, path), seen_from(name, f"/root/replaced/{path.rpartition('/')[2]}")
    assert new.ask(new.read("hostpulse_raw"))[0][0] == 200
    assert old.ask(old.read("hostpulse_raw"))[0][0] == 401


def test_each_purpose_has_one_token(seen_from: SeenFrom) -> None:
    """What the broken rotation had made ended with the old ones."""
    ((_, text),) = seen_from("store", OPERATOR).ask(("GET", "/api/v2/authorizations", None))
    names = sorted(
        one["description"].partition(" [")[0]
        for one in json.loads(text)["authorizations"]
        if one["description"].startswith("hostpulse ")
    )
    assert [name for name in names if name != "hostpulse operator"] == [
        "hostpulse backup", "hostpulse grafana", "hostpulse query", "hostpulse write"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "name"), [("api", "influxdb_query_token"), ("shipper", "influxdb_write_token")]
)
def test_each_service_runs_with_the_token_that_lies_there(
    host_of: Callable[[str], Host], unit: str, name: str
) -> None:
    """A service reads its token when it starts: it was restarted."""
    loaded = f"/run/credentials/hostpulse-{unit}.service/{name}"
    assert host_of("monitor").run(f"cmp {loaded} /etc/hostpulse/{name}").succeeded


def test_no_sample_was_lost(host_of: Callable[[str], Host], until: Until) -> None:
    """Rotation, restarts and upgrades cost no sequence number."""
    monitor = host_of("monitor")
    ask = (
        "import json, pathlib, urllib.request\n"
        "key = pathlib.Path('/etc/hostpulse/verify.key').read_text().strip()\n"
        "request = urllib.request.Request('http://127.0.0.1:8080/api/v1/servers/monitor',"
        " headers={'Authorization': 'Bearer ' + key})\n"
        "print(urllib.request.urlopen(request, timeout=20).read().decode())\n"
    )

    def whole() -> bool:
        server = json.loads(monitor.check_output("python3 -c %s", ask))
        return server["status"] == "up" and all(one["missing"] == 0 for one in server["ledger"])

    until(whole, 90)


def test_the_first_release_is_back_and_the_other_one_is_kept(
    host_of: Callable[[str], Host],
) -> None:
    """The rollback swapped the two releases that did run."""
    store = host_of("store")
    assert "/2.9.1+" in store.check_output(f"readlink {HOME}/current")
    assert "/2.9.1-2+" in store.check_output(f"readlink {HOME}/previous")
    assert "2.9.1+" in store.check_output("systemctl cat hostpulse-influxdb.service")
    assert store.service("hostpulse-influxdb.service").is_running
