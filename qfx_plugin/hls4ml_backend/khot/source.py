"""The configuration structs that the kernels of `templates/nnet_utils` are instantiated with."""

from __future__ import annotations

from collections.abc import Mapping

from .codes import KHotCodes
from .folding import Folding

BRAM_BITS = 4096
"""From this size on, the codes of a folded layer live in block RAM: a quarter of an 18 Kb block,
or 64 LUTs as 64x1 ROMs."""


def kernel_config(
    name: str,
    codes: KHotCodes,
    folding: Folding,
    types: Mapping[str, str],
    *,
    kernel: str | None = None,
    operation: str | None = None,
    n_in: int | None = None,
    n_bias: int | None = None,
) -> str:
    """Text of the struct that a kernel takes its constants from.

    Args:
        name: name of the struct.
        codes: the constants, in the kernel's order.
        folding: of the kernel's work.
        types: C++ names of the typedefs `accum_t`, `bias_t` and `weight_t`.
        kernel: class of the sum of products, for convolutions.
        operation: "khot_scale" or "khot_prelu", for element-wise layers.
        n_in: elements of the layer, if not those of the folding (element-wise, between streams).
        n_bias: constants that are added, if not one for each output.
    """
    in_bram = codes.words.size * codes.word_bits >= BRAM_BITS
    numbers = {
        "n_in": folding.n_in if n_in is None else n_in,
        "n_out": folding.n_out,
        "reuse_factor": folding.reuse_factor,
        "lanes_in": folding.lanes_in,
        "lanes_out": folding.lanes_out,
        "lanes": folding.lanes,
        "banks": min(folding.lanes, codes.words.size),
        "n_weights": codes.words.size,
        "n_bias": folding.n_out if n_bias is None else n_bias,
        "n_hot": codes.n_hot,
        "shift_bits": codes.shift_bits,
    }
    signed = {"weight_bits": codes.weight_bits, "weight_frac": codes.weight_frac}
    lines = [f"static const unsigned {key} = {value};" for key, value in numbers.items()]
    lines += [f"static const int {key} = {value};" for key, value in signed.items()]
    lines += [f"static const bool weights_in_bram = {str(in_bram).lower()};"]
    lines += typedefs(types)
    if kernel is not None:
        lines += [
            "template<class data_T, class res_T, class CONFIG_T>",
            f"using kernel = nnet::{kernel}<data_T, res_T, CONFIG_T>;",
        ]
    if operation is not None:
        lines += [f"typedef nnet::{operation} op;"]
    return struct(name, "nnet::khot_config", lines)


def conv_config(
    name: str,
    mult_config: str,
    geometry: Mapping[str, int],
    types: Mapping[str, str],
    *,
    folded: bool,
    fill_buffer: str | None = None,
) -> str:
    """Text of the struct of a convolution.

    Args:
        name: name of the struct.
        mult_config: name of the struct of its sums of products.
        geometry: hls4ml's numbers: `in_width`, `filt_width`, `n_chan`, `stride_width` ...
        types: as for `kernel_config`.
        folded: whether a result takes more than one cycle.
        fill_buffer: name of the generated class that gathers the windows, on arrays.
    """
    lines = [f"static const unsigned {key} = {value};" for key, value in geometry.items()]
    lines += [
        f"static const unsigned strategy = nnet::{'resource' if folded else 'latency'};",
        "static const nnet::conv_implementation implementation = "
        "nnet::conv_implementation::linebuffer;",
        f"typedef {mult_config} mult_config;",
    ]
    lines += typedefs(types)
    if fill_buffer is not None:
        lines += [
            "template<class data_T, class CONFIG_T>",
            f"using fill_buffer = {fill_buffer}<data_T, CONFIG_T>;",
        ]
    return struct(name, "", lines)


def typedefs(types: Mapping[str, str]) -> list[str]:
    """One `typedef` a line."""
    return [f"typedef {cpp} {name};" for name, cpp in types.items()]


def struct(name: str, base: str, lines: list[str]) -> str:
    """A struct with one member a line."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"struct {name}{f' : {base}' if base else ''} {{\n{body}}};\n"
