"""From hls4ml's own entry points to our lowering, for models with QONNX `Quant` nodes.

hls4ml 1.3 parses an ONNX file before it asks the backend, and has no hook in between: it refuses
Gemm, Clip, files without inferred shapes, files that are channels first, and more. So `install`
puts one function around `hls4ml.converters.onnx_to_hls`. It takes over where the backend is `QFX`
and the file has Quant nodes, and calls hls4ml's own in every other case.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from hls4ml.model.graph import ModelGraph
from numpy.typing import NDArray

from ...errors import QfxError, TargetError, UnsupportedModelError
from ...qonnx_import import load_qonnx
from ..config import QFX_SECTION
from ..lowering.layers import standard_order
from ..lowering.lower import lower
from ..lowering.plan import Plan, PlannedInput, by_name
from ..overrides import layer_configuration
from ..simulation import csim
from .passes import PLAN_KEY, InexactWarning

_QUANT = frozenset({"Quant", "IntQuant"})
_BIPOLAR = "BipolarQuant"


def install() -> None:
    """Put our function around hls4ml's, once."""
    from hls4ml import converters

    stock = converters.onnx_to_hls
    if hasattr(stock, "qfx_stock"):
        return

    @functools.wraps(stock)
    def onnx_to_hls(config: dict[str, Any]) -> ModelGraph:
        if str(config.get("Backend", "")).lower() != "qfx":
            return stock(config)
        return _convert(config, stock)

    vars(onnx_to_hls)["qfx_stock"] = stock
    converters.onnx_to_hls = onnx_to_hls


def _convert(config: dict[str, Any], stock: Any) -> ModelGraph:
    """hls4ml's graph of the file named or held by `config["OnnxModel"]`."""
    source = config["OnnxModel"]
    model = _proto(source)
    as_read = {**config, "OnnxModel": model if _is_path(source) else source}
    if not any(node.op_type in _QUANT for node in model.graph.node):
        return stock(as_read)
    bipolar = next((node for node in model.graph.node if node.op_type == _BIPOLAR), None)
    if bipolar is not None:
        text = f"{_BIPOLAR} {bipolar.name!r}: hls4ml's own parser reads files of binary networks"
        warnings.warn(f"{text}, as with Vitis; nothing is checked", InexactWarning, stacklevel=4)
        return stock({**as_read, "QFX": {**config.get("QFX", {}), "accept_inexact": True}})
    try:
        plan = _plan(model, config)
    except QfxError as error:
        if not config.get("QFX", {}).get("accept_inexact", False):
            if isinstance(error, UnsupportedModelError):
                advice = "accept_inexact=True takes hls4ml's own reading of the file instead"
                raise UnsupportedModelError(f"{error}; {advice}") from error
            raise
        text = f"hls4ml's own reading of the model is taken, which is not exact: {error}"
        warnings.warn(text, InexactWarning, stacklevel=4)
        return stock(as_read)
    graph = graph_from_plan(plan, config, _names(model))
    graph.qfx_source = model
    return graph


def graph_from_plan(
    plan: Plan, config: Mapping[str, Any], node_names: frozenset[str] = frozenset()
) -> ModelGraph:
    """hls4ml's graph of `plan`, through all passes.

    Args:
        plan: the layers.
        config: hls4ml's whole configuration; `HLSConfig` holds what the user asks for.
        node_names: names of the model file that `HLSConfig.LayerName` may mention.

    Raises:
        TargetError: hls4ml would change a type or a weight.
    """
    hls = dict(config["HLSConfig"])
    names = layer_configuration(plan, hls, config["IOType"], node_names)
    config = {**config, "HLSConfig": hls | {"LayerName": names}, PLAN_KEY: plan}
    config.pop("OnnxModel", None)
    return ModelGraph.from_layer_list(
        config,
        _layer_dicts(plan),
        [source.layer.name for source in plan.inputs],
        [result.layer.name for result in plan.outputs],
    )


