"""A rules file that uses every key, with a level that an override lifts up to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.rule_testing.runner import run
from hostpulse_server.rules.loading import load_bundle

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = """\
rules:
  - name: cpu_usage
    summary: "CPU {{ value }} % on {{ server_id }}"
    runbook: docs/runbooks.md#cpu_usage
    measurement: cpu
    field: usage_percent
    where: {core: total}
    over: 0s
    aggregate: mean
    only_if: []
    abs: false
    for: 5m
    max_gap: 25s
    edge: false
    keep_firing_for: 0s
    levels:
      warning:  {above: 80, clear_below: 75}
      critical: {above: 95, clear_below: 90}
    overrides:
      - match: {server_id: "build-*"}
        levels: {warning: {above: 95}}
    labels: {}
    enabled: true
tests:
  - rule: cpu_usage
    series: {interval: 10s, values: "90x31 50x1"}
    expect: [{at: 5m, state: firing, severity: warning}, {at: 5m10s, state: resolved}]
"""
ON_BUILD_HOSTS = """\
  - rule: cpu_usage
    series: {server_id: build-7, interval: 10s, values: "96x31 50x1"}
    expect: [{at: 5m, state: firing, severity: critical}, {at: 5m10s, state: resolved}]
"""


def test_every_key_is_understood_and_its_tests_pass(tmp_path: Path) -> None:
    """Two levels with one threshold are legal: the graver one is seen."""
    path = tmp_path / "example.yml"
    path.write_text(EXAMPLE + ON_BUILD_HOSTS)
    bundle = load_bundle([str(path)])
    assert [run(case).is_passed for case in bundle.cases] == [True, True]
