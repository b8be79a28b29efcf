"""`-v`: the logs of QFX and of the host libraries, on standard error."""

from __future__ import annotations

import logging
import sys

LOG = logging.getLogger("qfx")

_NOISY = ("matplotlib", "asyncio", "numba", "PIL")


def show_logs() -> None:
    """Show what is logged from now on; debug messages of QFX, information of the others."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(relativeCreated)8.0f ms  %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    LOG.setLevel(logging.DEBUG)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
