"""Who is silent, and why: registered servers held against what arrives from them."""

from __future__ import annotations

from hostpulse_server.alerts.liveness.liveness import Liveness
from hostpulse_server.alerts.liveness.model import Ingest, Probe, Prober
from hostpulse_server.alerts.liveness.probing import HostProber

__all__ = ["HostProber", "Ingest", "Liveness", "Probe", "Prober"]
