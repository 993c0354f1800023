"""``rules check`` and ``rules test`` as an operator, or CI, runs them: no configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from tests.support.golden import golden

from hostpulse_server.cli import root

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = """\
rules:
  - {name: a, measurement: x_m, field: f, levels: {warning: {above: 1}}}
  - {name: b, measurement: x_m, field: f, levels: {warning: {above: 1}}}
tests:
  - rule: a
    name: above
    series: {interval: 10s, values: "0 2 1"}
    expect: [{at: 10s, state: firing, severity: warning}, {at: 20s, state: resolved}]
"""
WRONG = "rules:\n  - {name: a, measurement: m, levels: {warning: {above: x}}}\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what runs ``rules`` in a folder with right.yml, wrong.yml and failing.yml."""
    (tmp_path / "right.yml").write_text(RIGHT)
    (tmp_path / "wrong.yml").write_text(WRONG)
    (tmp_path / "failing.yml").write_text(RIGHT.replace("20s", "30s"))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(root, ["rules", *arguments], catch_exceptions=False)

    return invoke


def test_check_counts_what_is_right_and_warns_of_rules_without_a_test(run: Any) -> None:
    """Exit status 0: a warning is no error."""
    result = run("check", "right.yml")
    assert result.exit_code == 0
    assert "warning: rule b has no test" in result.stdout
    assert result.stdout == golden(__file__, "check-right.txt", result.stdout)
    found = json.loads(run("check", "right.yml", "--json").stdout)
    assert found == {
        "ok": True,
        "faults": [],
        "files": ["right.yml"],
        "rules": 2,
        "tests": 1,
        "untested": ["b"],
        "warnings": ["rule b has no test"],
    }


def test_check_warns_of_tags_that_nothing_has(run: Any, tmp_path: Path) -> None:
    """A label without ``label.`` before it, and a tag of another measurement, match nothing."""
    (tmp_path / "tags.yml").write_text(
        """
rules:
  - name: a
    measurement: cpu
    field: f
    where: {cores: total}
    levels: {warning: {above: 1}}
    overrides:
      - {match: {core: total, server_id: a, label.env: b}, for: 1m}
      - {match: {env: b}, for: 1m}
  - {name: b, kind: liveness, overrides: [{match: {mount: /}, for: 1m}]}
  - {name: c, measurement: x_mine, field: f, where: {any: x}, levels: {info: {above: 1}}}
"""
    )
    result = run("check", "tags.yml")
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if "matches" in line]
    assert lines[0] == "warning: rule a: where.cores: cpu has no tag cores, so nothing matches"
    assert [line.partition(", so nothing matches; ")[::2] for line in lines[1:]] == [
        ("warning: rule a: overrides[2].match.env: cpu has no tag env", "a label is label.env"),
        (
            "warning: rule b: overrides[1].match.mount: silence has no tag mount",
            "a label is label.mount",
        ),
    ]


_SWAP = "measurement: swap, field: used_percent"
_ELSEWHERE = "overrides: [{match: {server_id: a}, for: 1m}]"


@pytest.mark.parametrize(
    ("rule", "what", "meant"),
    [
        ("measurement: cpuu, field: f", "measurement: there is no cpuu", "cpu"),
        ("measurement: backups, field: f", "measurement: there is no backups", "backup"),
        ("measurement: cpu, field: usage", "field: cpu has no field usage", "usage_percent"),
        (
            "measurement: certificate, field: day_left",
            "field: certificate has no field day_left",
            "days_left",
        ),
        (
            f"{_SWAP}, only_if: [{{field: out_bytes, above: 1}}]",
            "only_if[1].field: swap has no field out_bytes",
            "out_bytes_per_second",
        ),
        (
            f"{_SWAP}, overrides: [{{match: {{server_id: a}}, only_if: [{{field: x, above: 1}}]}}]",
            "overrides[1].only_if[1].field: swap has no field x",
            "",
        ),
        (
            f"{_SWAP}, only_if: [{{field: x, above: 1}}], {_ELSEWHERE}",
            "only_if[1].field: swap has no field x",
            "",
        ),
    ],
)
def test_check_warns_of_what_nothing_measures(
    run: Any, tmp_path: Path, rule: str, what: str, meant: str
) -> None:
    """With the name that is nearest, or all there are; exit status 0."""
    text = f"rules: [{{name: a, levels: {{warning: {{above: 1}}}}, {rule}}}]\n"
    (tmp_path / "names.yml").write_text(text)
    result = run("check", "names.yml")
    assert result.exit_code == 0
    _untested, warning, _ok = result.stdout.splitlines()
    advice = f"did you mean {meant}?" if meant else "known are total_bytes, used_bytes, "
    assert warning.startswith(f"warning: rule a: {what}, so it never fires; {advice}")


