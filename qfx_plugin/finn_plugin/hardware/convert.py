"""From our integer graph to FINN's hardware operations, with FINN's own transformations.

FINN's `step_convert_to_hw` would do most of it, but turns thresholds into its float `Requant` where
their steps are equal within 1 %, and adds a float multiplication to a global sum. So the
transformations are called here one by one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode

from ...errors import TargetError
from .. import adapter
from ..integers import require_integers
from ..lowering.absorb import absorb_biases, narrow
from ..lowering.plan import HARDWARE

_PLACE = "finn.transformation.fpgadataflow"
_INFER = f"{_PLACE}.convert_to_hw"
_UPSTREAM = f"{_PLACE}.convert_to_hw_layers"

_TRANSFORMATIONS = {
    "InferThresholdingLayer": "thresholding",
    "InferPool": "pool",
    "InferConvInpGen": "conv_inp_gen",
    "InferConcatLayer": "concat",
    "InferDuplicateStreamsLayer": "duplicate_streams",
}
"""FINN's conversions in their order, and the modules that finn-plus keeps them in."""

_PRODUCTS = {"InferQuantizedMatrixVectorActivation": "quantized_matrix_vector_activation"}
_STOCK = ("DuplicateStreams", "StreamingConcat")
"""What FINN has, in HLS, beside what `_TRANSFORMATIONS` keep."""


def to_hardware(model: Any) -> Any:
    """Every node as one of FINN's hardware operations or of ours.

    Args:
        model: qonnx `ModelWrapper` as `convert` makes it.

    Raises:
        TargetError: a node stays that FINN has no hardware for, or something is no integer.
    """
    return _converted(model, _TRANSFORMATIONS)


def stock_hardware(model: Any) -> Any:
    """Every node that FINN has a hardware operation for as that one; the rest as ours.

    Args:
        model: qonnx `ModelWrapper` as `convert` makes it; not changed.

    Raises:
        TargetError: as `to_hardware`.
    """
    conversions = (*_TRANSFORMATIONS, *_PRODUCTS)
    return _converted(copy.deepcopy(model), conversions, keep=_STOCK)


def _converted(model: Any, conversions: Iterable[str], keep: Sequence[str] = ()) -> Any:
    """By FINN's `conversions`, then our units for the rest but `keep`."""
    for name in conversions:
        with adapter.guarded(f"conversion to hardware, {name}"):
            model = _convert(model, name)
    with adapter.guarded("conversion to hardware, units of QFX"):
        _own_units(model, keep)
        absorb_biases(model)
        _drop_reshapes(model)
        _start_narrow(model)
        model = _tidy(model)
    require_hardware(model)
    return require_integers(model)


def specialise(model: Any, part: str) -> Any:
    """The RTL form of every unit.

    Args:
        model: from `to_hardware`.
        part: FPGA part.

    Raises:
        TargetError: a unit exists in HLS only.
    """
    with adapter.quiet():
        model = model.transform(_specialiser(part))
    return require_rtl(model)


def connect(model: Any, part: str, *further: Any) -> Any:
    """Width converters between the units, in RTL form; in place.

    Args:
        model: specialised and folded.
        part: FPGA part.
        further: FINN's transformations that insert something else.
    """
    steps = (
        adapter.module(f"{_PLACE}.insert_dwc").InsertDWC(),
        *further,
        _specialiser(part),
        adapter.module("qonnx.transformation.general").GiveUniqueNodeNames(),
    )
    with adapter.quiet():
        for step in steps:
            model = model.transform(step)
    return model


def _specialiser(part: str) -> Any:
    return adapter.module(f"{_PLACE}.specialize_layers").SpecializeLayers(part)


def require_rtl(model: Any) -> Any:
    """The model itself, if all its units are RTL.

    Raises:
        TargetError: names those that are not.
    """
    other = [node for node in model.graph.node if node.domain != f"{HARDWARE}.rtl"]
    if other:
        names = ", ".join(f"{node.name!r} ({node.op_type})" for node in other)
        raise TargetError(f"these units have no RTL: {names}")
    return model


def require_hardware(model: Any) -> Any:
    """The model itself, if every node is a hardware operation.

    Raises:
        TargetError: names those that are not.
    """
    soft = [n for n in model.graph.node if not n.domain.startswith(HARDWARE)]
    if soft:
        names = ", ".join(f"{node.name!r} ({node.op_type})" for node in soft)
        raise TargetError(f"FINN has no hardware for these nodes: {names}")
    return model


def _transformation(name: str) -> Any:
    """An instance of one of FINN's conversions; upstream keeps them all in one module."""
    plus = adapter.flavour() == adapter.FINN_PLUS
    modules = _TRANSFORMATIONS | _PRODUCTS
    place = f"{_INFER}.{modules[name]}" if plus else _UPSTREAM
    return getattr(adapter.module(place), name)()


def _convert(model: Any, name: str) -> Any:
    """By one of FINN's conversions. The one for fan-outs looks at the first input only."""
    if name != "InferDuplicateStreamsLayer":
        return model.transform(_transformation(name))
    for _ in list(model.graph.input):
        model = model.transform(_transformation(name))
        model.graph.input.append(model.graph.input.pop(0))
    return model


