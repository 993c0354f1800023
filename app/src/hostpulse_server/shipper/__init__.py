"""The consumer that carries journal entries into the store and keeps the books about them."""

from __future__ import annotations
