"""`python -m qfx_plugin.cli`, for where the script `qfx` is not on the path."""

from __future__ import annotations

import sys

from qfx_plugin.cli import main

sys.exit(main())