def predict(model: ModelGraph, x: Any) -> Any:
    """The C simulation of one of our graphs, on all processors; results as hls4ml gives them."""
    plan = getattr(model, "qfx_plan", None)
    if plan is None and (len(model.inputs) > 1 or len(model.outputs) > 1):
        y = model._predict(x)
        csim.check_streams(model._top_function_lib, model.config.get_project_name())
        return y
    if plan is None:
        given, samples = [np.asarray(x)], _samples(model, np.asarray(x))
    else:
        named = by_name(plan, x)
        given = [np.asarray(named[source.name]) for source in plan.inputs]
        parts = [_flat(model, *pair) for pair in zip(plan.inputs, given, strict=True)]
        samples = np.concatenate(parts, axis=1)
    sizes = [result.size() for result in model.get_output_variables()]
    library, project = _library(model), model.config.get_project_name()
    y = csim.run_library(library, project, samples, sum(sizes))
    single = all(array.dtype == np.float32 for array in given)
    results = np.split(y, np.cumsum(sizes)[:-1], axis=1)
    if plan is not None:
        widths = [result.layer.result.format.width for result in plan.outputs]
    else:
        widths = [0] * len(sizes)
    results = [
        part.astype(np.float32) if single and width <= 24 else part
        for part, width in zip(results, widths, strict=True)
    ]
    results = [part[0] if len(part) == 1 else part for part in results]
    return results[0] if len(results) == 1 else results


def _library(model: ModelGraph) -> str:
    if model._top_function_lib is None:
        raise TargetError("the model must be compiled before it predicts: call compile()")
    return str(model._top_function_lib._name)


def _samples(model: ModelGraph, x: NDArray[Any]) -> NDArray[np.float64]:
    """(samples, numbers) as hls4ml counts them: by size."""
    (source,) = model.get_input_variables()
    if x.size % source.size():
        raise TargetError(f"input must hold samples of {source.size()} numbers, not {x.shape}")
    return x.reshape(-1, source.size()).astype(np.float64)


def _flat(model: ModelGraph, source: PlannedInput, x: NDArray[Any]) -> NDArray[np.float64]:
    """(samples, numbers) in the order of the hardware.

    `x` is laid out as in the model file, or with its channels at the other end; a shape that is
    both is the file's.
    """
    shape = source.shape
    is_first = np.array_equal(source.index, standard_order(shape))
    here, there = (-1, 1) if is_first else (1, -1)
    other = tuple(np.moveaxis(np.empty((1, *shape), dtype=bool), there, here).shape[1:])
    for expected in (shape, other):
        samples = x[np.newaxis] if x.shape == expected else x
        if samples.shape[1:] == expected:
            values = samples.astype(np.float64)
            return source.flat(values if expected == shape else np.moveaxis(values, here, there))
    if source.host_cast is None and len(model.inputs) == 1:
        return _samples(model, x)
    text = " or ".join(str(["samples", *one]) for one in dict.fromkeys((shape, other)))
    raise TargetError(f"input must have shape {text}, not {list(x.shape)}")


def _plan(model: onnx.ModelProto, config: dict[str, Any]) -> Plan:
    """The plan, with `config` completed by what a configuration of ours was made for."""
    # A copy: the section is the user's own dictionary.
    model_section = dict(config["HLSConfig"].get("Model", {}))
    ours = model_section.pop(QFX_SECTION, {})
    config["HLSConfig"]["Model"] = model_section
    options = config.setdefault("QFX", {})
    for key, value in ours.items():
        if key in config and key not in options.get("given", ()):
            config[key] = value
    cap = options.get("max_accumulator_bits") or ours.get("max_accumulator_bits")
    return lower(load_qonnx(model), io_type=config["IOType"], max_accumulator_bits=cap)


def _proto(source: Any) -> onnx.ModelProto:
    """A `ModelProto` from a path, a `ModelProto`, or qonnx's `ModelWrapper`."""
    if _is_path(source):
        return onnx.load(os.fspath(source), load_external_data=False)
    model: onnx.ModelProto = getattr(source, "model", source)
    return model


def _is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)


def _names(model: onnx.ModelProto) -> frozenset[str]:
    """Names that hls4ml's parser gives to the nodes, inputs and constants of the file."""
    graph = model.graph
    named = [*graph.node, *graph.initializer, *graph.input]
    return frozenset(
        spelling for item in named for spelling in (item.name, item.name.replace(".", "_"))
    )


def _layer_dicts(plan: Plan) -> list[dict[str, Any]]:
    """The dictionaries that hls4ml's own converters write for layers."""
    return [
        {
            "name": layer.name,
            "class_name": layer.kind,
            "inputs": list(layer.inputs),
            "outputs": [layer.name],
            **layer.attributes,
        }
        for layer in plan.layers
    ]
