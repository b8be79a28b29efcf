"""All our operations into FINN, which must have been started (`adapter.require`)."""

from __future__ import annotations

import finn.custom_op.fpgadataflow as finn_base
import finn.custom_op.fpgadataflow.rtl as finn_rtl

from . import (  # noqa: F401  they announce themselves
    add,
    concat,
    duplicate,
    gather,
    lookup,
    multiply,
    mvu,
    pool,
    requant,
    vvu,
)
from .rtl import OPERATIONS, rtl_form


def register() -> None:
    """Add our operations to FINN's own domains; its steps silently skip domains they don't know."""
    for name, operation in OPERATIONS.items():
        finn_base.custom_op[name] = operation
        finn_rtl.custom_op[f"{name}_rtl"] = rtl_form(operation)
