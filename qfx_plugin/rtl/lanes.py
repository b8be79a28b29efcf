"""The name under which users know `qfx_plugin.simulation.lanes`."""

from ..simulation.lanes import Lanes

__all__ = ["Lanes"]
