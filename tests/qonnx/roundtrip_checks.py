"""Export, import, export again: bytes, outputs, one training step."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, fx, nn

from brevitas_quantizers import export_qonnx, import_qonnx, learned_formats, parameter_groups


def tuple_of(x: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return (x,) if isinstance(x, Tensor) else tuple(x)


def first_sample(x: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(tensor[:1] for tensor in tuple_of(x))


def flat(y: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach() for tensor in tuple_of(y)]


def bytes_of(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)


def assert_round_trip(
    model: nn.Module, x: Tensor | Sequence[Tensor], dynamo: bool
) -> tuple[onnx.ModelProto, fx.GraphModule]:
    """Bytes, state, formats, outputs and one training step of `model` and its twin are the same.

    Args:
        model: trained a little.
        x: a batch for each input.
        dynamo: which exporter.
    """
    model = copy.deepcopy(model).eval()
    args = first_sample(x)
    exported = export_qonnx(model, args, dynamo=dynamo)
    twin = import_qonnx(exported)
    again = export_qonnx(twin, args, dynamo=dynamo)
    assert_same_bytes(exported, again)
    assert learned_formats(twin) == learned_formats(model)
    assert_same_state(model, twin)
    with torch.no_grad():
        for y, z in zip(flat(model(*tuple_of(x))), flat(twin(*tuple_of(x))), strict=True):
            assert y.dtype == z.dtype
            assert torch.equal(y, z)
    assert_same_step(model, twin, tuple_of(x))
    return exported, twin


def assert_same_bytes(first: onnx.ModelProto, second: onnx.ModelProto) -> None:
    """With a readable difference where there is one."""
    if bytes_of(first) == bytes_of(second):
        return
    for mine, yours in zip(first.graph.node, second.graph.node, strict=False):
        assert mine == yours
    for mine, yours in zip(first.metadata_props, second.metadata_props, strict=True):
        assert json.loads(mine.value) == json.loads(yours.value)
        assert mine == yours
    assert first.graph == second.graph
    raise AssertionError("the files differ outside the graph and the metadata")


def assert_same_state(model: nn.Module, twin: nn.Module) -> None:
    mine, yours = model.state_dict(), twin.state_dict()
    assert set(mine) == set(yours)
    for name, value in mine.items():
        assert value.dtype == yours[name].dtype, name
        assert torch.equal(value, yours[name]), name
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in twin.named_parameters() if p.requires_grad}


def assert_same_step(model: nn.Module, twin: nn.Module, x: tuple[Tensor, ...]) -> None:
    """One step of Adam with a learning rate of its own for binary points."""
    before = copy.deepcopy(model.state_dict())
    for network in (model, twin):
        torch.manual_seed(5)
        network.train()
        optimizer = torch.optim.Adam(parameter_groups(network, lr=0.02, binary_point_lr=0.3))
        loss = sum((y - torch.randn_like(y)).square().mean() for y in tuple_of(network(*x)))
        loss.backward()
        optimizer.step()
        network.eval()
    assert_same_state(model, twin)
    moved = [name for name, value in model.state_dict().items() if not value.equal(before[name])]
    assert len(moved) >= 1
