"""The administrative commands, run on a real configuration and state database."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.support.golden import golden
from tests.support.installation import Installation

from hostpulse_server import state
from hostpulse_server.cli import COMMANDS, root
from hostpulse_server.errors import HostpulseError
from hostpulse_server.evaluation.accounting import StreamAccount
from hostpulse_server.state import writing
from hostpulse_server.state.alert_models import AlertProgressRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostpulse_server.registry import Registry

KEY_LENGTH = 59
START = "from hostpulse_server.cli import main; main()"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Installation]:
    """Return commands on an empty registry."""
    with closing(Installation(tmp_path, '[api]\nbind = "127.0.0.1:1"\n')) as made:
        made.make_database()
        yield made


@pytest.fixture
def registry(run: Installation) -> Registry:
    """Return what a running service would see."""
    return run.registry


def test_a_server_is_added_and_its_key_printed_once(run: Installation, registry: Registry) -> None:
    """Stdout holds the key and nothing else, so that it can be piped."""
    result = run("servers", "add", "web-01", "--label", "env=prod", "--allow-from", "10.0.0.0/8")
    text = result.stdout.strip()
    assert len(text) == KEY_LENGTH
    assert registry.authenticate(text, "10.1.1.1").server_id == "web-01"
    assert text not in result.stderr
    (server,) = run.json("servers", "list")
    assert (server["status"], server["labels"]) == ("never_seen", {"env": "prod"})
    assert isinstance(run("servers", "add", "web-01").exception, HostpulseError)


def test_a_key_file_is_private_and_replaces_an_older_one(
    run: Installation, registry: Registry, tmp_path: Path
) -> None:
    """0600 whatever the umask and the old file's mode; nothing is printed."""
    path = tmp_path / "web.key"
    path.write_text("old")
    path.chmod(0o644)
    result = run("servers", "add", "web-01", "--key-file", str(path))
    assert result.stdout == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert registry.authenticate(path.read_text().strip(), "").server_id == "web-01"


def test_a_key_file_that_cannot_be_written_makes_no_key(run: Installation, tmp_path: Path) -> None:
    """A key that nobody gets to see must not exist."""
    result = run("servers", "add", "web-01", "--key-file", str(tmp_path / "absent" / "k"))
    assert "cannot write the key file" in str(result.exception)
    assert run.json("servers", "list") == []


def test_a_refused_change_leaves_the_old_key_file(run: Installation, tmp_path: Path) -> None:
    """The file is replaced only after the key is in force."""
    path = tmp_path / "k"
    path.write_text("old")
    assert run("keys", "rotate", "nobody", "--key-file", str(path)).exit_code == 1
    assert path.read_text() == "old"
    assert sorted(one.name for one in tmp_path.glob("*k*")) == ["k"]


def test_apply_reports_and_diffs_without_hashes(run: Installation) -> None:
    """Counts and signs for people, ids for programs; a dry run says "would be"."""
    items = [{"id": "a", "keys": [{"id": "k" * 12, "sha256": "0" * 64}]}, {"id": "b"}]
    dry = run("servers", "apply", "-", "--check", "--diff", stdin=items)
    assert "would be: added 2, changed 0, unchanged 0, removed 0" in dry.stdout
    assert run.json("servers", "apply", "-", stdin=items)["added"] == ["a", "b"]
    changed = run("servers", "apply", "-", "--diff", "--purge", stdin=[{"id": "a", "name": "A"}])
    assert changed.stdout.endswith("added 0, changed 1, unchanged 0, removed 1\n")
    assert changed.stdout == golden(__file__, "servers-apply-diff.txt", changed.stdout)
    assert "0" * 64 not in dry.stdout + changed.stdout


def test_apply_refuses_what_is_no_list_of_servers(run: Installation) -> None:
    """Text that is not JSON, and JSON that is no list, are told apart."""
    assert "must be a list" in str(run("servers", "apply", "-", stdin={"id": "a"}).exception)
    result = CliRunner().invoke(root, ["servers", "apply", "-", "--config", str(run.path)], "{")
    assert "standard input is not JSON" in str(result.exception)


