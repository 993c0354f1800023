"""Rules: what they are, reading them from files, and trying them out."""

from __future__ import annotations

from hostpulse_server.alerts.rules.loading import load, load_texts
from hostpulse_server.alerts.rules.model import Comparison, Level, Liveness, Override, Rule, RuleSet
from hostpulse_server.alerts.rules.summary import render_summary

__all__ = [
    "Comparison",
    "Level",
    "Liveness",
    "Override",
    "Rule",
    "RuleSet",
    "load",
    "load_texts",
    "render_summary",
]
