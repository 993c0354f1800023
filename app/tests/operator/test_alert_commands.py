"""``alerts`` and ``silences`` on the command line, on a real configuration and state database."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.golden import golden
from tests.support.installation import run_command

from hostpulse_server.api.services import EXTENSION
from hostpulse_server.commands import alert_options, tables
from hostpulse_server.errors import (
    AlertOverError,
    InvalidItemError,
    UnknownAlertError,
    UnknownSilenceError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from app.tests.operator.conftest import AlertsHarness
    from click.testing import Result

HOUR_MS = 3_600_000


@pytest.fixture
def run(alerts_site: AlertsHarness) -> Run:
    """Return commands on the state database of the application, at the time it is."""
    alerts_site.api.clock.ms = time.time_ns() // 1_000_000
    return Run(alerts_site.api.app.extensions[EXTENSION].config.source)


class Run:
    """Runs ``hostpulse-server`` in this process."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def __call__(self, line: str) -> Result:
        """Run a command; an expected error is in ``exception``, others are raised."""
        return run_command(self.config, *shlex.split(line))

    def json(self, line: str) -> Any:
        """Run a command that must succeed and return its JSON."""
        result = self(f"{line} --json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def test_alerts_are_listed_for_people_and_programs(alerts_site: AlertsHarness, run: Run) -> None:
    """The most serious first, columns aligned; JSON as the API has it."""
    alerts_site.alert("pending", fired_ms=None)
    critical = alerts_site.alert(severity="critical", server_id="")
    head, first, second = run("alerts list").stdout.splitlines()
    assert head.split()[:6] == ["ID", "SEVERITY", "STATE", "SERVER", "RULE", "SINCE"]
    assert first.split()[:5] == [str(critical), "critical", "firing", "-", "disk_usage"]
    assert first.index("disk /data1") == second.index("disk /data0") == head.index("SUMMARY")
    (shown,) = run.json("alerts list --state firing")
    expected = alerts_site.get("/alerts?state=firing")["alerts"][0]
    assert abs(shown.pop("duration_ms") - expected.pop("duration_ms")) < 60_000
    assert shown == expected


def test_the_history_is_a_table(alerts_site: AlertsHarness, run: Run) -> None:
    """How long, who was told, who acknowledged; filters as in the API."""
    old = alerts_site.alert(
        "resolved", acknowledged_by="key a", acknowledged_until_ms=alerts_site.now_ms
    )
    alerts_site.notify(old)
    alerts_site.alert(rule="cpu_usage", fired_ms=alerts_site.now_ms - 3_660_000)
    lines = run("alerts history").stdout.splitlines()
    assert len(lines) == 3
    assert re.search(r"  5 min  +warning .* mail  key a +disk /data0", lines[1])
    assert re.search(r"  1 h 1 min so far  warning .* -  +- +disk /data1", lines[2])
    for options, count in (
        ("--rule cpu_usage", 1),
        ("--server web-02", 0),
        ("--end -30m", 1),
        ("--start -1m", 2),
        ("--limit 1", 1),
    ):
        assert len(run.json(f"alerts history {options}")) == count, options
    assert run("alerts history --start soon").exit_code == 2


def test_an_alert_is_acknowledged_and_the_caller_named(
    alerts_site: AlertsHarness, run: Run
) -> None:
    """For a day or as long as said; taken back; shown with what befell it."""
    alert_id = alerts_site.alert()
    result = run(f"alerts ack {alert_id} --comment 'on it' --until 4h")
    assert result.stdout.startswith(f"acknowledged alert {alert_id} until 20")
    row = alerts_site.row(alert_id)
    assert row.acknowledged_by == alert_options.who()
    assert row.acknowledged_until_ms is not None
    assert row.acknowledged_ms is not None
    assert row.acknowledged_until_ms - row.acknowledged_ms == 4 * HOUR_MS
    wrapped = run(f"alerts show {alert_id}").stdout
    assert max(map(len, wrapped.splitlines())) <= 80
    shown = re.sub(r"\n {4,}", " ", wrapped)
    assert re.search(r"^alert +1 warning firing for 5 min", shown)
    assert re.search(r"^figures +disk used_percent 91.5 %, threshold 90 %$", shown, re.MULTILINE)
    assert re.search(r"^acknowledged +by command line \(.+\) until .+ on it$", shown, re.MULTILINE)
    event = r"acknowledged: by command line \(.+\), on it, until 20\d\d-.+ UTC$"
    assert re.search(event, shown, re.MULTILINE)
    assert " acknowledged: by command line" in shown.splitlines()[-1]
    assert "acknowledged by" in run("alerts list").stdout
    run(f"alerts unack {alert_id}")
    assert run.json(f"alerts show {alert_id}")["acknowledged"] is None
    run(f"alerts ack {alert_id}")
    row = alerts_site.row(alert_id)
    assert row.acknowledged_until_ms is not None
    assert row.acknowledged_ms is not None
    assert row.acknowledged_until_ms - row.acknowledged_ms == 24 * HOUR_MS


@pytest.mark.parametrize(
    ("behind", "named"), [("robin", "robin as "), ("", ""), ("bad\x1bname", "")]
)
def test_who_called_the_command_by_sudo_is_named(
    monkeypatch: pytest.MonkeyPatch, behind: str, named: str
) -> None:
    """The command on a server's host runs as the services' user, whoever called it."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    own = alert_options.who().removeprefix("command line (").removesuffix(")")
    monkeypatch.setenv("SUDO_USER", behind)
    assert alert_options.who() == f"command line ({named}{own})"
    monkeypatch.setenv("SUDO_USER", own)
    assert alert_options.who() == f"command line ({own})"


def test_a_silence_is_added_listed_and_removed(alerts_site: AlertsHarness, run: Run) -> None:
    """By name and glob; the list of alerts says which silences match."""
    alerts_site.alert()
    assert run("silences add rule=disk_* label.env=prod* --for 2h --comment x").exit_code == 0
    (made,) = run.json("silences list")
    assert made["matchers"] == {"rule": "disk_*", "label.env": "prod*"}
    assert made["end"] - made["start"] == 2 * HOUR_MS
    assert (made["by"], made["comment"], made["state"]) == (alert_options.who(), "x", "active")
    assert "label.env=prod* rule=disk_*" in run("silences list").stdout
    assert f"silence {made['id']}" in run("alerts list").stdout
    assert run(f"silences remove {made['id']}").exit_code == 0
    assert run.json("silences list") == []
    assert [one["state"] for one in run.json("silences list --expired")] == ["expired"]
    assert run.json("silences add server_id=web-01 --for 1h")["id"] == made["id"] + 1


def test_a_new_silence_says_what_it_matches_now(alerts_site: AlertsHarness, run: Run) -> None:
    """One alert, several or none; a silence may be made before anything fires."""
    alerts_site.alert(server_id="web-01")
    for matcher, said in (
        ("server_id=web-01", "; it matches 1 firing alert now"),
        ("server_id=web-02", "; it matches no firing alerts now"),
    ):
        result = run(f"silences add {matcher} --for 2h")
        assert result.stdout.strip().endswith(said)
        assert result.stderr == ""
    alerts_site.alert(server_id="web-02")
    assert run.json("silences add rule=disk_* --for 2h")["firing"] == 2


def test_a_name_that_nothing_has_is_noted(
    alerts_site: AlertsHarness, run: Run, tmp_path: Path
) -> None:
    """Known are tags, labels of servers and of rules, and what rules call tags of their own."""
    alerts_site.api.registry.add({"id": "db-01", "labels": {"tier": "db"}})
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "rules: [{name: a, measurement: x_queue, field: f, levels: {info: {above: 1}}, "
        "where: {queue: '*'}, labels: {team: ops}, "
        "overrides: [{match: {server_id: a}, labels: {oncall: x}}]}]\n"
    )
    config = tmp_path / "server.toml"
    config.write_text(f'{run.config.read_text()}\n[alerts]\nrules = ["{rules}"]\n')
    add = Run(config)
    right = "tier=db label.tier=db mount=/data team=ops label.oncall=x queue=in"
    assert add(f"silences add {right} --for 2h").stderr == ""
    result = add("silences add server=web-01 foo=bar label.teir=db tier=db --for 2h")
    remedies = [line.rpartition("; ")[2] for line in result.stderr.splitlines()]
    assert remedies == [
        *("did you mean server_id?", "as it is, that matches nothing", "did you mean label.tier?"),
    ]
    assert result.stderr == golden(__file__, "silences-add-unknown-names.txt", result.stderr)
    assert result.exit_code == 0
    assert len(alerts_site.silences()) == 2


def test_many_alerts_are_acknowledged_at_once(alerts_site: AlertsHarness, run: Run) -> None:
    """One that is over or unknown keeps nobody from the others, and is an error."""
    ids = [alerts_site.alert(), alerts_site.alert("resolved"), alerts_site.alert()]
    result = run(f"alerts ack {ids[0]} {ids[1]} {ids[2]} 99")
    assert len(result.stdout.splitlines()) == 2
    assert isinstance(result.exception, AlertOverError)
    assert "there is no alert 99" in result.stderr
    assert all(one["acknowledged"] for one in run.json("alerts list"))
    assert run(f"alerts unack {ids[0]} {ids[2]}").exit_code == 0
    assert not any(one["acknowledged"] for one in run.json("alerts list"))


def test_lists_are_narrowed_as_the_api_does(alerts_site: AlertsHarness, run: Run) -> None:
    """By server, rule, severity and labels; all must hold, in both lists."""
    alerts_site.alert(server_id="web-01", severity="critical", labels={"env": "prod", "rack": "7"})
    alerts_site.alert(rule="cpu_usage", labels={"env": "prod"})
    alerts_site.alert(labels={})
    for options, query, count in (
        ("--label env=prod", "label.env=prod", 2),
        ("--label env=prod --label label.rack=7", "label.env=prod&label.rack=7", 1),
        ("--label env=production", "label.env=production", 0),
        ("--severity critical --server web-01", "severity=critical&server_id=web-01", 1),
        ("--rule cpu_usage --label rack=7", "rule=cpu_usage&label.rack=7", 0),
    ):
        for command, path in (("list", ""), ("history", "/history")):
            shown = run.json(f"alerts {command} {options}")
            asked = alerts_site.get(f"/alerts{path}?{query}")["alerts"]
            assert len(shown) == len(asked) == count, (command, options)
    assert run("alerts list --label env").exit_code == 2


def test_planned_work_on_all_but_one_is_silenced_ahead(
    alerts_site: AlertsHarness, run: Run
) -> None:
    """--start with --for or --until; != is all but what fits, and what has no such name."""
    alerts_site.alert(server_id="web-01")
    alerts_site.alert(server_id="web-02")
    said = run("silences add rule=disk_* server_id!=*-02 core!=1 --start 1h --for 2h")
    assert re.search(
        r"^silence 1 from 20.+ until 20.+; it matches 1 firing alert now$", said.stdout
    )
    run("silences add rule=disk_* server_id!=*-02 --until 3h")
    ahead, at_once = run.json("silences list")
    assert (ahead["state"], at_once["state"]) == ("future", "active")
    assert ahead["end"] - ahead["start"] == 2 * HOUR_MS
    assert ahead["matchers"] == {"rule": "disk_*", "server_id!": "*-02", "core!": "1"}
    assert "core!=1 rule=disk_* server_id!=*-02" in run("silences list").stdout
    silenced = {one["server_id"]: one["silenced_by"] for one in run.json("alerts list")}
    assert silenced == {"web-01": [at_once["id"]], "web-02": []}


def test_a_value_that_nothing_has_is_noted(
    alerts_site: AlertsHarness, run: Run, tmp_path: Path
) -> None:
    """Of rules, servers and labels; not of tags, whose values come and go, nor with !=."""
    alerts_site.api.registry.add({"id": "db-01", "labels": {"tier": "db"}})
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "rules: [{name: disk_usage, measurement: x_disk, field: f, levels: {info: {above: 1}}}]\n"
    )
    config = tmp_path / "server.toml"
    config.write_text(f'{run.config.read_text()}\n[alerts]\nrules = ["{rules}"]\n')
    add = Run(config)
    right = "rule=disk_* server_id=db-?? label.tier=d* mount=/any rule!=none tier!=web"
    assert add(f"silences add {right} --for 2h").stderr == ""
    wrong = add("silences add rule=disc_usage server_id=db-1 label.tier=web --for 2h")
    assert wrong.stderr == golden(__file__, "silences-add-unknown-values.txt", wrong.stderr)
    assert wrong.exit_code == 0


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("alerts show 5", UnknownAlertError),
        ("alerts ack 99999999999999999999", UnknownAlertError),
        ("alerts ack 1", AlertOverError),
        ("alerts unack 1", AlertOverError),
        ("silences remove 7", UnknownSilenceError),
        ("silences add rule=* --for 1h", InvalidItemError),
        ("silences add severity=bad --for 1h", InvalidItemError),
        ("silences add rule=x --for 2y", SystemExit),
        ("silences add rule --for 2h", SystemExit),
        ("silences add rule=a rule=b --for 2h", SystemExit),
        ("silences add rule=a", SystemExit),
        ("silences add rule=a --for 2h --until 2h", SystemExit),
        ("silences add rule=a --for soon", SystemExit),
        ("silences add rule!=a --for 2h", InvalidItemError),
        ("silences add rule=a --for 366d --comment '\x1b'", InvalidItemError),
    ],
)
def test_a_mistake_is_told(
    alerts_site: AlertsHarness, run: Run, line: str, error: type[BaseException]
) -> None:
    """In one line, and nothing changes."""
    alerts_site.alert("resolved")
    result = run(line)
    assert isinstance(result.exception, error)
    assert result.exit_code != 0
    assert alerts_site.silences() == []


def test_a_terminal_gets_lines_that_fit_and_nothing_it_obeys(
    alerts_site: AlertsHarness, run: Run
) -> None:
    """The last column is cut to the width; control characters of texts do not come through."""
    alerts_site.alert(summary=f"\x1b[31mred\n{'long ' * 60}")
    master, terminal = pty.openpty()
    command = [sys.executable, "-c", "from hostpulse_server.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "--config", run.config, "alerts", "list"],
        stdout=terminal,
        env={**os.environ, "COLUMNS": "120"},
    )
    os.close(terminal)
    printed = b""
    try:
        while part := os.read(master, 65_536):
            printed += part
    except OSError:  # how a terminal ends
        pass
    os.close(master)
    assert process.wait(30) == 0
    lines = printed.decode().splitlines()
    assert len(lines) == 2
    assert len(lines[1]) == 120
    assert lines[1].endswith("…")
    assert "\x1b" not in printed.decode()


def test_every_table_of_alerts_fits_80_columns() -> None:
    """What tells alerts apart and all times stay whole; the rest is below each row."""
    when = "2026-12-01 14:05:07 Europe/Berlin"
    head = ("ID", "SEVERITY", "STATE", "SERVER", "RULE", "SINCE", "ATTENTION", "SUMMARY")
    row = ("1234", "critical", "firing", "web-01.example.org", "certificate_expiry", when)
    rows = [(*row, "acknowledged by ops", "word " * 30), (*row, "-", "short")]
    lines = list(tables.fit(head, rows, 80, details=2))
    assert max(map(len, lines)) <= 80
    assert all(when in line and "1234" in line for line in (lines[1], lines[3]))
    assert lines[2].startswith("    attention acknowledged by ops; word word ")
    assert lines[4] == "    short"
    (_, whole) = tables.fit(head, [(*row, "-", "short")], 140, details=2)
    assert whole.split() == [*" ".join(row).split(), "-", "short"]


def test_a_database_that_is_not_there_holds_no_alerts(tmp_path: Any) -> None:
    """Looking makes none."""
    (tmp_path / "server.toml").write_text(f'data_dir = "{tmp_path}"\n')
    assert Run(tmp_path / "server.toml").json("alerts list") == []
    assert not (tmp_path / "state.db").exists()
