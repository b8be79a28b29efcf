"""Hardware operations of ours. FINN must have been started (`adapter.require`) before import."""

from __future__ import annotations

import finn.custom_op.fpgadataflow as finn_base
import finn.custom_op.fpgadataflow.rtl as finn_rtl

from .add import QFXAdd, QFXAdd_rtl
from .concat import QFXConcat, QFXConcat_rtl
from .duplicate import QFXDuplicate, QFXDuplicate_rtl
from .mvu import QFXMVU, QFXMVU_rtl
from .pool import QFXGlobalSum, QFXGlobalSum_rtl, QFXPool, QFXPool_rtl
from .requant import QFXRequant, QFXRequant_rtl
from .vvu import QFXVVU, QFXVVU_rtl

ABSTRACT = (
    QFXAdd,
    QFXConcat,
    QFXDuplicate,
    QFXGlobalSum,
    QFXMVU,
    QFXPool,
    QFXRequant,
    QFXVVU,
)
RTL = (
    QFXAdd_rtl,
    QFXConcat_rtl,
    QFXDuplicate_rtl,
    QFXGlobalSum_rtl,
    QFXMVU_rtl,
    QFXPool_rtl,
    QFXRequant_rtl,
    QFXVVU_rtl,
)


def register() -> None:
    """Add our operations to FINN's own domains; its steps silently skip domains they don't know."""
    for operation in ABSTRACT:
        finn_base.custom_op[operation.__name__] = operation
    for operation in RTL:
        finn_rtl.custom_op[operation.__name__] = operation
