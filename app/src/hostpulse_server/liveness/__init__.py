"""Liveness: which registered servers are silent, and why."""

from __future__ import annotations

from hostpulse_server.liveness.baseline import BaselineLearner
from hostpulse_server.liveness.model import Ingest, Probe, Prober
from hostpulse_server.liveness.monitor import LivenessMonitor
from hostpulse_server.liveness.probing import HostProber

__all__ = ["BaselineLearner", "HostProber", "Ingest", "LivenessMonitor", "Probe", "Prober"]
