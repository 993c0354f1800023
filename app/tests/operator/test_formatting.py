"""Times, durations and numbers as people read them, and what docs and logs say of alerts."""

from __future__ import annotations

import io
import json
import logging
import re
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hostpulse_server import formatting
from hostpulse_server.api.alert_schemas import AlertSchema
from hostpulse_server.runtime import logs

if TYPE_CHECKING:
    from app.tests.operator.conftest import AlertsHarness

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0 s"),
        (999, "0 s"),
        (59_000, "59 s"),
        (60_000, "1 min"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (3_659_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (86_400_000, "1 d"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_a_duration_has_two_units_at_most(milliseconds: int, text: str) -> None:
    """Those that count."""
    assert formatting.duration(milliseconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(91.5, "91.5"), (0.00421, "0.00421"), (12345.6, "12346"), (100.0, "100"), (-250.4, "-250")],
)
def test_a_number_has_what_matters_of_it(value: float, text: str) -> None:
    """Three digits, and never an exponent for what is large."""
    assert formatting.number(value) == text


@pytest.mark.parametrize(
    ("value", "field", "text"),
    [
        (298_800, "age_seconds", "83 h"),
        (100_800, "age_seconds", "28 h"),
        (1_296_000, "uptime_seconds", "15 d"),
        (72, "spool_oldest_seconds", "72 s"),
        (0.5, "seconds", "0.5"),
        (72_000, "clock_offset_ms", "72 s"),
        (-72_000, "clock_offset_ms", "-72 s"),
        (12.5, "await_ms", "12.5 ms"),
        (1e9, "speed_bits_per_second", "1 Gbit/s"),
        (2.5e9, "speed_bits_per_second", "2.5 Gbit/s"),
        (3.1 * 1024**3, "rss_bytes", "3.1 GiB"),
        (12, "reads_per_second", "12/s"),
        (1, "readonly", "yes"),
        (0, "link_up", "no"),
        (4, "journal_hours_left", "4 h"),
        (float("nan"), "age_seconds", "nan s"),
        (float("inf"), "speed_bits_per_second", "inf Tbit/s"),
    ],
)
def test_a_value_has_the_unit_that_people_use(value: float, field: str, text: str) -> None:
    """Hours are not counted in seconds."""
    assert formatting.with_unit(value, field) == text


@pytest.mark.parametrize(
    ("value", "threshold", "field", "text"),
    [
        (90.04, 90, "used_percent", "90.04 %, threshold 90 %"),
        (90.0004, 90, "used_percent", "90.0004 %, threshold 90 %"),
        (90, 90, "used_percent", "90 %, threshold 90 %"),
        (89.96, 90, "used_percent", "89.96 %, threshold 90 %"),
        (100_810, 100_800, "age_seconds", "28.003 h, threshold 28 h"),
        (1, 0.5, "hung", "yes"),
    ],
)
def test_a_value_can_be_told_from_its_threshold(
    value: float, threshold: float, field: str, text: str
) -> None:
    """As many decimals as that takes; of yes and no there is no threshold."""
    assert formatting.compared(value, threshold, field) == text


def test_a_moment_is_told_in_the_zone_of_the_site() -> None:
    """With its name; a zone that nobody knows is UTC."""
    zone = formatting.zone("Europe/Berlin")
    assert formatting.moment(1_800_000_000_000, zone) == "2027-01-15 09:00:00 CET"
    for name in ("Middle/Earth", "", "../../etc/passwd", "\0"):
        assert formatting.zone(name) is UTC


def test_the_documents_name_every_path_and_field_of_alerts(alerts_site: AlertsHarness) -> None:
    """The page that people read agrees with the description that is made from the code."""
    text = DOCS.read_text(encoding="utf-8")
    document = alerts_site.api.app.test_client().get("/openapi.json").get_json()
    for path in document["paths"]:
        if "/alerts" in path or "/silences" in path:
            assert re.sub(r"\{\w+\}", "ID", path) in text, path
    found = re.search(r'^    (\{"id": 7.*?\})\n\n', text, re.DOTALL | re.MULTILINE)
    assert found is not None
    example: dict[str, Any] = json.loads(found[1])
    assert list(example) == list(AlertSchema().fields)
    acknowledged = document["components"]["schemas"]["AcknowledgementView"]["properties"]
    assert set(example["acknowledged"]) == set(acknowledged)


def test_the_log_of_a_refused_link_does_not_hold_it(alerts_site: AlertsHarness) -> None:
    """Nor would that of all requests."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Formatter())
    log = logging.getLogger("hostpulse_server")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        token = "VG9rZW4tb2YtYS1saW5rLXRoYXQtYWN0cw"
        assert alerts_site.api.app.test_client().get(f"/act/{token}").status_code == 403
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
    assert '"status": 403' in stream.getvalue()
    assert token not in stream.getvalue()
