"""Step `shell`: the AXI-Stream top around hls4ml's function, simulated through its streams."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat, cast_codes

from ...errors import VerificationError
from ...tools import compiler
from ..render import render
from ..steps import Facts, StepContext
from .project import copy_sources
from .wire import Wire, beat_lines

TESTBENCH_SAMPLES = 64
"""More would make the files and Vitis' own simulation large; all samples are compared before."""

TIME_LIMIT = 1800
_OWN_FLAGS = ("-O0", "-std=c++14", "-Wno-unknown-pragmas")
"""Optimised, g++ warns about numbers inside the vendor's headers that only seem unset."""

_NETWORK_FLAGS = ("-O1", "-std=c++14")


def run(context: StepContext) -> Facts:
    """Write shell, test bench and vectors; compile them strictly; run them.

    Raises:
        TargetError: an option that does not fit the model or the board.
        VerificationError: a beat differs.
    """
    layout = json.loads((context.input("convert") / "layout.json").read_text())
    wires = _wires(context, layout)
    top = f"{layout['project']}_axi"
    copy_sources(context, context.folder)
    _write_sources(context.folder, layout, wires, top)
    samples = _write_vectors(context, layout, wires)
    closing = _simulate(context, layout["project"], top)
    context.log.info("test bench: %s", closing)
    accelerator = _describe(context, layout, wires, top)
    (context.folder / "accelerator.json").write_text(json.dumps(accelerator, indent=2) + "\n")
    size = samples * wires["output"].size
    entry = {
        "executor": "hls4ml through AXI-Stream",
        "samples": samples,
        "compared": size,
        "differing": 0,
    }
    return {"agreement": [entry], "top": top, "interface": context.options.settings.interface}


def _wires(context: StepContext, layout: dict[str, Any]) -> dict[str, Wire]:
    settings = context.options.settings
    is_float = settings.interface == "float"
    (source,) = context.facts("import")["inputs"]
    (result,) = context.facts("import")["outputs"]
    sizes = {"input": np.prod(source["shape"]), "output": np.prod(result["shape"])}
    return {
        name: _wire(layout[f"{name}_type"], int(size), settings.axis_width, is_float).check(
            name, exact_float=name == "output"
        )
        for name, size in sizes.items()
    }


def _wire(kind: str, size: int, beat_bits: int, is_float: bool) -> Wire:
    fmt = _cast(kind).format
    return Wire(size, fmt.width, fmt.signed, fmt.frac_bits, beat_bits, is_float)


def _cast(kind: str) -> FixedPointCast:
    """`ap_fixed<8,2,AP_RND_CONV,AP_SAT>` as our cast."""
    from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode

    name, _, inside = kind.rstrip(">").partition("<")
    width, integer, *modes = [part.strip() for part in inside.split(",")]
    rounding = RoundingMode(modes[0]) if modes else RoundingMode.AP_TRN
    overflow = OverflowMode(modes[1]) if len(modes) > 1 else OverflowMode.AP_WRAP
    fmt = FixedPointFormat(int(width), int(integer), name == "ap_fixed")
    return FixedPointCast(fmt, rounding, overflow)


def _write_sources(folder: Path, layout: dict[str, Any], wires: dict[str, Wire], top: str) -> None:
    source, result = wires["input"], wires["output"]
    values = {
        "TOP": top,
        "PROJECT": layout["project"],
        "GUARD": f"{top.upper()}_H_",
        "BEAT": source.beat_bits,
        "FLOAT": str(source.is_float).lower(),
        "INPUT_SIZE": source.size,
        "INPUT_BITS": source.bits,
        "OUTPUT_SIZE": result.size,
        "OUTPUT_BITS": result.bits,
    }
    kind = "stream" if layout["io_type"] == "io_stream" else "parallel"
    for name, template in (
        (f"{top}.h", "shell.h"),
        (f"{top}.cpp", f"shell_{kind}.cpp"),
        ("qfx_axi_stream.h", "qfx_axi_stream.h"),
        ("testbench.cpp", "testbench.cpp"),
        ("standin/ap_axi_sdata.h", "ap_axi_sdata.h"),
    ):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(render(f"hls4ml/{template}", **values), encoding="utf-8")


