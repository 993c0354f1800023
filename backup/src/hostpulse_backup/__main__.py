"""Runs the program: also the main module of the zipapp, which has a copy of it at its top."""

from __future__ import annotations

import sys

from hostpulse_backup.cli import main

sys.exit(main())
