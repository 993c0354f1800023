"""Options that every grafana_* module has."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules extend."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of the server with its path, for example C(http://127.0.0.1:3000/grafana). No proxy
        is used and no redirection followed, so that secrets go nowhere else.
    type: str
    required: true
  ca_file:
    description: CA certificates to trust for C(https); empty for the host's own.
    type: path
    default: ""
  user:
    description: Administrator to sign in as, by O(password_file); empty to use O(token_file).
    type: str
    default: ""
  password_file:
    description: File on the host that runs the module, with the administrator's password.
    type: path
    default: ""
  token_file:
    description: File on the host that runs the module, with a service account's token.
    type: path
    default: ""
  timeout:
    description: Seconds to wait for each answer.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description:
      - Reports what would change and changes nothing. What earlier tasks of the same dry run would
        have made may be missing; it counts as a change.
  diff_mode: {support: full, description: Shows what differs; never a secret.}
requirements:
  - Grafana 10 or newer
"""
