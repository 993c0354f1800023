"""Rules: what they are, reading them from files, and trying them out."""

from __future__ import annotations

from hostpulse_server.rules.loading import load, load_texts
from hostpulse_server.rules.model import (
    Comparison,
    Level,
    LivenessLevel,
    Override,
    Rule,
    RuleSet,
)
from hostpulse_server.rules.summary import render_summary

__all__ = [
    "Comparison",
    "Level",
    "LivenessLevel",
    "Override",
    "Rule",
    "RuleSet",
    "load",
    "load_texts",
    "render_summary",
]
