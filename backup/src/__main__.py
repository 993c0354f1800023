"""Runs the program when Python is given this folder."""

from __future__ import annotations

import sys

from hostpulse_backup.cli import main

sys.exit(main())
