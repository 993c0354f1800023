"""Where samples end up: one interface, one module an engine."""

from __future__ import annotations
