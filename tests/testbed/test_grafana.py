"""A real Grafana: its archive has the shape that the role installs, and it does real work."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testbed.grafana.local import Grafana
from testbed.server import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.influxdb.local import Influxd

pytestmark = pytest.mark.grafana

GET = Path(__file__).parents[2] / "testbed" / "get"
UID = "engine-test"
BUCKET = "grafana_engine"


@pytest.fixture(scope="module")
def grafana(influxd: Influxd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    """Start one with a Flux data source from a file, over a bucket of its own."""
    bucket = influxd.bucket(BUCKET)
    source = {
        "name": "InfluxDB",
        "uid": UID,
        "type": "influxdb",
        "access": "proxy",
        "url": influxd.url,
        "jsonData": {"version": "Flux", "organization": "hostpulse", "defaultBucket": BUCKET},
        "secureJsonData": {"token": influxd.token(read=[bucket])},
    }
    home = tmp_path_factory.mktemp("grafana")
    sources = home / "provisioning" / "datasources"
    sources.mkdir(parents=True)
    document = {"apiVersion": 1, "datasources": [source]}
    (sources / "influxdb.yaml").write_text(json.dumps(document))  # JSON is YAML
    with Grafana.start(home, provisioning=home / "provisioning") as server:
        yield server


def test_the_archive_has_the_shape_that_the_role_installs() -> None:
    """One folder with the program, the defaults, the public files and the version."""
    got = subprocess.run([sys.executable, GET, "grafana"], stdout=subprocess.PIPE, check=True)
    with tarfile.open(got.stdout.decode().strip()) as packed:
        names = [Path(name) for name in packed.getnames()]
        (program,) = (entry for entry in packed if entry.name.endswith("/bin/grafana"))
    assert len({name.parts[0] for name in names}) == 1
    files = [name.relative_to(name.parts[0]) for name in names]
    inside = {str(name) for file in files for name in (file, *file.parents)}
    assert {"conf/defaults.ini", "conf/provisioning", "public", "VERSION"} <= inside
    assert program.mode & 0o111


def test_a_flux_query_through_a_data_source_from_a_file_returns_a_frame(
    grafana: Grafana, influxd: Influxd
) -> None:
    """Time range and window of the panel reach InfluxDB; the values come back as columns."""
    now_ms = time.time_ns() // 1_000_000
    influxd.write(BUCKET, "\n".join(f"cpu busy={n} {now_ms - n * 1000}" for n in (1, 2, 3)))
    frames = grafana.query(
        UID,
        f'from(bucket: "{BUCKET}") |> range(start: v.timeRangeStart, stop: v.timeRangeStop)'
        " |> aggregateWindow(every: v.windowPeriod, fn: sum)"
        ' |> group() |> sum() |> rename(columns: {_value: "busy"})',
        begin=str(now_ms - 2500),
        end=str(now_ms),
    )
    (frame,) = frames
    assert [field["name"] for field in frame["schema"]["fields"]] == ["busy"]
    assert frame["data"]["values"] == [[3]]


def test_a_query_that_influxdb_refuses_is_an_error_with_its_words(grafana: Grafana) -> None:
    """Not an empty frame, which a panel would show as "no data"."""
    with pytest.raises(EngineError, match="undefined identifier nonsense"):
        grafana.query(UID, "nonsense")


def test_nobody_gets_in_without_the_password(grafana: Grafana) -> None:
    """Neither with the vendor's own nor with none."""
    with pytest.raises(EngineError, match="GET /api/datasources: 401"):
        grafana.api("GET", "/api/datasources", login=("admin", "admin"))
    with pytest.raises(EngineError, match="GET /api/datasources: 401"):
        grafana.request("GET", "/api/datasources", None, {})
    command_line = Path(f"/proc/{grafana.pid}/cmdline").read_text()
    assert grafana.password not in command_line


def test_what_it_was_told_outlives_a_crash(grafana: Grafana) -> None:
    """The data is in its directory, and it comes back on the same port."""
    grafana.api("POST", "/api/folders", {"uid": "kept", "title": "Kept"})
    grafana.kill()
    grafana.resume()
    assert grafana.api("GET", "/api/folders/kept")["title"] == "Kept"


class Unlucky(Grafana):
    """Loses the race for its database at the first start."""

    starts = 0

    def resume(self) -> None:
        """End over it once."""
        Unlucky.starts += 1
        if Unlucky.starts == 1:
            raise EngineError("failed to create default organization: UNIQUE constraint failed")
        super().resume()


def test_a_start_that_lost_the_race_for_a_new_database_is_made_again(tmp_path: Path) -> None:
    """As the unit does in production."""
    with Unlucky.start(tmp_path) as grafana:
        assert grafana.api("GET", "/api/org")["name"]
    assert Unlucky.starts == 2
