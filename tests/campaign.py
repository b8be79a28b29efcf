"""Campaigns: hundreds of cases alike, of which the suite runs the first; `QFX_CAMPAIGN=all` all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

Case = TypeVar("Case")

WHOLE = os.environ.get("QFX_CAMPAIGN") == "all"


def part(cases: Iterable[Case], first: int) -> list[Case]:
    """The first cases of a campaign, or all of them."""
    return list(cases if WHOLE else islice(cases, first))
