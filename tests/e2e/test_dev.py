"""``hostpulse-server dev`` as a user runs it: enrol, send, read back, stop, start again."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from testbed.ports import free_port
from tests.support.polling import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(sys.executable).with_name("hostpulse-server")
PAUSE = 0.2  # between two requests, under the key's rate


class Dev:
    """A running ``hostpulse-server dev``."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], port: int) -> None:
        self.folder = folder
        self.data = folder / "hostpulse-dev"
        self.process = process
        self.output = ""  # all it printed, once it has ended
        self.url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """Tell whether it takes requests; fail with its output where it has ended."""
        assert self.process.poll() is None, self.process.communicate()[0]
        try:
            return requests.get(self.url + "/readyz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def get(self, path: str, **query: str) -> Any:
        """Ask as the admin that dev made."""
        key = (self.data / "admin.key").read_text().strip()
        response = requests.get(
            self.url + path, params=query, headers={"Authorization": f"Bearer {key}"}, timeout=10
        )
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, server_id: str, *seqs: int) -> requests.Response:
        """Send samples of this server, ten seconds apart and ending now."""
        key = (self.folder / "agent.key").read_text().strip()
        now = time.time_ns() // 1_000_000
        samples = [
            {
                "seq": seq,
                "time": now - 10_000 * (max(seqs) - seq),
                "interval_ms": 10_000,
                "points": [
                    {
                        "measurement": "cpu",
                        "tags": {"core": "total"},
                        "fields": {"usage_percent": 10 + seq},
                    }
                ],
            }
            for seq in seqs
        ]
        return requests.post(
            self.url + "/api/v1/metrics",
            json={
                "schema": 1,
                "server_id": server_id,
                "agent": {"version": "0.1.0", "stream": "6b1c1a52-0000-4000-8000-000000000001"},
                "samples": samples,
            },
            headers={"Authorization": f"Bearer {key}"},
            timeout=10,
        )


@contextmanager
def dev(folder: Path, port: int) -> Iterator[Dev]:
    """Run dev in ``folder`` until the end of the block, then press Ctrl-C."""
    process = subprocess.Popen(
        [PROGRAM, "dev", "--bind", f"127.0.0.1:{port}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HOSTPULSE_SHIPPER_BATCH_SECONDS": "0.1"},
    )
    running = Dev(folder, process, port)
    try:
        wait_until(running.is_ready, "dev answers", 120)
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        running.output, _ = process.communicate(timeout=60)
    assert process.returncode == 0


def wait_for_points(running: Dev, count: int) -> Any:
    """Return the only series once it has ``count`` points."""

    def points() -> Any:
        body = running.get("/api/v1/metrics", measurement="cpu", field="usage_percent")
        found = [one["points"] for one in body["series"]]
        return found[0] if found and len(found[0]) == count else None

    return wait_until(points, f"{count} points", pause=PAUSE)


def only_seen(running: Dev) -> Any:
    """Return the only server, ``None`` while it was never seen."""
    (server,) = running.get("/api/v1/servers")["servers"]
    return server if server["status"] != "never_seen" else None


def test_samples_come_back_and_survive_a_restart(tmp_path: Path) -> None:
    """Enrolled by the command shown, posted, read back; stopped by Ctrl-C and still there."""
    port = free_port()
    with dev(tmp_path, port) as running:
        enrolled = subprocess.run(
            [PROGRAM, "servers", "add", "web-01", "--config", "hostpulse-dev/server.toml",
             "--key-file", "agent.key"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert enrolled.returncode == 0, enrolled.stderr
        answer = wait_until(  # commands are in force within seconds
            lambda: got if (got := running.post("web-01", 1, 2, 3)).status_code != 401 else None,
            "the new key is known",
            pause=PAUSE,
        )
        assert answer.json()["accepted"] == 3
        assert [value for _, value in wait_for_points(running, 3)] == [11.0, 12.0, 13.0]
        assert running.data.stat().st_mode & 0o777 == 0o700
        for secret in ("admin.key", "store.db", "shipper.db", "state.db"):
            assert (running.data / secret).stat().st_mode & 0o077 == 0, secret
        # the books follow the store, and the api looks into them each second
        server = wait_until(lambda: only_seen(running), "the server is seen", pause=PAUSE)
        assert (server["id"], server["status"], server["completeness"]) == ("web-01", "up", 100.0)
        admin_key = (running.data / "admin.key").read_text().strip()
    with dev(tmp_path, port) as running:
        assert (running.data / "admin.key").read_text().strip() == admin_key
        assert len(wait_for_points(running, 3)) == 3
    assert "hostpulse-agent run --config hostpulse-dev/agent.toml" in running.output
    assert admin_key not in running.output


def test_a_second_one_in_the_same_folder_says_who_is_there(tmp_path: Path) -> None:
    """One shipper and one alert engine a data directory; the message names the process."""
    with dev(tmp_path, free_port()) as running:
        second = subprocess.run(
            [PROGRAM, "dev", "--bind", f"127.0.0.1:{free_port()}"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert second.returncode == 1
        # whichever of the two comes first
        told = rf"another (shipper|alert engine) \(process {running.process.pid}\) works in"
        assert re.search(told, second.stderr), second.stderr


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    """And says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed = subprocess.run(
            [PROGRAM, "dev", "--bind", f"127.0.0.1:{port}"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert failed.returncode == 1
    assert "name another with --bind" in failed.stderr
    assert "Traceback" not in failed.stderr
