"""Where compiled things are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """`QFX_CACHE`, else `qfx` in the user's cache folder."""
    own = os.environ.get("QFX_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "qfx"
