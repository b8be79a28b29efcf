"""C++ around the K-hot kernels: many layers in one library, each compared with the interpreter.

A case is a graph of four operations (input, cast, layer, cast). The same configuration text that
the backend writes is compiled with the kernels, without hls4ml's converter in between.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

import qfx_plugin.hls4ml_backend as package
from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode, khot_codes
from brevitas_quantizers.fixed_point.format import FixedPointCast
from qfx_plugin.hls4ml_backend.khot.codes import KHotCodes, encode
from qfx_plugin.hls4ml_backend.khot.folding import Folding
from qfx_plugin.hls4ml_backend.khot.source import conv_config, kernel_config
from qfx_plugin.hls4ml_backend.lowering import layers
from qfx_plugin.hls4ml_backend.lowering.plan import exact
from qfx_plugin.ir import (
    Add,
    Constant,
    Conv,
    Graph,
    Input,
    Linear,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Weight,
    Window,
    interpret,
)
from qfx_plugin.tools import compiler

HEADERS = Path(package.__file__).parent / "templates" / "nnet_utils"
ROUNDINGS = [RoundingMode.AP_TRN, RoundingMode.AP_RND, RoundingMode.AP_RND_CONV]
OVERFLOWS = [OverflowMode.AP_WRAP, OverflowMode.AP_SAT]

PRELUDE = """\
#include "nnet_khot.h"
#include "nnet_khot_stream.h"
#include "nnet_conv1d_stream.h"
#include "nnet_conv2d_stream.h"
#include "nnet_sepconv2d_stream.h"

