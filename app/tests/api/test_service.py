"""``hostpulse-server api`` as a process: readiness, graceful stop, requests that never reach it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testbed.ports import free_port
from tests.support.polling import wait_until

from hostpulse_server.config import load
from hostpulse_server.state import open_engine, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

COMMAND = Path(sys.executable).with_name("hostpulse-server")
DEADLINE = 60.0


def configure(folder: Path) -> tuple[Path, int]:
    """Write a configuration and make the state database; return file and port."""
    port = free_port()
    path = folder / "server.toml"
    path.write_text(
        f'data_dir = "{folder}"\n[api]\nbind = "127.0.0.1:{port}"\n'
        '[journal]\nmin_free_bytes = "1MiB"\n'
    )
    return path, port


@contextmanager
def service(path: Path, notify: socket.socket, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the api, telling ``notify`` as it would tell systemd."""
    address = str(folder / "notify")
    notify.bind(address)
    notify.settimeout(DEADLINE)
    environ = {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}
    command = [str(COMMAND), "api", "--config", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environ) as process:
        try:
            yield process
        finally:
            process.kill()


def hear(notify: socket.socket, word: str) -> None:
    """Read states until ``word`` comes."""
    wait_until(lambda: notify.recv(4096).decode() == word, word)


def test_ready_means_accepting_and_a_stop_is_announced_and_graceful(tmp_path: Path) -> None:
    """READY, WATCHDOG, STOPPING in turn; the first request after READY is answered."""
    path, port = configure(tmp_path)
    engine = open_engine(load(path, {}).state.url)
    upgrade(engine)
    engine.dispose()
    with (
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notify,
        service(path, notify, tmp_path) as process,
    ):
        hear(notify, "READY=1")
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as client:
            client.request("GET", "/readyz", headers={"Connection": "close"})
            assert client.getresponse().status == 200
            client.request("GET", "/" + "x" * 9000, headers={"Connection": "close"})
            answer = client.getresponse()
            problem = json.loads(answer.read())
        assert answer.status == problem["status"] == 414
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["X-Request-ID"]
        hear(notify, "WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        hear(notify, "STOPPING=1")
        lines = process.communicate(timeout=DEADLINE)[1].decode().splitlines()
        assert process.returncode == 0
        assert all(json.loads(line)["level"] for line in lines)


def test_a_killed_worker_takes_no_figures_with_it(tmp_path: Path) -> None:
    """The master starts another, which counts on; so do the ones after a restart."""
    path, port = configure(tmp_path)
    engine = open_engine(load(path, {}).state.url)
    upgrade(engine)
    engine.dispose()
    asked = 0
    for _ in range(2):
        with (
            closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notify,
            service(path, notify, tmp_path) as process,
        ):
            hear(notify, "READY=1")
            for _ in range(2):
                for _ in range(3):
                    assert get(port, "/healthz")
                asked += 3
                line = f'endpoint="plumbing.healthz",method="GET",status="200"}} {asked}.0'
                assert line in get(port, "/metrics")
                (worker,) = (
                    Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                )
                os.kill(int(worker), signal.SIGKILL)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=DEADLINE)
        (tmp_path / "notify").unlink()
    assert [file.name for file in (tmp_path / "counters").iterdir()] == ["0"]


def get(port: int, path: str) -> str:
    """Return the answer to a request, sent again while the service has no worker."""

    def answer() -> str:
        with (
            suppress(OSError, http.client.HTTPException),
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as client,
        ):
            client.request("GET", path, headers={"Connection": "close"})
            return client.getresponse().read().decode()
        return ""

    return wait_until(answer, f"an answer to GET {path}")


def test_a_state_database_without_schema_stops_the_start_with_the_command_to_run(
    tmp_path: Path,
) -> None:
    """One line, exit 1, before any worker starts."""
    path, _ = configure(tmp_path)
    done = subprocess.run(
        [COMMAND, "--config", path, "api"],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert done.returncode == 1
    assert "hostpulse-server db upgrade" in done.stderr
    assert "Traceback" not in done.stderr
