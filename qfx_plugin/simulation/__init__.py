"""Verilator: Verilog modules compiled once and run on integer codes, as NumPy arrays.

    sim = compile_module([Path("unit.sv")], "unit")        # compile_modules: many at once
    sim.pipeline({"x": Beats(codes, lanes)}, {"y": lanes}, latency=3)         # plain ports
    sim.stream({"s_axis": Beats(codes, lanes)}, {"m_axis": Expect(9, lanes)})  # AXI-Stream

`Lanes` say how codes lie in a port; a `VerilogModule` is sources, top and parameters. The contract
is in `simulate`; a C++ harness of one's own goes with `model.build_model`.
"""

from .lanes import Codes, Lanes, Words
from .model import VerilogModule
from .simulate import (
    Beats,
    Expect,
    Pattern,
    Simulation,
    StreamResult,
    compile_module,
    compile_modules,
)

__all__ = [
    "Beats",
    "Codes",
    "Expect",
    "Lanes",
    "Pattern",
    "Simulation",
    "StreamResult",
    "VerilogModule",
    "Words",
    "compile_module",
    "compile_modules",
]
