"""FINN's own C++ kernels behind `execute_node`, compiled with g++; needs no Vitis HLS.

    model = cppsim.prepare(dataflow.model, part)
    dataflow.differences(x, model)                 # codes, against the interpreter

Hardware built by QFX is RTL. Here the same integer network runs on the kernels that FINN has for
matrix products, thresholds, copies and joins of streams (finn-hlslib): a second opinion on the
conversion, by code that is not ours. Sliding windows and padding exist in RTL only, shifts, pools
and additions with shifts are ours; those run in Python, as FINN's RTL units in its cppsim mode.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from ...errors import ToolMissingError
from ...tools import compiler
from .. import adapter
from ..integers import require_integers
from .convert import stock_hardware

KERNELS = "finn-hlslib"
FOLDER = "FINN_HLSLIB"
"""The environment variable that names the folder of the kernels."""

_SHIMS = Path(__file__).parent / "templates" / "cppsim"
_PLACE = "finn.transformation.fpgadataflow"


def hlslib(user: str = "cppsim") -> Path:
    """Folder of finn-hlslib: what `FINN_HLSLIB` names, else where FINN keeps its dependencies.

    Args:
        user: who needs it, for the message.

    Raises:
        ToolMissingError: it is at neither place.
    """
    adapter.require()
    named = os.environ.get(FOLDER)
    places = [Path(named)] if named else [folder / KERNELS for folder in _dependencies()]
    for place in places:
        if (place / "bnn-library.h").is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise ToolMissingError(
        f"{user} needs {KERNELS}, and {looked} has no bnn-library.h: clone Xilinx/{KERNELS} at the "
        f"commit that FINN names, and name its folder in {FOLDER}"
    )


def prepare(model: Any, part: str) -> Any:
    """The network on FINN's kernels, compiled, and set to run them.

    Args:
        model: from `convert`, before its conversion to hardware; not changed.
        part: FPGA part.

    Returns:
        A model of `_hls` units where FINN has them, else `_rtl` ones, which run in Python.

    Raises:
        ToolMissingError: finn-hlslib, the `ap_types` headers or a C++ compiler is missing.
        TargetError: a kernel does not compile.
    """
    hlslib()
    hardware = stock_hardware(model)
    for node in hardware.graph.node:
        adapter.op_of(node).set_nodeattr("preferred_impl_style", "hls")
    steps = (
        adapter.module(f"{_PLACE}.specialize_layers").SpecializeLayers(part),
        adapter.module("qonnx.transformation.general").GiveUniqueNodeNames(),
    )
    with adapter.quiet():
        for step in steps:
            hardware = hardware.transform(step)
    return require_integers(run_kernels(hardware))


def run_kernels(model: Any) -> Any:
    """Compile FINN's C++ of every `_hls` unit, and set the model to run it.

    Args:
        model: specialised; changed in place and returned.

    Raises:
        ToolMissingError: finn-hlslib, the `ap_types` headers or a C++ compiler is missing.
        TargetError: a kernel does not compile.
    """
    includes = _includes()
    for step in (
        adapter.module(f"{_PLACE}.prepare_cppsim").PrepareCppSim(1),
        adapter.module(f"{_PLACE}.set_exec_mode").SetExecMode("cppsim"),
    ):
        with adapter.quiet():
            model = model.transform(step)
    for node in model.graph.node:
        if node.domain.endswith(".hls"):
            op = adapter.op_of(node)
            op.set_nodeattr("executable_path", str(_compiled(op, includes)))
    return model


def _compiled(op: Any, includes: list[Path]) -> Path:
    folder = Path(op.get_nodeattr("code_gen_dir_cppsim"))
    (own,) = folder.glob("execute_*.cpp")
    flags = ["-O1", "-std=c++17"]
    if _SHIMS in includes:  # Vitis knows 16-bit floats; the kernels only mention them
        flags += ["-include", str(_SHIMS / "half.h")]
    objects = [
        compiler.compile_object(
            source, folder / f"{source.stem}.o", include_dirs=[folder, *includes], flags=flags
        )
        for source in (own, includes[0] / "cnpy.cpp")
    ]
    return compiler.link_program(objects, folder / "node_model", ("z",))


def _includes() -> list[Path]:
    """Headers: FINN's for NumPy files, the kernels, ours, and `ap_types`, of Vitis or of hls4ml."""
    templates = Path(adapter.module("finn").__path__[0]) / "templates" / "npy2stream"
    if not templates.is_dir():
        raise ToolMissingError(
            f"cppsim without Vitis HLS needs finn-plus, not {adapter.version()}: there, use FINN's "
            "own PrepareCppSim and CompileCppSim"
        )
    vitis = os.environ.get("XILINX_HLS")
    if vitis and (Path(vitis) / "include" / "ap_int.h").is_file():
        return [templates, hlslib(), Path(vitis) / "include"]
    found = importlib.util.find_spec("hls4ml")
    if found is None or found.origin is None:
        raise ToolMissingError(
            "cppsim needs the ap_types headers: pip install hls4ml, or name Vitis HLS in XILINX_HLS"
        )
    types = Path(found.origin).parent / "templates" / "vivado" / "ap_types"
    return [templates, hlslib(), _SHIMS, types]


def _dependencies() -> list[Path]:
    """Where this FINN keeps what it fetches."""
    if adapter.flavour() == adapter.FINN_PLUS:
        return [Path(adapter.module("finn.util.settings").get_settings().finn_deps)]
    return [Path(os.environ.get("FINN_ROOT", ".")) / "deps"]
