"""The commands, as a person or a playbook calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from agent.tests.conftest import KEY, Authority, Receiver

from hostpulse_agent import cli, diagnostics, status
from hostpulse_agent.config import SpoolConfig
from hostpulse_agent.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def configuration(tmp_path: Path, receiver: Receiver) -> Path:
    """Return a configuration file for a plain server on the loopback."""
    path = tmp_path / "agent.toml"
    path.write_text(
        f'server_id = "web-01"\n[server]\nurls = ["{receiver.url}"]\n'
        f'[spool]\npath = "{tmp_path}/spool.db"\n'
    )
    return path


def failing(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the findings of `check --json` that are not in order."""
    findings = json.loads(capsys.readouterr().out)
    return [finding for finding in findings if not finding["ok"]]


def test_once_prints_a_sample_with_rates(capsys: pytest.CaptureFixture[str]) -> None:
    """No configuration, no server; two readings, so rates are there."""
    assert cli.main(["once"]) == 0
    sample = json.loads(capsys.readouterr().out)
    fields = {
        (point["measurement"], name) for point in sample["points"] for name in point["fields"]
    }
    assert {("cpu", "usage_percent"), ("memory", "total_bytes"), ("disk", "used_percent")} <= fields
    assert ("system", "context_switches_per_second") in fields
    assert sample["seq"] == 1


def test_check_passes_when_all_is_well(
    configuration: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a part; the configuration may be named on either side of the command."""
    assert cli.main(["--config", str(configuration), "check"]) == 0
    before = capsys.readouterr().out
    assert cli.main(["check", "--config", str(configuration)]) == 0
    assert before.count("ok") >= 5
    assert "FAIL" not in before
    assert KEY not in before


def test_check_names_a_key_that_others_can_read(
    configuration: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that repairs it."""
    key_file.chmod(0o666)
    assert cli.main(["check", "--json", "--config", str(configuration)]) == 1
    (finding,) = failing(capsys)
    assert f"chmod 600 {key_file}" in finding["text"]


def test_check_names_a_wrong_ca(
    configuration: Path,
    key_file: Path,
    authority: Authority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """TLS errors are reported as `run` reports them."""
    other = Authority(tmp_path, "other-ca")
    server = Receiver(authority.server_context())
    text = f'server_id = "web-01"\n[server]\nurls = ["{server.url}"]\nca_file = "{other.ca_file}"\n'
    configuration.write_text(text + f'[spool]\npath = "{tmp_path}/spool.db"\n')
    assert cli.main(["check", "--json", "--config", str(configuration)]) == 1
    (finding,) = failing(capsys)
    assert "not signed by" in finding["text"]
    server.close()


@pytest.mark.parametrize(
    ("answer", "part", "words"),
    [
        ((401, {}, {"detail": "no such key"}), "authentication", "no such key"),
        ((409, {}, {}), "authentication", "another machine"),
        ((200, {}, {"accepted": 0}), "clock", "server_time"),
        ((200, {}, {"server_time": 1000}), "clock", "synchronisation"),
        ("reset", "server", "cut"),
    ],
)
def test_check_reports_why_the_server_refuses(  # noqa: PLR0913, PLR0917 -- fixtures and cases
    configuration: Path,
    key_file: Path,
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
    answer: Any,
    part: str,
    words: str,
) -> None:
    """Authentication and clock, each with what to do."""
    receiver.answers = lambda _request: answer
    assert cli.main(["check", "--json", "--config", str(configuration)]) == 1
    (finding,) = failing(capsys)
    assert finding["part"] == part
    assert words in finding["text"]


def test_check_offline_needs_neither_key_nor_server(
    configuration: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """For rendering a configuration before the rest is there."""
    assert cli.main(["--config", str(configuration), "check", "--offline"]) == 0
    capsys.readouterr()
    configuration.write_text("server_id = 5\nsurplus = 1\n")
    assert cli.main(["--config", str(configuration), "check", "--offline", "--json"]) == 1
    assert len(failing(capsys)) == 3
    assert receiver.received == []


def test_check_names_a_spool_that_cannot_be_written(configuration: Path, key_file: Path) -> None:
    """It would work in memory, but not survive a restart."""
    text = configuration.read_text().replace("/spool.db", "/none/spool.db")
    configuration.write_text(text)
    found = diagnostics.check(str(configuration), {})
    assert [finding.part for finding in found if not finding.ok] == ["spool"]


def test_key_init_makes_the_key_and_never_shows_it(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the configuration's directory, or at --key-file; a second call prints the same."""
    assert cli.main(["--config", str(configuration), "key", "init"]) == 0
    first = capsys.readouterr().out
    secret = (tmp_path / "agent.key").read_text().strip()
    assert json.loads(first)["id"] == secret[3:15]
    assert secret not in first
    assert cli.main(["key", "init", "--config", str(configuration), "--json"]) == 0
    assert capsys.readouterr().out == first
    assert cli.main(["key", "init", "--key-file", str(tmp_path / "other.key")]) == 0
    assert (tmp_path / "other.key").exists()


def test_status_and_spool_show_what_waits(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also while no agent runs, and when there was none yet."""
    assert cli.main(["status", "--config", str(configuration)]) == 0
    assert "0 samples" in capsys.readouterr().out
    spool = Spool(SpoolConfig(path=str(tmp_path / "spool.db"), max_samples=3, min_free_bytes=0))
    for n in range(5):
        spool.append(1_800_000_000_000 + n, lambda _place: b"{}")
    assert cli.main(["status", "--config", str(configuration)]) == 0
    shown = capsys.readouterr().out
    assert "3 samples" in shown
    assert "spool_full 2" in shown
    assert cli.main(["spool", "--config", str(configuration)]) == 0
    assert "seq 3 to 5" in capsys.readouterr().out
    spool.close()


def test_a_spool_that_is_none_is_an_error_not_a_trace(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do."""
    (tmp_path / "spool.db").write_text("nonsense" * 1000)
    assert cli.main(["spool", "--config", str(configuration)]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_faulty_configuration_ends_run_with_all_faults(
    configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is touched."""
    configuration.write_text("surplus = 1\n")
    assert cli.main(["--config", str(configuration), "run"]) == 1
    logged = capsys.readouterr().err
    assert logged.count(str(configuration)) == 3
    assert "Traceback" not in logged


def test_a_torn_status_file_is_no_status(tmp_path: Path) -> None:
    """The reader may come in the middle of a write."""
    path = tmp_path / "status.json"
    path.write_text('{"sample": ')
    assert status.read(str(path)) == {}
    file = status.StatusFile(str(path))
    file.write({"pid": 1, "long": "x" * 500})
    file.write({"pid": 2})
    assert status.read(str(path)) == {"pid": 2}
    file.close()
    status.StatusFile(str(tmp_path / "none" / "status.json")).write({})


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["once"], 0), (["check", "--offline"], 1)]
)
def test_a_reader_that_left_is_no_error(tmp_path: Path, arguments: list[str], status: int) -> None:
    """As `| head` leaves: no traceback, and the status is the command's own."""
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hostpulse_agent", *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=buffered,
            cwd=tmp_path,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (status, "")