def _write_vectors(context: StepContext, layout: dict[str, Any], wires: dict[str, Wire]) -> int:
    """Beats in and beats expected; also as arrays, for the board."""
    source = context.input("import")
    inputs = np.load(source / "inputs.npy")[:TESTBENCH_SAMPLES]
    expected = np.load(source / "expected_0.npy")[: len(inputs)]
    (result,) = context.facts("import")["outputs"]
    points = np.asarray(result["frac_bits"]).reshape(-1, *[1] * (len(result["shape"]) - 1))
    # Channels last on the wire, and one binary point for all channels.
    codes = expected << (wires["output"].frac_bits - points)
    flat = np.empty((len(codes), wires["output"].size), dtype=np.int64)
    flat[:, np.asarray(layout["output_index"])] = codes.reshape(len(codes), -1)
    given = np.moveaxis(inputs, 1, -1).reshape(len(inputs), -1)
    cast = _cast(layout["input_type"])
    given_codes = cast_codes(
        given.astype(np.float64), cast.format.frac_bits, cast.format.width, cast.format.signed,
        cast.rounding, cast.overflow,
    )  # fmt: skip
    if wires["input"].is_float:
        sent, wanted = given, np.ldexp(flat.astype(np.float64), -wires["output"].frac_bits)
    else:
        sent, wanted = given_codes, flat
    folder = context.folder
    (folder / "input_beats.txt").write_text(beat_lines(wires["input"].pack(sent)))
    (folder / "expected_beats.txt").write_text(beat_lines(wires["output"].pack(wanted)))
    np.save(folder / "inputs.npy", inputs)
    np.save(folder / "expected.npy", codes)
    return len(inputs)


def _simulate(context: StepContext, project: str, top: str) -> str:
    """Compile our sources without a warning, link them with the network, run the test bench."""
    folder, scratch = context.folder, context.scratch
    firmware = folder / "firmware"
    others = [firmware, firmware / "ap_types", folder / "standin"]
    objects = []
    for index, name in enumerate((f"{top}.cpp", "testbench.cpp")):
        context.progress(index, 3, f"compiling {name}")
        objects.append(
            compiler.compile_strictly(
                folder / name,
                scratch / f"{name}.o",
                include_dirs=[folder],
                system_dirs=[*others, firmware / "nnet_utils"],
                flags=_OWN_FLAGS,
            )
        )
    context.progress(2, 3, f"compiling {project}.cpp")
    objects.append(
        compiler.compile_object(
            firmware / f"{project}.cpp",
            scratch / "network.o",
            include_dirs=others,
            defines={"WEIGHTS_DIR": f'"{firmware / "weights"}"'},
            flags=_NETWORK_FLAGS,
        )
    )
    program = compiler.link_program(objects, scratch / "testbench")
    result = subprocess.run(
        [program, str(folder)], capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )
    lines = [line for line in result.stdout.strip().splitlines() if line] or ["no output"]
    if result.returncode != 0:
        raise VerificationError(
            f"test bench of {top} ends with status {result.returncode}: {'; '.join(lines[-2:])}"
        )
    context.progress(3, 3, lines[-1])
    return lines[-1]


def _describe(
    context: StepContext, layout: dict[str, Any], wires: dict[str, Wire], top: str
) -> dict[str, Any]:
    """What software must know to use the accelerator."""
    (source,) = context.facts("import")["inputs"]
    (result,) = context.facts("import")["outputs"]
    return {
        "version": 1,
        "top": top,
        "network": context.facts("import")["network"],
        "board": context.board.name,
        "interface": context.options.settings.interface,
        "beat_bits": wires["input"].beat_bits,
        "input": {
            "name": source["name"],
            "shape": source["shape"],
            "order": "channels last",
            "type": layout["input_type"],
            **wires["input"].describe(),
        },
        "output": {
            "name": result["name"],
            "shape": result["shape"],
            "index": layout["output_index"],
            "type": layout["output_type"],
            **wires["output"].describe(),
        },
        "blocks": {"accelerator": top, "dma": "dma"},
        "registers": {"control": 0x00, "samples": 0x10},
    }