def test_a_dry_run_without_a_database_leaves_nothing_behind(tmp_path: Path) -> None:
    """A bare host answers ``--check``; the real run then makes the database."""
    run = Installation(tmp_path)
    assert run.json("servers", "apply", "-", "--check", stdin=[{"id": "a"}])["added"] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["server.toml"]
    assert run.json("servers", "apply", "-", stdin=[{"id": "a"}])["added"] == ["a"]
    assert (tmp_path / "state.db").exists()


def test_servers_are_disabled_enabled_and_removed(run: Installation) -> None:
    """Each says what it did, or that there was nothing to do."""
    run("servers", "add", "a")
    said = [run("servers", verb, "a").stdout for verb in ("disable", "disable", "enable", "enable")]
    assert said == [
        "disabled a\n",
        "a is disabled already\n",
        "enabled a\n",
        "a is enabled already\n",
    ]
    assert run("servers", "remove", "a").stdout.startswith("removed a")
    for verb in ("disable", "enable", "remove"):
        assert "there is no server 'a'" in str(run("servers", verb, "a").exception)


def test_keys_are_created_rotated_listed_and_revoked(run: Installation, registry: Registry) -> None:
    """Lists show ids, roles and servers, never the text."""
    run("servers", "add", "a")
    reader = run("keys", "create", "--role", "reader").stdout.strip()
    rotated = run("keys", "rotate", "a").stdout.strip()
    assert registry.authenticate(reader, "").role == "reader"
    assert registry.authenticate(rotated, "").server_id == "a"
    assert run("keys", "revoke", reader.split("_")[1]).exit_code == 0
    assert [key["role"] for key in run.json("keys", "list")] == ["agent", "agent"]
    everything = run("keys", "list", "--all").stdout
    assert len(everything.splitlines()) == 4
    assert reader.split("_")[2] not in everything
    assert run("keys", "create", "--role", "king").exit_code == 2


def test_tables_name_their_columns(run: Installation) -> None:
    """People get a table, aligned, with a head even when it is empty."""
    assert run("servers", "list").stdout.split() == [
        *("ID", "STATUS", "SEEN", "AGO", "COMPLETE", "AGENT", "ADDRESS", "LABELS")
    ]
    run("servers", "add", "web-01", "--address", "192.0.2.1", "--label", "a=1", "--label", "b=2")
    line = run("servers", "list").stdout.splitlines()[1]
    assert line.split() == ["web-01", "never_seen", "-", "-", "-", "192.0.2.1", "a=1", "b=2"]
    assert run("servers", "add", "x", "--label", "nothing").exit_code == 2


def test_the_database_is_upgraded_and_its_schema_told(tmp_path: Path) -> None:
    """``db upgrade`` makes the database and may be run again."""
    run = Installation(tmp_path)
    assert run.json("db", "current") == {"current": None, "needed": state.HEAD}
    assert run("db", "upgrade").stdout == f"schema {state.HEAD} (was none)\n"
    assert run("db", "upgrade").stdout == f"schema {state.HEAD}: nothing to do\n"
    assert run("db", "current").stdout == f"current {state.HEAD}, needed {state.HEAD}\n"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_configuration_may_be_named_before_and_after_the_command(
    run: Installation, place: int
) -> None:
    """``--config`` works wherever it stands."""
    arguments = ["keys", "list"]
    arguments[place:place] = ["--config", str(run.path)]
    assert CliRunner().invoke(root, arguments).stdout.startswith("KEY")


def test_every_command_explains_itself() -> None:
    """``--help`` of the root lists every command; each group and command has a text."""
    assert all(name in CliRunner().invoke(root, ["--help"]).stdout for name in COMMANDS)
    for name in ("channels", "db", "doctor", "keys", "routes", "servers"):
        assert CliRunner().invoke(root, [name, "--help"]).exit_code == 0
    assert CliRunner().invoke(root, ["nonsense"]).exit_code == 2


def test_doctor_names_every_part_and_fails_when_one_does(run: Installation) -> None:
    """One line a part, in order; what is not running says which service to start."""
    result = run("doctor")
    assert result.exit_code == 1
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    names = ["configuration", "data dir", "journal", "state schema", "store", "shipper lag", "api"]
    names += ["rules", "alerts", "servers", "notifications", "channels", "heartbeat"]
    for line, name in zip(lines, names, strict=True):
        assert line[1].startswith(name)
    verdicts = ["ok", "ok", "FAIL", "ok", "ok", "FAIL", "FAIL", "ok", "FAIL", "ok"]
    verdicts += ["ok", "WARN", "WARN"]
    assert [line[0] for line in lines] == verdicts
    assert "is hostpulse-api running?" in lines[6][1]
    parts = json.loads(run("doctor", "--json").stdout)
    assert [part["part"] for part in parts] == names
    assert [part["ok"] for part in parts] == [verdict != "FAIL" for verdict in verdicts]
    levels = {"ok": "ok", "WARN": "warning", "FAIL": "fail"}
    assert [part["level"] for part in parts] == [levels[verdict] for verdict in verdicts]


