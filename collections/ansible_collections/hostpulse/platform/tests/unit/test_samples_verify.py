"""The module ``samples_verify``, run against a real ``hostpulse-server dev``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import requests
from ansible.module_utils.testing import patch_module_args
from testbed.ports import free_port
from tests.support.http_server import QuietHandler, serving
from tests.support.polling import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

MODULE = Path(__file__).parents[2] / "plugins/modules/samples_verify.py"
PROGRAM = Path(sys.executable).with_name("hostpulse-server")
DEADLINE_S = 60


def send(url: str, server_id: str, key: Path, seq: int, time_ms: int) -> int:
    """Send one sample of this server; return the answer's status."""
    points = [{"measurement": "system", "tags": {}, "fields": {"load1": 0.5}}]
    sample = {"seq": seq, "time": time_ms, "interval_ms": 10_000, "points": points}
    stream = "6b1c1a52-0000-4000-8000-000000000001"
    return requests.post(
        f"{url}/api/v1/metrics",
        json={
            "schema": 1,
            "server_id": server_id,
            "agent": {"version": "0.1.0", "stream": stream},
            "samples": [sample],
        },
        headers={"Authorization": f"Bearer {key.read_text().strip()}"},
        timeout=10,
    ).status_code


def now_ms() -> int:
    """Return this machine's time."""
    return time.time_ns() // 1_000_000


class Estate:
    """A server that knows web-01, always sending, old-01, silent for a while, and new-01."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.reader = folder / "hostpulse-dev" / "admin.key"
        for name in ("web-01", "old-01", "new-01"):
            self.command("servers", "add", name, "--key-file", f"{name}.key")
        self.send_first("old-01", now_ms() - 90_000)

    def command(self, *arguments: str) -> None:
        """Administrate the server."""
        subprocess.run(
            [PROGRAM, *arguments, "--config", "hostpulse-dev/server.toml"],
            cwd=self.folder,
            capture_output=True,
            check=True,
        )

    def send_first(self, name: str, time_ms: int) -> None:
        """Send as soon as the server knows the key."""
        key = self.folder / f"{name}.key"
        wait_until(lambda: send(self.url, name, key, 1, time_ms) != 401, "the key is known")

    def keep_sending(self, stop: threading.Event) -> None:
        """Be the agent of web-01, in a hurry."""
        seq = 1
        while not stop.wait(0.3):
            seq += 1
            send(self.url, "web-01", self.folder / "web-01.key", seq, now_ms())


def is_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Tell whether the server answers; fail where it has ended."""
    assert process.poll() is None
    try:
        return requests.get(f"{url}/readyz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """Run a server and the agent of web-01 for all tests."""
    folder = tmp_path_factory.mktemp("dev")
    bind = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [PROGRAM, "dev", "--bind", bind],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOSTPULSE_SHIPPER_BATCH_SECONDS": "0.1"},
    )
    stop = threading.Event()
    try:
        wait_until(lambda: is_ready(process, f"http://{bind}"), "dev answers")
        running = Estate(folder, f"http://{bind}")
        agent = threading.Thread(target=running.keep_sending, args=(stop,))
        agent.start()
        yield running
        stop.set()
        agent.join()
    finally:
        stop.set()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@pytest.fixture
def prove(estate: Estate, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the module; give what it tells Ansible, in which no key ever is."""

    def run(*servers: str, **more: Any) -> dict[str, Any]:
        given = {
            "url": estate.url,
            "key_file": str(estate.reader),
            "servers": list(servers),
            "timeout": 2,
            **more,
        }
        with patch_module_args(given), pytest.raises(SystemExit) as exited:
            SourceFileLoader("__main__", str(MODULE)).exec_module(ModuleType("__main__"))
        text = capsys.readouterr().out
        secret = Path(str(given["key_file"]))
        assert not secret.exists() or secret.read_text().strip() not in text
        said: dict[str, Any] = json.loads(text)
        assert bool(exited.value.code) == bool(said.get("failed"))
        return said

    return run


def test_a_host_that_sends_is_fresh(prove: Any) -> None:
    """A sample that arrives after the start and can be read is the proof; nothing is changed."""
    said = prove("web-01", timeout=DEADLINE_S)
    assert (said["fresh"], said["stale"], said["changed"]) == (["web-01"], {}, False)
    assert said["report"] == ["web-01: fresh"]


def test_silent_hosts_are_told_with_what_is_known_of_them(prove: Any) -> None:
    """One that stopped, one that never sent and one that nobody registered are told apart."""
    said = prove("old-01", "new-01", "gone-01")
    assert said["fresh"] == []
    assert "last sample" in said["stale"]["old-01"]
    assert said["stale"]["new-01"].endswith("no sample ever")
    assert said["stale"]["gone-01"] == "not registered"
    assert all("SILENT" in line for line in said["report"])


def test_hosts_outside_the_inventory_are_listed(prove: Any) -> None:
    """What is registered and no longer in the inventory shows, and fails nothing."""
    said = prove("web-01", known=["web-01", "new-01"], timeout=DEADLINE_S)
    assert said["unknown"] == ["old-01"]
    assert "old-01: registered, but not in this inventory" in said["report"]


def test_a_key_that_the_server_does_not_know_is_told(prove: Any, tmp_path: Path) -> None:
    """The answer is 401, and the message leads to the server."""
    key = tmp_path / "reader.key"
    key.write_text("hp_abcdefghijkl_" + "s" * 43)
    said = prove("web-01", key_file=str(key))
    assert "did not answer a reader: HTTP 401" in said["msg"]


def test_the_key_is_sent_whatever_a_netrc_file_holds(
    prove: Any, estate: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though Ansible's own client would send what the host's user keeps for this name."""
    (tmp_path / "netrc").write_text("machine localhost login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    url = estate.url.replace("127.0.0.1", "localhost")  # the agent's own requests keep their key
    assert prove("web-01", url=url, timeout=DEADLINE_S)["fresh"] == ["web-01"]


def test_a_key_file_that_is_not_there_is_told(prove: Any, tmp_path: Path) -> None:
    """Without a server there is no key of its own to ask with."""
    said = prove("web-01", key_file=str(tmp_path / "none.key"))
    assert "run site.yml for the server first" in said["msg"]


@pytest.fixture
def stranger(self_signed: Any) -> Iterator[str]:
    """Run a TLS server whose certificate no authority of ours signed."""
    self_signed("ours")
    context = self_signed("theirs")
    with serving(QuietHandler, host="localhost", context=context) as server:
        yield f"https://localhost:{server.server_port}"


def test_a_server_of_another_authority_gets_no_key(
    prove: Any, stranger: str, tmp_path: Path
) -> None:
    """A wrong authority ends the proof with the verifier's words."""
    said = prove("web-01", url=stranger, ca_file=str(tmp_path / "ours.pem"))
    assert "CERTIFICATE_VERIFY_FAILED" in said["msg"]
