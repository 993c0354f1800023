"""The peer of ``bench.alerts``: VictoriaMetrics, vmalert and Alertmanager, Debian's packages.

Set up to be as quick as they can: rules evaluated each second, nothing held back
(``-search.latencyOffset=0s``, ``group_wait: 0s``), the datasource asked for now.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import requests
import yaml
from testbed.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAMS = ("victoria-metrics", "vmalert", "prometheus-alertmanager")
START_SECONDS = 30.0
_RULES = {
    "groups": [
        {
            "name": "bench",
            "interval": "1s",
            "rules": [
                {
                    "alert": "cpu_usage",
                    "expr": "cpu_usage_percent > 80",
                    "labels": {"severity": "warning"},
                    "annotations": {"summary": "CPU {{ $value }} % on {{ $labels.server_id }}"},
                }
            ],
        }
    ]
}


class Peer:
    """Where samples are posted."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()

    def post(self, server_id: str, value: float) -> None:
        """Write one sample; returns once it is taken."""
        line = f'cpu_usage_percent{{server_id="{server_id}"}} {value}\n'
        answer = self._session.post(
            f"{self._url}/api/v1/import/prometheus", data=line.encode(), timeout=10
        )
        answer.raise_for_status()


@contextmanager
def running(folder: Path, receiver: str) -> Iterator[Peer]:
    """Run all three on loopback; alerts go to ``receiver``."""
    store, alert, manager = (free_port() for _ in PROGRAMS)
    (folder / "vmalert.yml").write_text(yaml.safe_dump(_RULES))
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(_manager(receiver)))
    commands = {
        store: [
            "victoria-metrics",
            f"-storageDataPath={folder / 'store'}",
            f"-httpListenAddr=127.0.0.1:{store}",
            "-search.latencyOffset=0s",
        ],
        manager: [
            "prometheus-alertmanager",
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'manager'}",
            f"--web.listen-address=127.0.0.1:{manager}",
            "--cluster.listen-address=",
        ],
        alert: [
            "vmalert",
            f"-rule={folder / 'vmalert.yml'}",
            f"-datasource.url=http://127.0.0.1:{store}",
            f"-notifier.url=http://127.0.0.1:{manager}",
            f"-httpListenAddr=127.0.0.1:{alert}",
            "-evaluationInterval=1s",
        ],
    }
    paths = {store: "health", manager: "-/ready", alert: "health"}
    with ExitStack() as stack:
        for port, command in commands.items():
            stack.enter_context(_program(folder / f"{command[0]}.log", command))
            _await(f"http://127.0.0.1:{port}/{paths[port]}")
        yield Peer(f"http://127.0.0.1:{store}")


def _manager(receiver: str) -> dict[str, object]:
    return {
        "route": {
            "receiver": "bench",
            "group_by": ["server_id"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "4h",
        },
        "receivers": [{"name": "bench", "webhook_configs": [{"url": receiver}]}],
    }


@contextmanager
def _program(log: Path, command: list[str]) -> Iterator[None]:
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _await(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            requests.get(url, timeout=2).raise_for_status()
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
