"""The store in InfluxDB 2: ``InfluxdbStore`` and the settings it is opened with."""

from __future__ import annotations

from hostpulse_server.store.influxdb.client import ClientSettings
from hostpulse_server.store.influxdb.store import InfluxdbStore

__all__ = ["ClientSettings", "InfluxdbStore"]