def test_doctor_ends_with_a_red_line_if_nobody_would_be_notified(run: Installation) -> None:
    """Without a channel, and without a heartbeat; both are no fault of a part."""
    command = ["doctor", "--config", str(run.path)]
    last = CliRunner().invoke(root, command, color=True).stdout.splitlines()[-2:]
    assert all(line.startswith("\x1b[31mWARN") for line in last)
    assert "nobody is notified of alerts: no channel is configured" in last[0]
    assert "nobody learns that hostpulse itself is down" in last[1]
    with run.path.open("a") as file:
        file.write('[channels.mail]\nkind = "email"\nhost = "smtp.example.org"\n')
        file.write('from = "a@example.org"\nto = ["b@example.org"]\n')
        file.write('[alerts]\nheartbeat_url = "https://watch.example.org/ping/secret"\n')
    last = CliRunner().invoke(root, command, color=True).stdout.splitlines()[-2:]
    assert last == ["ok    channels       mail", "ok    heartbeat      pings watch.example.org"]


def test_completeness_shows_what_was_stored_and_what_evaluated(
    run: Installation, registry: Registry
) -> None:
    """A line a stream; what did not reach the store yet may be evaluated already."""
    registry.add({"id": "web-01"})
    account = StreamAccount("s1", 40, 1, 41, [(7, 7)], [(7, 7)], {"late": 1})
    document = {"order": {"position": ["s1", 41, None, 0], "accounts": [account.as_json()]}}
    with writing(registry.engine) as session:
        session.add(
            AlertProgressRow(server_id="web-01", origin="samples", time_ms=0, document=document)
        )
    head, line = run("servers", "completeness", "web-01").stdout.splitlines()
    assert head.split()[:4] == ["STREAM", "TAKEN", "STORED", "REFUSED"]
    assert line.split() == ["s1", "0", "0", "0", "0", "0", "40", "late=1"]
    (stream,) = run.json("servers", "completeness", "web-01")["streams"]
    assert stream["evaluated"]["ranges"] == [[1, 6], [8, 41]]
    assert run("servers", "completeness", "nobody").exit_code == 1


def test_doctor_warns_of_a_language_without_texts(run: Installation) -> None:
    """It is accepted, and no fault."""
    text = run.path.read_text()
    run.path.write_text(f'{text}[site]\nlanguage = "ko"\n')
    line = run("doctor").stdout.splitlines()[0]
    assert line.startswith("WARN  configuration")
    assert line.endswith('there are no texts in [site] language "ko" yet: all are in English')


def test_doctor_stops_at_a_configuration_it_cannot_read(run: Installation) -> None:
    """Nothing else can be checked then."""
    run.path.write_text("colour = 1\n")
    result = run("doctor")
    assert result.exit_code == 1
    assert result.stdout.startswith("FAIL  configuration")
    assert "colour" in result.stdout


@pytest.mark.integration
def test_the_program_prints_expected_errors_as_one_line(run: Installation) -> None:
    """No traceback for an operator; exit status 1."""
    program = Path(sys.executable).with_name("hostpulse-server")
    command = [str(program), "servers", "disable", "nobody", "--config", str(run.path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    said = "hostpulse-server: there is no server 'nobody'; servers list shows all\n"
    assert (result.stdout, result.stderr) == ("", said)


@pytest.mark.integration
@pytest.mark.parametrize(
    "arguments", [["--help"], ["servers", "list"], ["servers", "list", "--json"]]
)
def test_a_reader_that_left_gets_no_traceback(
    run: Installation, registry: Registry, arguments: list[str]
) -> None:
    """As `| head` leaves."""
    registry.apply([{"id": f"s{n}", "labels": {"text": "x" * 200}} for n in range(500)])
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", START, "--config", str(run.path), *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=buffered,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
