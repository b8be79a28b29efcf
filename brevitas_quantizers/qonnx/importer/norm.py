"""Scale and offset for each channel: batch norms, also those of files that only have constants."""

from __future__ import annotations

from typing import Any

import torch

from brevitas_quantizers.nn import QuantBatchNorm1d, QuantBatchNorm2d
from brevitas_quantizers.onnx_files import Node, QuantizedConstant

from .builder import NetworkBuilder
from .casts import layer_call
from .values import ComputedTensor, meta

_KINDS = {kind.__name__: kind for kind in (QuantBatchNorm1d, QuantBatchNorm2d)}


def convert_norm(node: Node, net: NetworkBuilder, name: str, scale: QuantizedConstant) -> bool:
    """Mul and Add of quantized constants as one batch norm, where they are one.

    Args:
        node: the Mul.
        net: the network.
        name: layer that holds `scale`.
        scale: the constant of the Mul.

    Returns:
        Whether it was one; nothing has happened otherwise.
    """
    add = net.consumers.only(node.output)
    known = net.metadata.type(name)
    if add is None or add.op_type != "Add" or not add.is_standard or len(add.inputs) != 2:
        return False
    offset = net.constants.cast_operand(add)
    index = next((i for i, n in enumerate(node.inputs) if n not in net.constants), 0)
    value = net.look(node.inputs[index])
    if offset is None or value is None or value.order is not None or value.meta.ndim < 2:
        return False
    if known not in _KINDS and net.metadata.has_layers:
        return False
    if known in _KINDS and net.layer_name(offset, add) != name:
        return False
    channels, rank = value.shape[1], value.meta.ndim
    if not all(_per_channel(constant, channels, rank) for constant in (scale, offset)):
        return False
    kind = _KINDS.get(known) or (QuantBatchNorm2d if rank == 4 else QuantBatchNorm1d)
    if (kind is QuantBatchNorm2d) != (rank == 4):
        return False
    add.check_all_read()
    net.done.add(add.output)
    shape = (1, channels, 1, 1) if kind is QuantBatchNorm2d else (1, channels)
    constants = {"weight": scale.reshape(shape), "bias": offset.reshape(shape)}
    _call(node, net, name, kind, constants, add)
    return True


def _per_channel(constant: QuantizedConstant, channels: int, rank: int) -> bool:
    padded = (1,) * (rank - len(constant.shape)) + constant.shape
    return len(padded) == rank and padded == (1, channels, *[1] * (rank - 2))


def _call(
    node: Node,
    net: NetworkBuilder,
    name: str,
    kind: type,
    constants: dict[str, QuantizedConstant],
    last: Node,
) -> None:
    given = net.metadata.layer(name)
    channels = constants["weight"].size
    state = net.layers.statistics(name, channels)
    eps, momentum = given.get("eps"), given.get("momentum")
    if state is None or not isinstance(eps, float):
        state, eps, momentum = None, 0.0, 0.1
    if momentum is not None and not isinstance(momentum, float):
        raise node.refuse(f"momentum of {name} must be a number, not {str(momentum)[:40]}")

    def build(**keywords: Any) -> Any:
        layer = kind(channels, eps, momentum, **keywords)
        layer.freeze_statistics(state is None or bool(given.get("frozen")))
        layer._has_statistics = state is None or bool(given.get("has_statistics"))
        net.layers.later(lambda: _fill(layer, state, constants))
        return layer

    def shape(x: ComputedTensor) -> Any:
        return x.meta + meta((channels, *[1] * (x.meta.ndim - 2)))

    layer_call(node, net, name, build, shape, constants, last)


@torch.no_grad()
def _fill(
    layer: Any, state: dict[str, torch.Tensor] | None, constants: dict[str, QuantizedConstant]
) -> None:
    """What training had; or the constants as they are, by a mean of 0 and a variance of 1."""
    if state is None:
        state = {
            slot: torch.from_numpy(constant.values.reshape(-1).copy())
            for slot, constant in constants.items()
        }
        state |= {"running_mean": torch.zeros_like(layer.running_mean)}
        state |= {"running_var": torch.ones_like(layer.running_var)}
    for leaf, values in state.items():
        getattr(layer, leaf).copy_(values)