// Gathers the windows of all pixels; what lies outside the image is zero.
template <class data_T, typename CONFIG_T> struct Gather {
    static void fill_buffer(data_T data[CONFIG_T::n_data],
                            data_T windows[CONFIG_T::n_pixels][CONFIG_T::n_window], unsigned part) {
        for (unsigned pixel = 0; pixel < CONFIG_T::n_pixels; pixel++) {
            const unsigned place = part * CONFIG_T::n_pixels + pixel;
            const unsigned row = place / CONFIG_T::out_width, column = place % CONFIG_T::out_width;
            const int top = int(row * CONFIG_T::stride_height) - int(CONFIG_T::pad_top);
            const int left = int(column * CONFIG_T::stride_width) - int(CONFIG_T::pad_left);
            unsigned element = 0;
            for (int y = top; y < top + int(CONFIG_T::filt_height); y++)
                for (int x = left; x < left + int(CONFIG_T::filt_width); x++)
                    for (unsigned c = 0; c < CONFIG_T::n_chan; c++, element++) {
                        const bool inside = y >= 0 && y < int(CONFIG_T::in_height) && x >= 0 &&
                                            x < int(CONFIG_T::in_width);
                        const int source = (y * CONFIG_T::in_width + x) * CONFIG_T::n_chan + c;
                        windows[pixel][element] = inside ? data[source] : data_T(0);
                    }
        }
    }
};
"""

FUNCTION = """
{config}
static {weight_t} {name}_w[] = {{{words}}};
static {bias_t} {name}_b[] = {{{biases}}};
extern "C" void {name}(const double *in, double *out) {{
    static data_{name} data[{n_data}];
    static res_{name} res[{n_results}];
    for (unsigned i = 0; i < {n_data}; i++)
        data[i] = in[i];
    {call}
    for (unsigned i = 0; i < {n_results}; i++)
        out[i] = res[i].to_double();
}}
"""

STREAMED = """hls::stream<nnet::array<data_{name}, {pack_in}>> source;
    hls::stream<nnet::array<res_{name}, {pack_out}>> sink;
    for (unsigned i = 0; i < {n_data}; i += {pack_in}) {{
        nnet::array<data_{name}, {pack_in}> pack;
        for (unsigned j = 0; j < {pack_in}; j++)
            pack[j] = data[i + j];
        source.write(pack);
    }}
    {call}
    for (unsigned i = 0; i < {n_results}; i += {pack_out}) {{
        const nnet::array<res_{name}, {pack_out}> pack = sink.read();
        for (unsigned j = 0; j < {pack_out}; j++)
            res[i + j] = pack[j];
    }}"""


@dataclass(frozen=True)
class Case:
    """One layer, and how it is folded.

    Attributes:
        name: C++ name.
        graph: input, cast, layer, cast.
        reuse_factor: cycles of a result, or None for the largest possible.
        streams: whether the layer is between streams.
    """

    name: str
    graph: Graph
    reuse_factor: int | None
    streams: bool

    @property
    def layer(self) -> Op:
        return self.graph.producer("y")

    def source(self) -> str:
        """The C++ of this case."""
        makers = {Linear: self._dense, Conv: self._conv, Add: self._scale, PRelu: self._prelu}
        config, call, codes, biases, n_out = makers[type(self.layer)]()
        shape_in, shape_out = (self._shape(name) for name in ("q", "y"))
        n_data, n_results = prod(shape_in), prod(shape_out)
        call = call.format(c=self.name, d=f"data_{self.name}", r=f"res_{self.name}",
                           pi=shape_in[-1], po=shape_out[-1])  # fmt: skip
        if self.streams:
            call = STREAMED.format(name=self.name, pack_in=shape_in[-1], pack_out=shape_out[-1],
                                   n_data=n_data, n_results=n_results, call=call)  # fmt: skip
        types = self._types()
        biases = np.zeros(n_out) if biases is None else biases
        return (
            f"typedef {types['data_t']} data_{self.name};\n"
            f"typedef {types['res_t']} res_{self.name};\n"
        ) + FUNCTION.format(
            name=self.name, config=config, n_data=n_data, n_results=n_results, call=call,
            weight_t=f"ap_uint<{codes.word_bits}>", bias_t=types["bias_t"],
            words=", ".join(map(str, codes.words.ravel())),
            biases=", ".join(repr(float(value)) for value in biases),
        )  # fmt: skip

    def _dense(self) -> tuple:
        op = self.layer
        folding = self._folding(op.weight.codes.shape[1], op.outputs)
        codes = reordered(layers.weight_values(op.weight).T, folding)
        config = kernel_config(f"{self.name}_t", codes, folding, self._typedefs(codes))
        call = "nnet::KhotDense<{d}, {r}, {c}_t>::dense(data, res, {c}_w, {c}_b);"
        if self.streams:
            call = ("nnet::khot_dense<nnet::array<{d}, {pi}>, nnet::array<{r}, {po}>, {c}_t>"
                    "(source, sink, {c}_w, {c}_b);")  # fmt: skip
        return config, call, codes, self._bias(op), op.outputs

    def _conv(self) -> tuple:
        op = self.layer
        depthwise = op.groups > 1
        window = op.window.two_dimensional()
        taps, per_group = prod(window.kernel), op.weight.codes.shape[1]
        folding = self._folding(taps * per_group, op.outputs)
        kernel = layers.weight_values(op.weight).reshape(op.outputs, per_group, taps)
        codes = reordered(kernel.transpose(2, 1, 0).reshape(-1, op.outputs), folding)
        height, width, channels = self._shape("q")
        out_height, out_width, _ = self._shape("y")
        (top, bottom), (left, right) = window.pads
        geometry = {
            "in_height": height, "in_width": width, "n_chan": channels, "n_filt": op.outputs,
            "filt_height": window.kernel[0], "filt_width": window.kernel[1], "kernel_size": taps,
            "stride_height": window.strides[0], "stride_width": window.strides[1],
            "pad_top": top, "pad_bottom": bottom, "pad_left": left, "pad_right": right,
            "out_height": out_height, "out_width": out_width,
            "reuse_factor": folding.reuse_factor,
            "n_partitions": out_height, "n_pixels": out_width, "n_window": taps * channels,
            "n_data": prod(self._shape("q")), "n_results": prod(self._shape("y")),
        }  # fmt: skip
        types = self._typedefs(codes)
        name = "KhotDepthwise" if depthwise else "KhotDense"
        config = kernel_config(f"{self.name}_mult", codes, folding, types, kernel=name)
        config += conv_config(
            f"{self.name}_t", f"{self.name}_mult", geometry, types,
            folded=folding.reuse_factor > 1, fill_buffer="Gather",
        )  # fmt: skip
        call = "nnet::khot_conv<{d}, {r}, {c}_t>(data, res, {c}_w, {c}_b);"
        if self.streams:
            function = "depthwise_conv_2d_cl" if depthwise else "conv_2d_cl"
            call = (f"nnet::{function}"
                    "<nnet::array<{d}, {pi}>, nnet::array<{r}, {po}>, {c}_t>"
                    "(source, sink, {c}_w, {c}_b);")  # fmt: skip
        return config, call, codes, self._bias(op), op.outputs

    def _scale(self) -> tuple:
        product, shift = (self.graph.producer(name) for name in self.layer.inputs)
        scale = self.graph.producer(product.inputs[1])
        config, codes = self._elementwise(layers.weight_values(scale.weight).ravel(), "khot_scale")
        call = "nnet::khot_elementwise<{d}, {r}, {c}_t>(data, res, {c}_w, {c}_b);"
        if self.streams:
            call = ("nnet::khot_elementwise<nnet::array<{d}, {pi}>, nnet::array<{r}, {po}>, {c}_t>"
                    "(source, sink, {c}_w, {c}_b);")  # fmt: skip
        return config, call, codes, layers.weight_values(shift.weight).ravel(), codes.words.size

    def _prelu(self) -> tuple:
        config, codes = self._elementwise(layers.weight_values(self.layer.slope), "khot_prelu")
        call = "nnet::khot_elementwise<{d}, {r}, {c}_t>(data, res, {c}_w);"
        if self.streams:
            call = ("nnet::khot_elementwise<nnet::array<{d}, {pi}>, nnet::array<{r}, {po}>, {c}_t>"
                    "(source, sink, {c}_w);")  # fmt: skip
        return config, call + " (void){c}_b;", codes, None, 1

    def _elementwise(self, constants: np.ndarray, operation: str) -> tuple[str, KHotCodes]:
        shape = self._shape("q")
        folding = self._folding(1, shape[-1] if self.streams else prod(shape))
        codes = encode(constants)
        config = kernel_config(
            f"{self.name}_t", codes, folding, self._typedefs(codes),
            operation=operation, n_in=prod(shape), n_bias=codes.words.size,
        )  # fmt: skip
        return config, codes

    def _folding(self, n_in: int, n_out: int) -> Folding:
        return Folding(n_in, n_out, self.reuse_factor or n_in * n_out)

    def _types(self) -> dict[str, str]:
        data, result = (self.graph.producer(name) for name in ("q", "out"))
        bias = self._bias_weight()
        cast = {
            op: FixedPointCast(op.formats[0], op.rounding, op.overflow) for op in (data, result)
        }
        fmt = layers.weight_format(bias) if bias is not None else cast[data].format
        return {"data_t": str(cast[data]), "res_t": str(cast[result]), "bias_t": str(exact(fmt))}

    def _typedefs(self, codes: KHotCodes) -> dict[str, str]:
        accumulator = self.graph.formats()["y"]
        return {
            "accum_t": str(exact(accumulator)),
            "bias_t": self._types()["bias_t"],
            "weight_t": f"ap_uint<{codes.word_bits}>",
        }

    def _bias_weight(self) -> Weight | None:
        if isinstance(self.layer, Add):
            return self.graph.producer(self.layer.inputs[1]).weight
        return getattr(self.layer, "bias", None)

    def _bias(self, op: Linear | Conv) -> np.ndarray | None:
        return None if op.bias is None else layers.weight_values(op.bias)

    def _shape(self, tensor: str) -> tuple[int, ...]:
        return layers.channels_last(self.graph.types()[tensor].shape)

    def run(self, library: ctypes.CDLL, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Values of the kernel, and of the interpreter, channels first."""
        source = self.graph.inputs[0]
        rng = np.random.default_rng(len(self.name))
        quantize = self.graph.producer("q")
        x = rng.integers(-70, 70, size=(samples, *source.shape)) * 2.0**-quantize.frac_bits
        expected = interpret(self.graph, x)["out"].values
        shape = self._shape("y")
        actual = np.empty((samples, *shape))
        function = getattr(library, self.name)
        for sample, row in zip(x, actual, strict=True):
            moved = sample if sample.ndim == 1 else np.moveaxis(sample, 0, -1)
            flat = np.ascontiguousarray(moved, dtype=np.float64)
            function(flat.ctypes.data_as(ctypes.c_void_p), row.ctypes.data_as(ctypes.c_void_p))
        actual = actual.reshape(expected.shape[0], -1, expected.shape[1])
        return np.moveaxis(actual, -1, 1).reshape(expected.shape), expected


