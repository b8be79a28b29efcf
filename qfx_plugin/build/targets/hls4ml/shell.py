"""Step `shell`: the AXI-Stream top around hls4ml's function, simulated through its streams."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat, cast_codes

from ....driver import Description, InputTensor, OutputTensor, QfxAccelerator
from ....driver.description import HLS
from ....errors import TargetError, VerificationError
from ....shell.simulated_hls import SimulatedHls, compile_hls
from ....shell.wrap import DMA_LENGTH_BITS, network_id
from ....tools import compiler, process
from ...board_values import accelerator_address, dma_address, told_clock
from ...compare import Comparison
from ...render import render
from ...steps import Facts, StepContext
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
    objects = _compile(context, layout["project"], top)
    closing = _simulate(context, objects, top)
    context.log.info("test bench: %s", closing)
    description = describe(context, layout, wires, top)
    (context.folder / "accelerator.json").write_text(description.to_json(), encoding="utf-8")
    size = samples * wires["output"].size
    streams = {
        "executor": "hls4ml through AXI-Stream",
        "samples": samples,
        "compared": size,
        "differing": 0,
    }
    return {
        "agreement": [streams, _drive(context, description, objects)],
        "top": top,
        "interface": context.options.settings.interface,
        "checks": told_clock(context),
    }


def _wires(context: StepContext, layout: dict[str, Any]) -> dict[str, Wire]:
    settings = context.options.settings
    counts = [len(context.facts("import")[name]) for name in ("inputs", "outputs")]
    if counts != [1, 1]:
        raise TargetError(
            f"the AXI-Stream top of target hls4ml has one input and one output, not {counts[0]} "
            f"and {counts[1]}: use target rtl, or the project of step convert in a top of your own"
        )
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
    given = np.empty((len(inputs), len(layout["input_index"])), dtype=inputs.dtype)
    given[:, layout["input_index"]] = inputs.reshape(len(inputs), -1)
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
    np.save(folder / "expected_0.npy", codes)
    return len(inputs)


def _compile(context: StepContext, project: str, top: str) -> list[Path]:
    """Objects of top, test bench and network; our sources compile without a warning."""
    folder, scratch = context.folder, context.scratch
    firmware = folder / "firmware"
    others = [firmware, firmware / "ap_types", folder / "standin"]
    objects = []
    for index, name in enumerate((f"{top}.cpp", "testbench.cpp")):
        context.progress(index, 4, f"compiling {name}")
        objects.append(
            compiler.compile_strictly(
                folder / name,
                scratch / f"{name}.o",
                include_dirs=[folder],
                system_dirs=[*others, firmware / "nnet_utils"],
                flags=_OWN_FLAGS,
            )
        )
    context.progress(2, 4, f"compiling {project}.cpp")
    objects.append(
        compiler.compile_object(
            firmware / f"{project}.cpp",
            scratch / "network.o",
            include_dirs=others,
            defines={"WEIGHTS_DIR": f'"{firmware / "weights"}"'},
            flags=_NETWORK_FLAGS,
        )
    )
    return objects


def _simulate(context: StepContext, objects: Sequence[Path], top: str) -> str:
    """Run the test bench; returns its last line."""
    folder, scratch = context.folder, context.scratch
    program = compiler.link_program(objects, scratch / "testbench")
    try:
        result = process.run([str(program), str(folder)], timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise VerificationError(f"test bench of {top} took more than {TIME_LIMIT} s") from None
    lines = [line for line in result.stdout.strip().splitlines() if line] or ["no output"]
    if result.returncode != 0:
        raise VerificationError(
            f"test bench of {top} ends with status {result.returncode}: {'; '.join(lines[-2:])}"
        )
    context.progress(3, 4, lines[-1])
    return lines[-1]


def _drive(context: StepContext, description: Description, objects: Sequence[Path]) -> Facts:
    """The driver of the overlay runs the compiled top; an entry of `agreement`.

    Raises:
        VerificationError: a code differs.
    """
    shell, _, network = objects
    library = compile_hls(
        context.folder, description, context.scratch / "board.so", (shell, network)
    )
    inputs = np.load(context.folder / "inputs.npy")
    expected = np.load(context.folder / "expected_0.npy")
    with QfxAccelerator(SimulatedHls(library, description), description) as accelerator:
        codes = accelerator.run(inputs, codes=True)
    comparison = Comparison("driver and AXI-Stream top, C++", context.log)
    name = description.outputs[0].name
    comparison.add_codes({name: codes}, {name: expected})
    context.progress(4, 4, "driver")
    return comparison.entry()


def describe(
    context: StepContext, layout: dict[str, Any], wires: dict[str, Wire], top: str
) -> Description:
    """What the driver must know of the accelerator."""
    (source,) = context.facts("import")["inputs"]
    (result,) = context.facts("import")["outputs"]
    cast, fmt = _cast(layout["input_type"]), _cast(layout["output_type"]).format
    description = Description(
        top=top,
        network=context.facts("import")["network"],
        network_id="0" * 32,
        board=context.board.name,
        clock_mhz=context.board.clock.reachable(context.options.clock_mhz),
        inputs=(
            InputTensor(
                source["name"],
                tuple(source["shape"]),
                (cast,),
                order=(),
                coded_shape=tuple(source["shape"]),
                places=_places(layout["input_index"]),
            ),
        ),
        outputs=(
            OutputTensor(
                result["name"], tuple(result["shape"]), (fmt,), _places(layout["output_index"])
            ),
        ),
        channels_last=False,
        input_layout=wires["input"].layout(),
        output_layout=wires["output"].layout(),
        interval=0,
        accelerator_address=accelerator_address(context.board),
        dma_address=dma_address(context.board),
        dma_length_bits=DMA_LENGTH_BITS,
        control=HLS,
    )
    return replace(description, network_id=network_id(_sources(context.folder), description))


def _places(found: Sequence[int] | NDArray[Any]) -> tuple[int, ...]:
    """Empty if nothing changes its place."""
    places = tuple(int(place) for place in found)
    return () if places == tuple(range(len(places))) else places


def _sources(folder: Path) -> dict[str, str]:
    """C++ and weights of the accelerator, by name; test vectors and others' headers are not."""
    paths = [
        *folder.glob("*_axi.*"),
        folder / "qfx_axi_stream.h",
        *(folder / "firmware").rglob("*"),
    ]
    own = [path for path in sorted(paths) if path.is_file() and "ap_types" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in own}
