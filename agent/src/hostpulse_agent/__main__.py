"""`python -m hostpulse_agent`: the same as the command."""

from __future__ import annotations

import sys

from hostpulse_agent.cli import main

sys.exit(main())
