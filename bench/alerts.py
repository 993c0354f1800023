"""From a sample posted to its alert received, beside vmalert and Alertmanager in the same run.

``python -m bench.alerts [--events 200] [--json FILE]``: on loopback, our api and alert engine with
``for: 0s`` and ``group_wait: 0s``, and a peer set up to be as quick as it can (bench.alerts_peer).
An event is one sample over the threshold for a host that was quiet until then; it has come through
when the receiver's post names that host. Both get their events at the same times.
Ours carry a whole sample of a 4-core host, the peer's a single value. Exit status 1 when a bar is
missed or an event did not come through.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from bench import alerts_peer, ingest_sample
from bench.alerts_receiver import receiving
from bench.ingest import serving
from bench.report import Row, save, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.alerts_receiver import AlertsReceiver

DEADLINE = 15.0
SETTLE_SECONDS = 15.0
PAUSE_SECONDS = (0.12, 0.4)  # never more than the 10 messages a second allowed here
_PROGRAM = str(Path(sys.executable).with_name("hostpulse-server"))
_RULES = """\
rules:
  - name: cpu_usage
    summary: "CPU {{ value }} % on {{ server_id }}"
    measurement: cpu
    field: usage_percent
    where: {core: total}
    levels: {warning: {above: 80}}
"""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200, help="for each of the two")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    missing = [name for name in alerts_peer.PROGRAMS if shutil.which(name) is None]
    if missing:
        sys.exit(
            f"{', '.join(missing)} missing; "
            "run: apt-get install victoria-metrics prometheus-alertmanager"
        )
    with tempfile.TemporaryDirectory(prefix="hostpulse-bench-") as folder:
        times = measure(Path(folder), options.events)
    rows = [
        Row("p50, posted → received", _percentile(times["ours"], 50), "ms", 50.0),
        Row("p99", _percentile(times["ours"], 99), "ms", 1000.0),
        Row("p50 of vmalert + Alertmanager", _percentile(times["peer"], 50), "ms"),
        Row("p99 of vmalert + Alertmanager", _percentile(times["peer"], 99), "ms"),
        Row(
            "p50, ours by theirs",
            _percentile(times["ours"], 50) / _percentile(times["peer"], 50),
            "x",
        ),
    ]
    print(table(f"alerts: {options.events} events each", rows))
    if options.json:
        save(options.json, {"milliseconds": times})
    return 0 if all(row.held for row in rows) else 1


def measure(folder: Path, events: int) -> dict[str, list[float]]:
    """Return milliseconds from post to receipt for both."""
    with ExitStack() as stack:
        receivers = {name: stack.enter_context(receiving()) for name in ("ours", "peer")}
        posts: dict[str, Callable[[str, float], None]] = {
            "ours": stack.enter_context(_ours(folder, receivers["ours"][1], events)),
            "peer": stack.enter_context(alerts_peer.running(folder, receivers["peer"][1])).post,
        }
        # a host that is watched has been heard of before; the peer finds a new series after 10 s
        for number in range(events):
            for post in posts.values():
                post(f"bench-{number}", 10.0)
        time.sleep(SETTLE_SECONDS)
        begun: dict[str, list[float]] = {name: [] for name in posts}
        rng = random.Random(8)  # noqa: S311  # an evaluation each second must not set the pace
        for number in range(events):
            for name, post in posts.items():
                begun[name].append(time.monotonic())
                post(f"bench-{number}", 99.0)
            time.sleep(rng.uniform(*PAUSE_SECONDS))
        return {
            name: [
                1000 * (_heard(name, receivers[name][0], f"bench-{number}") - at)
                for number, at in enumerate(begun[name])
            ]
            for name in posts
        }


def _heard(name: str, receiver: AlertsReceiver, server_id: str) -> float:
    heard = receiver.wait(server_id, DEADLINE)
    if heard is None:
        raise RuntimeError(f"{name}: nothing was heard of {server_id} within {DEADLINE:g} s")
    return heard


@contextmanager
def _ours(folder: Path, receiver: str, hosts: int) -> Iterator[Callable[[str, float], None]]:
    """Run the api and the alert engine; yield what posts a sample."""
    config = _configure(folder, receiver)
    keys = _register(config, hosts)
    with serving([_PROGRAM, f"--config={config}", "api"]) as port, _engine(folder, config):
        session = requests.Session()
        rng = random.Random(7)  # noqa: S311  # made-up figures
        url = f"http://127.0.0.1:{port}/api/v1/metrics"

        def post(server_id: str, value: float) -> None:
            sample = ingest_sample.sample(1, time.time_ns() // 1_000_000, rng)
            sample["points"][0]["fields"]["usage_percent"] = value
            body = ingest_sample.envelope(server_id, str(uuid.uuid4()), [sample])
            answer = session.post(
                url, json=body, headers={"Authorization": f"Bearer {keys[server_id]}"}, timeout=10
            )
            answer.raise_for_status()

        yield post


def _configure(folder: Path, receiver: str) -> Path:
    (folder / "data").mkdir()
    (folder / "rules.yml").write_text(_RULES)
    secret = folder / "slack_webhook_url"
    secret.touch(0o600)
    secret.write_text(receiver)
    config = folder / "server.toml"
    config.write_text(
        f'data_dir = "{folder / "data"}"\n'
        '[api]\nrate_limit = "1000000/second"\n'
        '[journal]\nmin_free_bytes = "64MiB"\n'
        f'[alerts]\nrules = ["{folder / "rules.yml"}"]\ngroup_by = ["server_id"]\n'
        'group_wait = "0s"\nmessages_per_minute = 600\n'
        '[channels.slack]\nkind = "slack"\nwebhook_url_file = "slack_webhook_url"\n'
        "allow_private = true\n"
    )
    return config


def _register(config: Path, hosts: int) -> dict[str, str]:
    subprocess.run(
        [_PROGRAM, f"--config={config}", "db", "upgrade"], check=True, stdout=subprocess.DEVNULL
    )
    from hostpulse_server.config import load  # noqa: PLC0415  # after the arguments
    from hostpulse_server.registry import Registry  # noqa: PLC0415  # as above
    from hostpulse_server.state import open_engine  # noqa: PLC0415  # as above

    engine = open_engine(load(config, {}).state.url)
    registry = Registry(engine)
    keys = {}
    for number in range(hosts):
        added = registry.add({"id": f"bench-{number}"})
        assert added.key is not None  # noqa: S101  # one is made when none is given
        keys[added.server.id] = added.key.text
    engine.dispose()
    return keys


@contextmanager
def _engine(folder: Path, config: Path) -> Iterator[None]:
    log = folder / "alert.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([_PROGRAM, f"--config={config}", "alert"], stderr=output) as process,
    ):
        deadline = time.monotonic() + DEADLINE
        while b"ready" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    sys.exit(main())