def reordered(values: np.ndarray, folding: Folding) -> KHotCodes:
    """Codes of an (n_in, n_out) array in the order in which the lanes read them."""
    return encode(values.ravel()[folding.order()])


def build(cases: list[Case], folder: Path, *flags: str) -> tuple[ctypes.CDLL, str]:
    """Compile all cases into one library; also returns what the compiler said."""
    source, library = folder / "cases.cpp", folder / "cases.so"
    source.write_text(PRELUDE + "".join(case.source() for case in cases))
    said = compile_cpp(source, *flags, "-O1", "-fPIC", "-shared", "-o", str(library))
    return ctypes.CDLL(str(library)), said


def compile_cpp(source: Path, *flags: str, headers: Path = HEADERS) -> str:
    """Compile with all warnings on; returns the compiler's messages. Pragmas are for Vitis HLS."""
    templates = Path(importlib.util.find_spec("hls4ml").origin).parent / "templates"
    command = [compiler.require(), "-std=c++17", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
    command += [*flags, f"-I{headers}"]
    for path in ("vitis/nnet_utils", "vivado/nnet_utils", "vivado/ap_types"):
        command += ["-isystem", str(templates / path)]
    result = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[:4000]
    return result.stderr


class Maker:
    """Random layers with K-hot weights; formats, signs and rounding differ from case to case."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def weight(self, shape: tuple[int, ...], k: int, *, per_channel: bool = True) -> Weight:
        width = int(self.rng.integers(4, 9))
        codes = self.rng.choice(khot_codes(width, True, k), size=shape)
        points = width - 2 + self.rng.integers(-1, 3, size=shape[0] if per_channel else 1)
        return Weight(codes, points, width, k=k)

    def graph(self, shape: tuple[int, ...], *ops: Op) -> Graph:
        """Input, a cast to tensor "q", `ops` up to tensor "y", a cast to tensor "out"."""
        rng = self.rng
        signed = bool(rng.integers(2))
        frac = int(rng.integers(0, 6))
        head = (
            Input("x", (), "x", shape),
            Quantize("q", ("x",), "q", int(rng.integers(4, 9)), frac, signed),
        )
        y = Graph((*head, *ops), ("y",)).verify().formats()["y"]
        cast = Quantize(
            "out", ("y",), "out", max(4, y.width - int(rng.integers(2, 6))),
            y.frac_bits - int(rng.integers(0, 3)),
            rounding=rng.choice(ROUNDINGS), overflow=rng.choice(OVERFLOWS),
        )  # fmt: skip
        return Graph((*head, *ops, cast), ("out",)).verify()

    def dense(self, n_in: int, n_out: int, k: int, *, bias: bool = True) -> Graph:
        bias_weight = self.weight((n_out,), 3) if bias else None
        op = Linear("fc", ("q",), "y", self.weight((n_out, n_in), k), bias_weight)
        return self.graph((n_in,), op)

    def conv(
        self, image: tuple[int, ...], outputs: int, window: Window, k: int, *, groups: int = 1
    ) -> Graph:
        weight = self.weight((outputs, image[0] // groups, *window.kernel), k)
        op = Conv("conv", ("q",), "y", weight, self.weight((outputs,), 2), window, groups)
        return self.graph(image, op)

    def scale(self, image: tuple[int, ...], k: int) -> Graph:
        channels = (image[0], *[1] * (len(image) - 1))
        return self.graph(
            image,
            Constant("scale", (), "s", self.weight(channels, k)),
            Multiply("mul", ("q", "s"), "p"),
            Constant("shift", (), "b", self.weight(channels, 3)),
            Add("add", ("p", "b"), "y"),
        )

    def prelu(self, image: tuple[int, ...], k: int) -> Graph:
        return self.graph(image, PRelu("prelu", ("q",), "y", self.weight((image[0],), k)))
