"""Thresholds of panels, from the rules file that ships."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

from hostpulse_server.rules.loading import load

if TYPE_CHECKING:
    from hostpulse_server.rules.model import RuleSet

RULES = Path(__file__).resolve().parents[2] / "roles/hostpulse_server/files/rules/hostpulse.yml"
GOOD, WARNING, CRITICAL, IDLE = "green", "orange", "red", "text"
COLOURS = {"info": "blue", "warning": WARNING, "critical": CRITICAL}


@cache
def rules() -> RuleSet:
    """Return the rules that ship."""
    return load([str(RULES)])


def of_rule(name: str) -> ThresholdsConfig:
    """Return the steps at which a rule warns and worse; green where it is silent."""
    levels = sorted(rules().rules[name].levels, key=lambda level: level.threshold)
    if levels[0].direction == "above":
        rising = [(None, GOOD), *((one.threshold, COLOURS[one.severity]) for one in levels)]
        return _config(rising)
    bounds = [None, *(level.threshold for level in levels)]
    colours = [*(COLOURS[level.severity] for level in levels), GOOD]
    return _config(list(zip(bounds, colours, strict=True)))


def steps(*rising: tuple[float, str], base: str = GOOD) -> ThresholdsConfig:
    """Return steps that no rule has."""
    return _config([(None, base), *rising])


def completeness() -> ThresholdsConfig:
    """Return steps for percents of samples: all of them are good."""
    return steps((95, WARNING), (99.9, GOOD), base=CRITICAL)


def none_is_good(colour: str = CRITICAL) -> ThresholdsConfig:
    """Return steps for counts of what should not be."""
    return steps((1, colour))


def _config(rising: list[tuple[float | None, str]]) -> ThresholdsConfig:
    found = [Threshold(value=value, color=colour) for value, colour in rising]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)