def _own_units(model: Any, keep: Sequence[str] = ()) -> None:
    """Our units in place of those that FINN has in HLS only, or with a float in them."""
    for index, node in enumerate(list(model.graph.node)):
        maker = _OWN.get(node.op_type)
        if maker is None or node.op_type in keep:
            continue
        kind, attributes = maker(model, node)
        replacement = helper.make_node(
            kind,
            list(node.input) if kind == "QFXConcat" else [node.input[0]],  # others: weights
            list(node.output),
            name=node.name,
            doc_string=node.doc_string,
            domain=HARDWARE,
            backend="fpgadataflow",
            PE=1,
            inputDataType=model.get_tensor_datatype(node.input[0]).name,
            outputDataType=model.get_tensor_datatype(node.output[0]).name,
            **attributes,
        )
        model.graph.node.remove(node)
        model.graph.node.insert(index, replacement)


def _global_sum(model: Any, node: Any) -> tuple[str, dict[str, Any]]:
    *vectors, channels = model.get_tensor_shape(node.input[0])
    return "QFXGlobalSum", {"NumChannels": channels, "numInputVectors": vectors}


def _product(model: Any, node: Any) -> tuple[str, dict[str, Any]]:
    matrix = np.rint(model.get_initializer(node.input[1])).astype(np.int64)
    *vectors, rows = model.get_tensor_shape(node.output[0])
    kind, weight = "QFXMVU", matrix.T
    if model.get_tensor_sparsity(node.input[1]):  # one channel of each window element per row
        kind, channels = "QFXVVU", np.arange(rows)
        weight = matrix.reshape(-1, rows, rows)[:, channels, channels].T
    return kind, {
        "NumChannels": rows,
        "MW": weight.shape[1],
        "SIMD": 1,
        "numInputVectors": vectors,
        "weight": numpy_helper.from_array(narrow(weight), "weight"),
    }


def _duplicate(model: Any, node: Any) -> tuple[str, dict[str, Any]]:
    *vectors, channels = model.get_tensor_shape(node.input[0])
    copies = len(node.output)
    return "QFXDuplicate", {
        "NumChannels": channels,
        "numInputVectors": vectors,
        "NumOutputStreams": copies,
        "outFIFODepths": [2] * copies,
    }


def _concat(model: Any, node: Any) -> tuple[str, dict[str, Any]]:
    *vectors, channels = model.get_tensor_shape(node.output[0])
    return "QFXConcat", {
        "NumChannels": channels,
        "numInputVectors": vectors,
        "ChannelsPerStream": [model.get_tensor_shape(name)[-1] for name in node.input],
        "inputDataTypes": [model.get_tensor_datatype(name).name for name in node.input],
        "inFIFODepths": [2] * len(node.input),
    }


def _pool(model: Any, node: Any) -> tuple[str, dict[str, Any]]:
    *vectors, channels = model.get_tensor_shape(node.output[0])
    taps = model.get_tensor_shape(node.input[0])[-1] // channels
    (function,) = (a.s.decode() for a in node.attribute if a.name == "Function")
    return "QFXPool", {
        "NumChannels": channels,
        "numInputVectors": vectors,
        "Taps": taps,
        "Function": "MaxPool" if function == "MaxPool" else "SumPool",
    }


_OWN: dict[str, Callable[[Any, Any], tuple[str, dict[str, Any]]]] = {
    "MatMul": _product,
    "ReduceSum": _global_sum,
    "DuplicateStreams": _duplicate,
    "StreamingConcat": _concat,
    "Pool": _pool,
}


def _drop_reshapes(model: Any) -> None:
    """A stream has no shape: a Reshape is no hardware in front of our units.

    FINN's own take tensors in their own shape only: there a cast that changes nothing stays.
    """
    for node in list(model.graph.node):
        if node.op_type != "Reshape":
            continue
        source, result = node.input[0], node.output[0]
        readers = model.find_consumers(result) or []
        model.graph.node.remove(node)
        if readers and all(reader.op_type.startswith("QFX") for reader in readers):
            for reader in readers:
                reader.input[:] = [source if name == result else name for name in reader.input]
        else:
            model.graph.node.append(_unchanged(model, node))


def _unchanged(model: Any, node: Any) -> Any:
    """A unit that gives another shape to what it reads."""
    *vectors, channels = model.get_tensor_shape(node.output[0])
    kind = model.get_tensor_datatype(node.input[0])
    return helper.make_node(
        "QFXRequant",
        [node.input[0]],
        [node.output[0]],
        name=node.name,
        domain=HARDWARE,
        backend="fpgadataflow",
        PE=1,
        NumChannels=channels,
        numInputVectors=vectors,
        inputDataType=kind.name,
        outputDataType=kind.name,
        mult=[1] * channels,
        offset=[0] * channels,
        lows=[int(kind.min())] * channels,
        highs=[int(kind.max())] * channels,
        shift=0,
        width=kind.bitwidth(),
        signedCast=int(kind.signed()),
        rounding=RoundingMode.AP_TRN.value,
        overflow=OverflowMode.AP_SAT.value,
    )


def _start_narrow(model: Any) -> None:
    """Sliding windows begin with one channel at once, like the units behind them."""
    for node in model.graph.node:
        if node.op_type in ("ConvolutionInputGenerator", "FMPadding"):
            adapter.op_of(node).set_nodeattr("SIMD", 1)


def _tidy(model: Any) -> Any:
    general = adapter.module("qonnx.transformation.general")
    for transformation in (
        general.SortGraph(),
        general.RemoveUnusedTensors(),
        general.GiveUniqueNodeNames(),
        adapter.module("qonnx.transformation.infer_shapes").InferShapes(),
        adapter.module("qonnx.transformation.infer_datatypes").InferDataTypes(),
    ):
        model = model.transform(transformation)
    return model
