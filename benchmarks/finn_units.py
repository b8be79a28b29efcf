"""Single units over a grid of shapes, synthesised by Yosys: what the estimates are fitted to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from brevitas_quantizers.fixed_point import project_khot
from qfx_plugin.finn_plugin import adapter
from qfx_plugin.finn_plugin.hardware.stock import ram_style, unit_of
from qfx_plugin.finn_plugin.hardware.synthesis import yosys_counts

PART = "xczu3eg-sbva484-1-i"
DOMAIN = "finn.custom_op.fpgadataflow.rtl"


def unit(kind: str, name: str, folder: Path, outputs: int = 1, **attributes: Any) -> Any:
    """A unit with generated Verilog."""
    inputs = ["a", "b"] if kind in ("QFXAdd", "QFXMultiply", "QFXConcat") else ["a"]
    node = helper.make_node(
        f"{kind}_rtl", inputs, [f"o{i}" for i in range(outputs)], name=name, domain=DOMAIN,
        backend="fpgadataflow", code_gen_dir_ipgen=str(folder), **attributes,
    )  # fmt: skip
    op = adapter.module("qonnx.custom_op.registry").getCustomOp(node)
    with adapter.quiet():
        op.generate_hdl(None, PART, 5.0)
    return op


def _product(
    name: str, folder: Path, rows: int, columns: int, pe: int, simd: int, *, kind: str = "QFXMVU",
    bits: int = 8, signed: bool = False, width: int = 8, k: int | None = None,
    datapath: str = "auto", rom: str = "distributed",
) -> Any:  # fmt: skip
    rng = np.random.default_rng([rows, columns, pe, simd])
    weight = np.clip(np.rint(rng.normal(0, 1 << (width - 3), (rows, columns))),
                     -(1 << width - 1), (1 << width - 1) - 1).astype(np.int64)  # fmt: skip
    if k:
        weight = project_khot(weight * 1.0, width, True, k)
    span = int(np.abs(weight).sum(axis=1).max()) << bits
    out = span.bit_length() + 1
    bias = rng.integers(-span >> 4, (span >> 4) + 1, rows)
    return unit(
        kind, name, folder, NumChannels=rows, MW=columns, PE=pe, SIMD=simd,
        numInputVectors=[1, 1, 1], inputDataType=f"{'' if signed else 'U'}INT{bits}",
        outputDataType=f"INT{out}", weight=numpy_helper.from_array(weight.astype(np.int32), "w"),
        bias=[int(b) for b in bias], datapath=datapath, rom_style=rom,
    )  # fmt: skip


MVUS: tuple[dict[str, Any], ...] = (
    {"rows": 16, "columns": 27, "pe": 1, "simd": 3, "k": 2},
    {"rows": 16, "columns": 144, "pe": 2, "simd": 9, "k": 2, "rom": "block"},
    {"rows": 32, "columns": 64, "pe": 4, "simd": 8, "k": 1},
    {"rows": 32, "columns": 64, "pe": 4, "simd": 8, "rom": "block"},
    {"rows": 32, "columns": 64, "pe": 4, "simd": 8, "rom": "block", "datapath": "dsp"},
    {"rows": 32, "columns": 64, "pe": 1, "simd": 16, "bits": 4, "width": 4},
    {"rows": 32, "columns": 64, "pe": 8, "simd": 1, "bits": 4, "width": 4},
    {"rows": 64, "columns": 576, "pe": 4, "simd": 12, "k": 2, "rom": "block"},
    {"rows": 64, "columns": 576, "pe": 1, "simd": 8, "bits": 4, "width": 4, "rom": "block"},
    {"rows": 10, "columns": 64, "pe": 1, "simd": 1, "k": 2},
    {"rows": 10, "columns": 64, "pe": 1, "simd": 4, "signed": True, "k": 2},
    {"rows": 64, "columns": 784, "pe": 1, "simd": 1, "k": 2, "rom": "block"},
    {"rows": 32, "columns": 300, "pe": 2, "simd": 3, "rom": "block"},
    {"rows": 120, "columns": 400, "pe": 3, "simd": 8, "rom": "block", "datapath": "dsp"},
    {"rows": 16, "columns": 27, "pe": 4, "simd": 27, "k": 2},
    {"rows": 16, "columns": 144, "pe": 2, "simd": 36, "bits": 7, "rom": "block"},
    {"rows": 32, "columns": 144, "pe": 4, "simd": 12, "bits": 3, "width": 4},
    {"rows": 64, "columns": 288, "pe": 2, "simd": 32, "bits": 7, "k": 2, "rom": "block"},
    {"rows": 32, "columns": 16, "pe": 1, "simd": 4, "bits": 7, "k": 2},
    {"rows": 10, "columns": 84, "pe": 1, "simd": 1, "bits": 3, "width": 4},
    {"rows": 64, "columns": 784, "pe": 1, "simd": 2, "rom": "block"},
)
VVUS: tuple[dict[str, Any], ...] = (
    {"rows": 16, "columns": 9, "pe": 1, "simd": 1, "k": 2},
    {"rows": 32, "columns": 9, "pe": 8, "simd": 1, "bits": 4, "width": 4},
)
CASTS = (  # channels, PE, bits in, signed, width, signed cast, shift, spread, rounding, ReLU
    (16, 1, 18, True, 8, True, 9, 0, "AP_RND_CONV", True),
    (16, 4, 18, True, 8, True, 9, 3, "AP_RND_CONV", False),
    (16, 4, 14, True, 4, False, 9, 0, "AP_RND_CONV", True),
    (64, 2, 22, True, 8, True, 12, 1, "AP_RND", False),
    (32, 1, 9, True, 8, True, 1, 0, "AP_RND_CONV", True),
    (16, 1, 20, True, 8, True, 11, 3, "AP_RND_CONV", True),
    (64, 8, 19, True, 8, True, 10, 2, "AP_RND_CONV", True),
    (10, 1, 17, True, 4, True, 8, 0, "AP_TRN", False),
    (64, 1, 14, False, 8, False, 6, 0, "AP_RND_CONV", False),
    (32, 2, 12, True, 4, True, 5, 2, "AP_RND_CONV", True),
)
SCALED = (  # channels, PE, bits in, bits of the factors, width, shift, an offset per channel
    (16, 1, 18, 8, 8, 12, True), (16, 4, 14, 10, 6, 9, True), (8, 8, 12, 5, 8, 8, True),
    (64, 2, 22, 9, 12, 14, True), (32, 1, 24, 20, 10, 18, True), (8, 2, 10, 6, 4, 7, False),
    (16, 1, 16, 8, 8, 10, False), (12, 2, 22, 20, 5, 11, False),
)  # fmt: skip
WINDOWS = (  # image, channels, kernel, stride, SIMD, bits, depthwise
    (34, 3, 3, 1, 1, 8, 0), (34, 16, 3, 1, 4, 8, 0), (34, 16, 3, 2, 2, 8, 0),
    (10, 64, 3, 1, 2, 8, 0), (14, 6, 5, 1, 6, 4, 0), (28, 6, 2, 2, 1, 8, 1),
    (32, 16, 1, 2, 1, 8, 0), (18, 32, 3, 1, 8, 7, 0), (34, 16, 3, 1, 1, 3, 0),
    (10, 64, 3, 1, 16, 3, 0), (16, 32, 1, 2, 8, 7, 0), (24, 6, 2, 2, 3, 7, 1),
)  # fmt: skip
PADS = (
    (32, 3, 1, 1, 8), (16, 32, 1, 4, 8), (8, 64, 1, 16, 4), (32, 16, 1, 1, 7), (16, 32, 1, 2, 3),
)  # fmt: skip
CONVERTERS = (
    (8, 16, 64), (64, 8, 64), (16, 24, 48), (18, 72, 144), (8, 72, 72), (24, 216, 432),
    (16, 32, 128), (128, 16, 128), (32, 16, 64), (20, 80, 320), (72, 18, 144), (48, 32, 96),
)  # fmt: skip
FIFOS = (
    (8, 2), (8, 30), (32, 20), (8, 100), (32, 200), (8, 500), (32, 600), (64, 1100),
    (8, 5), (8, 6), (8, 9), (8, 17), (16, 2), (16, 3), (16, 12), (24, 8), (24, 33), (32, 2),
    (32, 4), (64, 2), (64, 10), (144, 2), (8, 33), (216, 3), (8, 40), (16, 64), (16, 257),
    (24, 65), (64, 34), (8, 1500), (16, 1025), (24, 2500), (8, 258),
)  # fmt: skip


def units(folder: Path) -> Iterator[Callable[[], Any]]:
    """Makers of all units of the grid, each in a folder of its own."""
    adapter.require()
    makers = [("QFXMVU", settings) for settings in MVUS] + [("QFXVVU", s) for s in VVUS]
    number = 0

    def place() -> tuple[str, Path]:
        nonlocal number
        number += 1
        path = folder / str(number)
        path.mkdir(parents=True)
        return "unit", path

    for kind, settings in makers:
        yield lambda kind=kind, settings=settings: _product(*place(), kind=kind, **settings)
    for setting in CASTS:
        yield lambda setting=setting: _cast(*place(), *setting)
    for setting in SCALED:
        yield lambda setting=setting: _scaled(*place(), *setting)
    for setting in WINDOWS:
        yield lambda setting=setting: _window(*place(), *setting)
    for size, channels, pad, simd, bits in PADS:
        yield lambda a=(size, channels, pad, simd, bits): _pad(*place(), *a)
    for setting in CONVERTERS:
        yield lambda setting=setting: _converter(*place(), *setting)
    for setting in FIFOS:
        yield lambda setting=setting: _fifo(*place(), *setting)
    yield from _small(place)


def _pad(name: str, folder: Path, size: int, channels: int, pad: int, simd: int, bits: int) -> Any:
    return unit(
        "FMPadding", name, folder, ImgDim=[size, size], Padding=[pad] * 4, NumChannels=channels,
        SIMD=simd, inputDataType=f"UINT{bits}", numInputVectors=1,
    )  # fmt: skip


def _converter(name: str, folder: Path, wide_in: int, wide_out: int, size: int) -> Any:
    return unit(
        "StreamingDataWidthConverter", name, folder, inShape=[1, size], outShape=[1, size],
        inWidth=wide_in, outWidth=wide_out, dataType="UINT1",
    )  # fmt: skip


def _fifo(name: str, folder: Path, width: int, depth: int) -> Any:
    return unit(
        "StreamingFIFO", name, folder, depth=depth, folded_shape=[1, 4, width],
        ram_style=ram_style(depth), normal_shape=[1, 4 * width], dataType="UINT1",
    )  # fmt: skip


def _cast(
    name: str, folder: Path, channels: int, pe: int, bits: int, signed: bool, width: int,
    signed_cast: bool, shift: int, spread: int, rounding: str, relu: bool,
) -> Any:  # fmt: skip
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed_cast else (0, (1 << width) - 1)
    rng = np.random.default_rng(channels)
    out = f"UINT{width - signed_cast}" if relu or not signed_cast else f"INT{width}"
    return unit(
        "QFXRequant", name, folder, NumChannels=channels, PE=pe, numInputVectors=[1, 4, 4],
        inputDataType=f"{'' if signed else 'U'}INT{bits}", outputDataType=out,
        mult=[1 << int(v) for v in rng.integers(0, spread + 1, channels)],
        offset=[0] * channels, lows=[0 if relu else low] * channels, highs=[high] * channels,
        shift=shift, width=width, signedCast=int(signed_cast), rounding=rounding,
        overflow="AP_SAT",
    )  # fmt: skip


def _scaled(
    name: str, folder: Path, channels: int, pe: int, bits: int, factor: int, width: int, shift: int,
    offsets: bool,
) -> Any:  # fmt: skip
    rng = np.random.default_rng(channels + pe)
    large = 1 << factor - 1
    return unit(
        "QFXRequant", name, folder, NumChannels=channels, PE=pe, numInputVectors=[1, 4, 4],
        inputDataType=f"INT{bits}", outputDataType=f"INT{width}",
        mult=[int(v) | 3 for v in rng.integers(large >> 1, large, channels)],
        offset=[int(v) * offsets for v in rng.integers(-(1 << bits), 1 << bits, channels)],
        lows=[-(1 << width - 1)] * channels, highs=[(1 << width - 1) - 1] * channels,
        shift=shift, width=width, signedCast=1, rounding="AP_RND_CONV", overflow="AP_SAT",
    )  # fmt: skip


def _window(
    name: str, folder: Path, image: int, channels: int, kernel: int, stride: int, simd: int,
    bits: int, depthwise: int,
) -> Any:  # fmt: skip
    out = (image - kernel) // stride + 1
    op = unit(
        "ConvolutionInputGenerator", name, folder, ConvKernelDim=[kernel] * 2,
        IFMChannels=channels, IFMDim=[image] * 2, OFMDim=[out] * 2, SIMD=simd, Stride=[stride] * 2,
        Dilation=[1, 1], inputDataType=f"UINT{bits}", outputDataType=f"UINT{bits}",
        depthwise=depthwise,
    )  # fmt: skip
    unit_of(op).choose_memory()
    with adapter.quiet():
        op.generate_hdl(None, PART, 5.0)
    return op


def _small(place: Any) -> Iterator[Callable[[], Any]]:
    adds = (
        (1, 8, 8, 12, [3, 0]), (4, 4, 4, 6, [1, 0]), (2, 8, 8, 9, [0, 0]), (8, 8, 7, 10, [1, 0]),
        (1, 4, 3, 8, [3, 0]),
    )  # fmt: skip
    for pe, left, right, out, shifts in adds:
        yield lambda pe=pe, left=left, right=right, out=out, shifts=shifts: unit(
            "QFXAdd", *place(), NumChannels=16, PE=pe, numInputVectors=[1, 4, 4], shifts=shifts,
            inputDataType=f"INT{left}", rhsDataType=f"UINT{right}", outputDataType=f"INT{out}",
        )  # fmt: skip
    yield from _moving(place)
    for pe, left, right in ((1, 8, 8), (4, 7, 5), (8, 4, 4)):
        yield lambda pe=pe, left=left, right=right: unit(
            "QFXConcat", *place(), NumChannels=48, PE=pe, numInputVectors=[1, 4, 4],
            ChannelsPerStream=[16, 32], inputDataType="", inputDataTypes=[
                f"INT{left}", f"UINT{right}",
            ], outputDataType=f"INT{max(left, right + 1)}",
        )  # fmt: skip
    for pe, bits in ((1, 8), (4, 4), (8, 7), (1, 3), (2, 8)):
        kinds = {"inputDataType": f"UINT{bits}", "outputDataType": f"UINT{bits}"}
        kinds |= {"NumChannels": 16, "PE": pe, "numInputVectors": [1, 4, 4]}
        copies = {"NumOutputStreams": 2, "outFIFODepths": [2, 2]}
        yield lambda kinds=kinds, copies=copies: unit(
            "QFXDuplicate", *place(), 2, **kinds, **copies
        )
        pool = {"Taps": 4, "Function": "MaxPool"}
        yield lambda kinds=kinds, pool=pool: unit("QFXPool", *place(), **kinds, **pool)
        sums = {**kinds, "outputDataType": f"UINT{bits + 6}", "numInputVectors": [1, 8, 8]}
        sums["NumChannels"] = 16 * pe if pe < 4 else 16
        yield lambda sums=sums: unit("QFXGlobalSum", *place(), **sums)


def _moving(place: Any) -> Iterator[Callable[[], Any]]:
    """Orders of an image of 8 x 8 pixels, and products with and without a constant."""
    image = np.arange(8 * 8 * 16).reshape(8, 8, 16)
    orders = (
        (image[2:6, 1:7], 16), (image.repeat(2, 0).repeat(2, 1), 4), (image.transpose(1, 0, 2), 8),
        (np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=-1), 2), (image[:, :, 4:8], 1),
        (image.transpose(2, 0, 1), 1), (image[::-1], 4), (image.transpose(1, 0, 2), 1),
    )  # fmt: skip
    for order, pe in orders:
        for bits in (3, 8):
            yield lambda order=order, pe=pe, bits=bits: unit(
                "QFXGather", *place(), NumChannels=order.shape[-1], PE=pe, InChannels=16,
                numInputVectors=[1, *order.shape[:-1]], inVectors=[1, 8, 8],
                places=numpy_helper.from_array(order.reshape(-1), "places"),
                inputDataType=f"UINT{bits}", outputDataType=f"UINT{bits}",
            )  # fmt: skip
    yield from _tables(place)
    rng = np.random.default_rng(0)
    for pe, left, right in ((1, 8, 8), (4, 4, 4), (2, 8, 7), (8, 3, 4), (1, 2, 8), (4, 3, 3)):
        kinds = {"NumChannels": 16, "PE": pe, "numInputVectors": [1, 4, 4], "shifts": [1, 0]}
        kinds |= {"inputDataType": f"INT{left}", "outputDataType": f"INT{left + right}"}
        yield lambda kinds=kinds, right=right: unit(
            "QFXMultiply", *place(), rhsDataType=f"UINT{right}", **kinds
        )
        known = numpy_helper.from_array(rng.integers(0, 1 << right, 256), "known")
        for function in ("Add", "Multiply"):
            yield lambda kinds=kinds, right=right, known=known, function=function: unit(
                "QFXKnown",
                *place(),
                known=known,
                knownDataType=f"UINT{right}",
                Function=function,
                **kinds,
            )


def _tables(place: Any) -> Iterator[Callable[[], Any]]:
    """Tables of SiLU's shape, or of noise, one for all channels or several."""
    rng = np.random.default_rng(1)
    grid = ((1, 8, 8, 1), (4, 8, 8, 1), (1, 6, 8, 1), (2, 7, 6, 1), (2, 8, 4, 3), (1, 10, 8, 1),
            (4, 7, 4, 1), (1, 6, 8, 4))  # fmt: skip
    for pe, bits, wide, count in grid:
        low, high = -(1 << bits - 1), 1 << bits - 1
        x = np.arange(low, high) / 2.0 ** (bits - 4)
        smooth = x / (1 + np.exp(-x)) * 2.0 ** (wide - 4)
        table = np.array([np.clip(np.rint(smooth + rng.normal(0, number, x.size)),
                                  -(1 << wide - 1), (1 << wide - 1) - 1)
                          for number in range(count)]).astype(np.int64)  # fmt: skip
        yield lambda pe=pe, bits=bits, wide=wide, count=count, table=table, low=low: unit(
            "QFXLookup", *place(), NumChannels=16, PE=pe, numInputVectors=[1, 4, 4],
            table=numpy_helper.from_array(table, "table"), low=low,
            numbers=[channel % count for channel in range(16)],
            inputDataType=f"INT{bits}", outputDataType=f"INT{wide}",
        )  # fmt: skip


def main() -> None:
    """Measure the whole grid; results are kept by content."""
    with tempfile.TemporaryDirectory() as folder:
        for make in units(Path(folder)):
            op = make()
            total = yosys_counts(op).total
            print(op.onnx_node.name, op.onnx_node.op_type, total, flush=True)


if __name__ == "__main__":
    main()
