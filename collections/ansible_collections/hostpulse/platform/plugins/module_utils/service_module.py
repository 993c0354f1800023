"""What modules that talk to a server share: how they run, what they return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    NotThereError,
    ServiceError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.basic import AnsibleModule

SERVICE = {
    "url": {"type": "str", "required": True},
    "ca_file": {"type": "path", "default": ""},
    "timeout": {"type": "int", "default": 30},
}
STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}


def end(module: AnsibleModule, work: Callable[[], dict[str, Any]], **unknown: Any) -> None:
    """Do ``work`` and end the module with what it returns, or with what is wrong.

    ``unknown`` is returned in a dry run that misses something which an earlier task makes.
    """
    try:
        result = work()
    except NotThereError as fault:
        if not module.check_mode:
            module.fail_json(msg=str(fault))
        module.warn(f"not there yet: {fault}")
        unknown.pop("diff", None)
        module.exit_json(**{**unknown, "changed": module.params.get("state") != "absent"})
    except (ServiceError, OSError, ValueError) as fault:
        module.fail_json(msg=str(fault))
    if not module._diff:  # noqa: SLF001 - Ansible's own name for "the user asked for a diff"
        result.pop("diff", None)
    module.exit_json(**result)


def outcome(
    header: str, before: dict[str, Any] | None, after: dict[str, Any] | None, **more: Any
) -> dict[str, Any]:
    """Return a module's result: it changes what it makes differ."""
    return {
        "changed": before != after,
        "diff": {
            "before_header": header,
            "after_header": header,
            "before": before or {},
            "after": after or {},
        },
        **more,
    }
