"""The element-wise stage behind a fractional convolution, cut out of a whole network.

It goes from the sums of the convolution and the shortcut to the features of the next one: cast,
batch norm, RPReLU, addition, batch norm; each channel has constants of its own.
"""

from __future__ import annotations

from brevitas_quantizers.fixed_point import FixedPointFormat
from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import Add, Constant, Graph, Input, Op, Quantize

SUMS, SHORTCUT = "sums", "shortcut"
"""Names of a stage's inputs."""


def element_wise_stage(network: Graph, half: int) -> Graph:
    """The stage behind convolution `half`, at one position, as a network of its own.

    Its inputs are "sums" and "shortcut", in the formats that the network proves for them; the
    tensors inside have the names that they have in `network`.

    Args:
        network: an exported `FracBNN`, as `load_qonnx` gives it.
        half: number of the half block, from 0.

    Raises:
        UnsupportedModelError: the network has no such stage.
    """
    prefix = f"halves.{half}."
    first = _find(network, f"{prefix}sums.act_quant")
    last = _find(network, f"{prefix}norm.output_quant")
    body: list[Op] = []
    tensor = last.output
    while tensor != first.inputs[0]:  # back along the sums; a shortcut comes from elsewhere
        op = network.producer(tensor)
        body[:0] = [*_constants(network, op), op]
        tensor = _main_operand(network, op, prefix)
    shortcut = _shortcut(network, body)
    heads = [*_head(network, SUMS, tensor), *_head(network, SHORTCUT, shortcut)]
    return Graph((*heads, *body), (last.output,), f"fracbnn_stage_{half}").verify()


def stage_tensors(network: Graph, half: int) -> dict[str, str]:
    """Names in `network` of what goes into the stage, by the stage's inputs."""
    stage = element_wise_stage(network, half)
    return {op.output: stage.consumers(op.output)[0].output for op in stage.inputs}


def _find(network: Graph, name: str) -> Op:
    for op in network:
        if op.name == name:
            return op
    raise UnsupportedModelError(f"network {network.name!r} has no node {name!r}")


def _constants(network: Graph, op: Op) -> list[Op]:
    producers = [network.producer(name) for name in op.inputs]
    return [op for op in producers if isinstance(op, Constant)]


def _main_operand(network: Graph, op: Op, prefix: str) -> str:
    """The operand that comes from the sums."""
    moving = [n for n in op.inputs if not isinstance(network.producer(n), Constant)]
    if len(moving) == 1:
        return moving[0]
    own = [n for n in moving if network.producer(n).name.startswith(f"{prefix}act")]
    if len(own) != 1:
        raise op.refuse(f"must add the activation of {prefix!r} to a shortcut")
    return own[0]


def _shortcut(network: Graph, body: list[Op]) -> str:
    made = {op.output for op in body}
    for op in body:
        if isinstance(op, Add) and not _constants(network, op):
            return next(name for name in op.inputs if name not in made)
    raise UnsupportedModelError(f"network {network.name!r}: the stage adds no shortcut")


def _head(network: Graph, label: str, tensor: str) -> list[Op]:
    """A float input and its exact cast to the format of `tensor`, which takes that name."""
    kind = network.fixed_type(tensor)
    fmt: FixedPointFormat = kind.format
    shape = (kind.shape[0], 1, 1)
    cast = Quantize(f"{label}_cast", (label,), tensor, fmt.width, fmt.frac_bits, fmt.signed)
    return [Input(label, (), label, shape), cast]
