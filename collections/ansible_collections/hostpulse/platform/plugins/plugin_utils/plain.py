"""Values of an inventory without Ansible's own types, which YAML would write as such."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Return a value of the inventory as plain Python has it, without Ansible's own types."""
    if isinstance(value, Mapping):
        return {str.__str__(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return json.loads(json.dumps(value))
