"""The name under which users know `qfx_plugin.units.mvu`."""

from ..units.mvu import fold, matrix_product

__all__ = ["fold", "matrix_product"]
