"""hls4ml's passes for K-hot layers: recode the constants, then write our kernels' configuration.

`RecodeKHot` runs when all types are known, before hls4ml turns them into C++; the templates run
after the Vivado backend's own, which they replace for the layers that were recoded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.optimizer import ModelOptimizerPass, register_pass
from hls4ml.model.types import IntegerPrecisionType

from brevitas_quantizers.fixed_point.format import FixedPointFormat

from ..lowering.plan import enclosing_format, exact, reaching
from .codes import KHotCodes
from .folding import Folding
from .nodes import CONSTANTS, OPERATIONS, fold, is_chosen, recode, refuse, streams
from .source import conv_config, kernel_config

HEADERS = Path(__file__).parents[1] / "templates" / "nnet_utils"

GEOMETRY = (
    "in_height", "in_width", "n_chan", "n_filt", "filt_height", "filt_width", "stride_height",
    "stride_width", "pad_top", "pad_bottom", "pad_left", "pad_right", "out_height", "out_width",
    "n_partitions",
)  # fmt: skip
"""Attributes of convolutions that the kernels and hls4ml's line buffers read; some are 2-D only."""


def register(backend: Any) -> list[str]:
    """See `strategies.register`."""
    register_pass("recode_khot", RecodeKHot, backend=backend.name)
    backend.register_template(KHotConfigTemplate)
    backend.register_template(KHotFunctionTemplate)
    for header in ("nnet_khot.h", "nnet_khot_stream.h"):
        backend.register_source(HEADERS / header)
    return [f"{backend.name.lower()}:recode_khot"]


class RecodeKHot(ModelOptimizerPass):
    """Turns the constants of layers with strategy khot into (sign, shift) codes."""

    def __init__(self) -> None:
        self.name = "recode_khot"

    def transform(self, model: Any) -> bool:
        """Recode every chosen layer, once.

        Raises:
            TargetError: names a layer whose constants or reuse factor do not fit.
        """
        for node in list(model.graph.values()):
            if node.get_attr("khot_codes") is None and is_chosen(node):
                self._recode(node)
                if node.get_attr("khot_folding").reuse_factor > 1:
                    _run_layers_side_by_side(model)
        return False

    def _recode(self, node: Any) -> None:
        variable = CONSTANTS[node.class_name]
        old = node.weights[variable]
        if node.class_name.startswith("Depthwise") and old.data.shape[-1] != 1:
            raise refuse(node, "strategy khot needs one kernel per channel (depth multiplier 1)")
        if variable != "weight" and streams(node):
            _check_pack(node)
        folding = fold(node)
        codes = recode(node, folding)
        node.add_weights_variable(
            name=variable,
            var_name=old.name,
            type_name=f"{variable}{node.index}_khot_t",
            data=codes.words.reshape(old.data.shape).astype(np.float64),
            precision=IntegerPrecisionType(codes.word_bits, signed=False),
        )
        node.set_attr("reuse_factor", folding.reuse_factor)
        node.set_attr("khot_folding", folding)
        node.set_attr("khot_codes", codes)


class _KHotTemplate:
    """Matches recoded layers only."""

    def match(self, node: Any) -> bool:
        return node.get_attr("khot_codes") is not None


class KHotConfigTemplate(_KHotTemplate, LayerConfigTemplate):
    """The struct that the kernel is instantiated with."""

    def __init__(self) -> None:
        super().__init__(())
        self.name = "khot_config_template"

    def format(self, node: Any) -> str:
        """Text of the struct, and for a convolution of two."""
        codes: KHotCodes = node.get_attr("khot_codes")
        folding: Folding = node.get_attr("khot_folding")
        name, types = f"config{node.index}", _typedefs(node)
        if "Conv" in node.class_name:
            kernel = "KhotDepthwise" if _is_depthwise(node) else "KhotDense"
            text = kernel_config(f"{name}_mult", codes, folding, types, kernel=kernel)
            return text + conv_config(
                name,
                f"{name}_mult",
                _geometry(node, folding),
                types,
                folded=folding.reuse_factor > 1,
                fill_buffer=None
                if streams(node)
                else f"{_namespace(node)}::fill_buffer_{node.index}",
            )
        if node.class_name == "Dense":
            return kernel_config(name, codes, folding, types)
        added = node.weights.get(_added(node))
        return kernel_config(
            name,
            codes,
            folding,
            types,
            operation=_operation(node),
            n_in=int(np.prod(node.get_input_variable().shape)),
            n_bias=1 if added is None else int(added.data.size),
        )


