"""FINN's matrix-vector unit (finn-rtllib, from the installed finn-plus) made readable for Yosys.

The library is meant for Vivado. A scratch copy gets a few patches that change no hardware: what
`read_slang` does not read (wildcard comparisons in enums, a typedef after its use, a simulation
watchdog with delays), and black boxes for the primitives that FINN instantiates.
"""

from __future__ import annotations

import re
from importlib import util
from pathlib import Path

from onnx import helper

FILES = (
    "mvu_pkg", "add_multi", "replay_buffer", "mvu", "mvu_vvu_8sx9_dsp58", "mvu_vvu_axi",
)  # fmt: skip
TOP = "mvu_vvu_axi"
PART = "xczu3eg-sbva484-1-i"

_PATCHES = (
    (r"`default_nettype \w+", ""),
    (r"RB  = 2.b10,.*", "RB  = 2'b10"),
    (r"CFG = 2.b1x.*", ""),
    (r"P\.op !=\? CFG", "P.op != WR && P.op != RB"),
    (r"==\?", "=="),
    (r"!=\?", "!="),
    (r"(?s)if\(1\) begin : blkRecoveryWatch.*?end : blkRecoveryWatch", ""),
)

_LUT6_2 = """\
(* blackbox *) module LUT6_2 #(parameter [63:0] INIT = 64'd0)
  (output O6, output O5, input I0, I1, I2, I3, I4, I5);
endmodule
"""


def available() -> bool:
    """Whether finn-plus with its RTL library, and pyosys with its cell library, are installed."""
    return _library() is not None and util.find_spec("pyosys") is not None


def sources(folder: Path) -> list[Path]:
    """Write the patched copies into `folder`; returns them, packages first."""
    library = _library()
    if library is None:
        raise SystemExit("finn-plus is not installed: pip install finn-plus==1.6.1")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "primitives.sv"]
    paths[0].write_text(_LUT6_2 + "(* blackbox *) " + _cell("DSP48E2"))
    for name in FILES:
        text = (library / f"{name}.sv").read_text()
        for pattern, replacement in _PATCHES:
            text = re.sub(pattern, replacement, text)
        paths.append(folder / f"{name}.sv")
        paths[-1].write_text(_typedef_before_use(text))
    return paths


def parameters(
    rows: int, columns: int, pe: int, simd: int, act: int, width: int, acc: int
) -> dict[str, int]:
    """For DSP48E2, the slice of UltraScale+: 2 products in each with 8-bit weights, 4 at 4 bits."""
    return {
        "IS_MVU": 1, "VERSION": 2, "MW": columns, "MH": rows, "PE": pe, "SIMD": simd,
        "ACTIVATION_WIDTH": act, "WEIGHT_WIDTH": width, "ACCU_WIDTH": acc,
    }  # fmt: skip


def lut_variant(rows: int, columns: int, pe: int, simd: int, act: int, width: int) -> int:
    """LUTs of the MVAU with `resType` "lut", by FINN's own formula: that variant is C++ for HLS.

    FINN's RTL unit refuses that `resType`; without Vitis HLS nothing else can count it.
    """
    from finn.custom_op.fpgadataflow.hls.matrixvectoractivation_hls import MVAU_hls

    node = helper.make_node(
        "MVAU_hls", ["x", "w"], ["y"], domain="finn.custom_op.fpgadataflow.hls",
        MW=columns, MH=rows, PE=pe, SIMD=simd, resType="lut", noActivation=1, mem_mode="external",
        inputDataType=f"UINT{act}", weightDataType=f"INT{width}", outputDataType="INT32",
        accDataType="INT32",
    )  # fmt: skip
    return int(MVAU_hls(node).lut_estimation(PART))


def _library() -> Path | None:
    spec = util.find_spec("finn")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    found = (Path(root) / "finn-rtllib" / "mvu" for root in roots)
    return next((path for path in found if (path / "mvu.sv").is_file()), None)


def _cell(name: str) -> str:
    """Ports and parameters of a primitive, from Yosys' cell library."""
    spec = util.find_spec("pyosys")
    text = (Path(spec.origin).parent / "share" / "xilinx" / "cells_xtra.v").read_text()
    return re.search(rf"^module {name} ?\(.*?^endmodule$", text, re.DOTALL | re.MULTILINE)[0] + "\n"


def _typedef_before_use(text: str) -> str:
    block = re.search(
        r"\t\ttypedef int unsigned  leaf_load_t.*?endfunction : init_leaf_loads\n", text, re.DOTALL
    )
    if block is None:
        return text
    anchor = "\tuwire [SUM_WIDTH-1:0]  sum0;"
    return text.replace(block[0], "").replace(anchor, block[0] + anchor, 1)
