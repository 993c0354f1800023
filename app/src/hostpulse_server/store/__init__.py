"""Stores of samples: one interface, one module an engine."""

from __future__ import annotations