@pytest.mark.parametrize(
    "names", ["probe, field: rtt_ms", "x_cpuu, field: f", "alert, field: value"]
)
def test_check_knows_what_is_measured_and_leaves_ones_own_alone(
    run: Any, tmp_path: Path, names: str
) -> None:
    """Of measurements whose name begins with ``x_`` nothing is known."""
    text = f"rules: [{{name: a, levels: {{warning: {{above: 1}}}}, measurement: {names}}}]\n"
    (tmp_path / "names.yml").write_text(text)
    assert "never fires" not in run("check", "names.yml").stdout


@pytest.mark.parametrize("command", ["check", "test"])
def test_faults_are_lines_that_editors_understand(run: Any, command: str) -> None:
    """FILE:LINE: …, nothing before it, and exit status 1."""
    result = run(command, "wrong.yml")
    assert result.exit_code == 1
    missing, mistyped = result.stdout.splitlines()
    assert missing.startswith("wrong.yml:2: rule a: field: is missing; name one of")
    assert mistyped.startswith("wrong.yml:2: rule a: levels.warning.above: must be a number")
    assert result.stdout == golden(__file__, "check-wrong.txt", result.stdout)
    found = json.loads(run(command, "wrong.yml", "--json").stdout)
    assert (found["ok"], len(found["faults"])) == (False, 2)


def test_a_file_that_is_not_there_is_a_fault(run: Any) -> None:
    """A glob may match nothing beside files that are there; a name may not."""
    result = run("check", "right.yml", "none.yml")
    assert (result.exit_code, result.stdout) == (
        1,
        "none.yml: cannot be read: No such file or directory\n",
    )
    assert run("check", "right.yml", "*.yaml").exit_code == 0
    assert "no file matches *.yaml" in run("check", "*.yaml").stderr


def test_tests_are_a_line_each_and_failures_show_both_sides(run: Any) -> None:
    """Exit status 1 as soon as one fails."""
    passed = run("test", "right.yml")
    assert passed.exit_code == 0
    assert passed.stdout.endswith("1 test, 0 failed\n")
    assert passed.stdout == golden(__file__, "test-passed.txt", passed.stdout)
    failed = run("test", "failing.yml")
    assert failed.exit_code == 1
    assert failed.stdout.startswith("FAIL  failing.yml:5 ")
    assert [line.split()[1::2] for line in failed.stdout.splitlines() if "!" in line] == [
        ["30s", "20s"]
    ]
    assert failed.stdout == golden(__file__, "test-failed.txt", failed.stdout)


def test_the_outcome_of_tests_is_there_for_programs(run: Any) -> None:
    """With what was found, as a rules file writes it."""
    result = run("test", "failing.yml", "--json")
    assert result.exit_code == 1
    firing = {"at": "10s", "state": "firing", "severity": "warning"}
    assert json.loads(result.stdout) == {
        "failed": 1,
        "tests": [
            {
                "file": "failing.yml",
                "line": 5,
                "rule": "a",
                "name": "above",
                "passed": False,
                "expected": [firing, {"at": "30s", "state": "resolved"}],
                "found": [firing, {"at": "20s", "state": "resolved"}],
            }
        ],
    }
