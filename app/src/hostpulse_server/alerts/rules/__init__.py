"""Rules: what they are, reading them from files, and trying them out."""

from __future__ import annotations

from hostpulse_server.alerts.rules.model import Comparison, Level, Liveness, Override, Rule, RuleSet

__all__ = ["Comparison", "Level", "Liveness", "Override", "Rule", "RuleSet"]
