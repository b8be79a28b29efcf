"""The name under which users know `qfx_plugin.simulation.simulate`."""

from ..simulation.simulate import Beats, Expect, compile_module

__all__ = ["Beats", "Expect", "compile_module"]
