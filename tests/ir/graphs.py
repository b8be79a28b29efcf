"""Small graphs built by hand."""

from __future__ import annotations

import numpy as np

from qfx_plugin.ir import FixedTensor, Graph, Input, Op, Quantize, Weight, interpret
from tests.ir import naive


def weight(codes: object, frac_bits: object = 0, width: int = 16, **facts: object) -> Weight:
    """A weight from lists."""
    return Weight(np.array(codes), np.array(frac_bits), width, **facts)


def source(
    shape: tuple[int, ...], width: int = 8, frac_bits: object = 4, **cast: object
) -> list[Op]:
    """An input `x` and its Quantize `q`."""
    return [Input("x", (), "x", shape), Quantize("q", ("x",), "q", width, frac_bits, **cast)]


def graph(*ops: Op) -> Graph:
    """A verified graph whose output is the last operation's; its JSON form is the same graph."""
    made = Graph(ops, (ops[-1].output,), "hand").verify()
    assert Graph.from_json(made.to_json()) == made
    return made


def run(*ops: Op, x: np.ndarray) -> tuple[FixedTensor, dict[str, FixedTensor]]:
    """The last tensor, and all of them: they are those of exact rationals, within their ranges."""
    network = graph(*ops)
    names = [op.output for op in ops if not isinstance(op, Input)]
    tensors = interpret(network, x, keep=names)
    wanted = naive.run(network, x)
    for name, tensor in tensors.items():
        assert (naive.of_tensor(tensor) == wanted[name]).all(), name
        check_range(network, name, tensor)
    return tensors[names[-1]], tensors


def check_range(network: Graph, name: str, tensor: FixedTensor) -> None:
    """Codes stay in the proven range of their channel and in the tensor's format."""
    kind = network.fixed_type(name)
    assert tensor.codes.shape[1:] == kind.shape
    channels = tensor.codes.reshape(len(tensor.codes), -1)
    if kind.per_channel:
        channels = tensor.codes.reshape(len(tensor.codes), kind.shape[0], -1)
        channels = np.moveaxis(channels, 1, 0).reshape(kind.shape[0], -1)
    else:
        channels = channels.reshape(1, -1)
    assert (channels.min(axis=1) >= kind.low).all(), name
    assert (channels.max(axis=1) <= kind.high).all(), name
    assert kind.peak >= max(abs(kind.low).max(), abs(kind.high).max())
    fmt = network.formats()[name]
    assert fmt.min <= tensor.values.min() and tensor.values.max() <= fmt.max
