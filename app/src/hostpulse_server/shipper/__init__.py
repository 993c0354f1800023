"""The shipper: carries journal entries into the store and keeps a ledger of them."""

from __future__ import annotations