class KHotFunctionTemplate(_KHotTemplate, FunctionCallTemplate):
    """The call of the kernel."""

    def __init__(self) -> None:
        super().__init__((), include_header=_headers("nnet_khot.h"))
        self.name = "khot_function_template"

    def transform(self, model: Any, node: Any) -> bool:
        """Write the call, with the headers that it needs."""
        super().transform(model, node)
        node.set_attr("include_header", _includes(node))
        return False

    def format(self, node: Any) -> str:
        """Text of the call."""
        params = self._default_function_params(node)
        arguments = [
            params["input"],
            params["output"],
            node.weights[CONSTANTS[node.class_name]].name,
        ]
        added = node.weights.get(_added(node))
        if added is not None:
            arguments.append(added.name)
        template = f"<{params['input_t']}, {params['output_t']}, config{node.index}>"
        return _call(node).format(template) + f"({', '.join(arguments)});"


def _call(node: Any) -> str:
    if node.class_name == "Dense":
        return "nnet::khot_dense{}" if streams(node) else "nnet::KhotDense{}::dense"
    if "Conv" not in node.class_name:
        return "nnet::khot_elementwise{}"
    if not streams(node):
        return "nnet::khot_conv{}"
    prefix = next((kind for kind in ("Depthwise", "Pointwise") if kind in node.class_name), "")
    return (
        f"nnet::{prefix.lower()}{'_' if prefix else ''}conv_{node.class_name[-2].lower()}d_cl{{}}"
    )


def _includes(node: Any) -> list[str]:
    names = ["nnet_khot.h"]
    if streams(node):
        names.append("nnet_khot_stream.h")
    if "Conv" in node.class_name:
        kind = node.class_name[-2:].lower()
        theirs = [f"nnet_conv{kind}_stream.h", f"nnet_sepconv{kind}_stream.h"]
        names += theirs if streams(node) else ["nnet_dense.h", "nnet_conv_stream.h"]
    return _headers(*names)


def _headers(*names: str) -> list[str]:
    return [f"nnet_utils/{name}" for name in names]


def _typedefs(node: Any) -> dict[str, str]:
    """C++ names of the types; what a kernel does not use is left out."""
    types = {"weight_t": node.weights[CONSTANTS[node.class_name]].type.name}
    accumulator = node.types.get("accum_t") or node.types.get("wide_t")
    types["accum_t"] = str(exact(_wide(node))) if accumulator is None else accumulator.name
    added = node.weights.get(_added(node))
    if added is not None:
        types["bias_t"] = added.type.name
    return types


def _wide(node: Any) -> FixedPointFormat:
    """Holds every result of an element-wise layer before its cast; hls4ml has no type for it."""
    source, result = (variable.type.precision for variable in (
        node.get_input_variable(), node.get_output_variable()
    ))  # fmt: skip
    codes: KHotCodes = node.get_attr("khot_codes")
    x = _format(source)
    bits = x.width + codes.weight_bits
    terms = [x, FixedPointFormat(bits, bits - x.frac_bits - codes.weight_frac, signed=True)]
    added = node.weights.get(_added(node))
    if added is not None:
        terms.append(_format(added.type.precision))
    fmt = enclosing_format(*terms)
    sum_ = FixedPointFormat(fmt.width + 1, fmt.integer_bits + 1, fmt.signed)
    return reaching(sum_, exact(_format(result)))


def _format(precision: Any) -> FixedPointFormat:
    return FixedPointFormat(
        int(precision.width), int(precision.integer), signed=bool(precision.signed)
    )


def _added(node: Any) -> str:
    """Name of the constants that are added."""
    return "second" if node.class_name == "QFXElementwise" else "bias"


def _operation(node: Any) -> str:
    if node.class_name == "QFXElementwise":
        return OPERATIONS[node.get_attr("kind")]
    return "khot_prelu" if node.class_name == "PReLU" else "khot_scale"


def _geometry(node: Any, folding: Folding) -> dict[str, int]:
    numbers = {key: int(node.get_attr(key)) for key in GEOMETRY if node.get_attr(key) is not None}
    taps = numbers.get("filt_height", 1) * numbers["filt_width"]
    pixels = numbers.get("out_height", 1) * numbers["out_width"]
    return {
        **numbers,
        "dilation": 1,
        "kernel_size": taps,
        "reuse_factor": folding.reuse_factor,
        "n_pixels": pixels // numbers.get("n_partitions", pixels),
        "n_window": taps * numbers["n_chan"],
        "n_data": numbers.get("in_height", 1) * numbers["in_width"] * numbers["n_chan"],
        "n_results": pixels * numbers["n_filt"],
    }


def _is_depthwise(node: Any) -> bool:
    return bool(node.class_name.startswith("Depthwise"))


def _namespace(node: Any) -> str:
    return node.model.config.get_writer_config().get("Namespace", None) or "nnet"


def _check_pack(node: Any) -> None:
    """hls4ml flattens a stream without repacking it; element-wise kernels rely on the packs."""
    variable = node.get_input_variable()
    if type(variable).__name__.startswith("Inplace"):
        raise refuse(node, "strategy khot on a flattened stream is not possible: use latency")


def _run_layers_side_by_side(model: Any) -> None:
    """A folded kernel must not be unrolled by a pipeline around all layers."""
    if model.config.pipeline_style in (None, "auto"):
        model.config.pipeline_style = "dataflow"
