"""`prove`: what of a network's Verilog is proven for all inputs, and what only sampled."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

from ..errors import OptionError, VerificationError
from ..ir import Arrangement, Concat, FixedType, Graph, Identity, MatMul, Op, Weighted
from ..ir.inputs import random_inputs
from ..qonnx_import import load_qonnx
from ..rtl.network import RtlNetwork
from ..rtl.options import RtlOptions
from ..rtl.ports import entry_tensors, hardware_ops
from ..rtl.project import build_network
from .claim import Claim, fixed_types, node, settle
from .result import OPEN, REFUTED, SAMPLED, NetworkProofs, Proof

WIRING = (Arrangement, Concat, Identity)
"""What computes nothing: it is proven with the network."""

MOST_PRODUCTS = 5_000
"""Of a node that is tried on its own."""


def prove(
    model: str | os.PathLike[str] | Graph,
    *,
    options: RtlOptions | None = None,
    limit_s: float = 60,
    samples: int = 256,
    seed: int = 0,
    started: Callable[[str], None] = lambda name: None,
) -> NetworkProofs:
    """Prove a network's Verilog equal to the intermediate model, for all inputs where possible.

    Args:
        model: a QONNX file, or the network as `load_qonnx` gives it.
        options: of the Verilog; those of `compile_rtl` by default.
        limit_s: seconds for each proof.
        samples: inputs that are simulated where a proof does not end.
        seed: of these inputs.
        started: told the name of what is being proven.

    Raises:
        ModelFileError, UnsupportedModelError: the file cannot be read as exact fixed point.
        TargetError: an operation that the Verilog cannot express.
        ToolMissingError: alkaid or Yosys, or where something is sampled Verilator, is missing.
        OptionError: a limit or a number of samples that is not positive.
    """
    for name, value in (("limit_s", limit_s), ("samples", samples)):
        if not value > 0:
            raise OptionError(f"{name} must be positive, not {value}")
    graph = model if isinstance(model, Graph) else load_qonnx(model)
    network = build_network(graph, options)
    types = fixed_types(graph)
    nodes = [_node_proof(one, types, limit_s, started) for one in _nodes(graph)]
    started(f"network {graph.name!r}")
    whole = _whole(network, types, limit_s)
    if OPEN in (whole.status, *(one.status for one in nodes)):
        wrong = _difference(network, samples, seed)
        if wrong:
            whole = replace(whole, status=REFUTED, reason=wrong)
        else:
            whole, *nodes = [_sampled(one, samples) for one in (whole, *nodes)]
    host = tuple(entry_tensors(graph))
    return NetworkProofs(graph.name, network.style, limit_s, host, tuple(nodes), whole)


def _nodes(graph: Graph) -> list[tuple[Op, ...]]:
    """Each operation that computes from the network's inputs, behind the constants it reads."""
    known: dict[str, tuple[Op, ...]] = {}
    found = []
    for op in hardware_ops(graph):
        read = [one for name in op.inputs for one in known.get(name, ())]
        before = {one.output: one for one in read}.values()
        if all(name in known for name in op.inputs):  # a constant, or made of constants
            known[op.output] = (*before, op)
        elif not isinstance(op, WIRING):
            found.append((*before, op))
    return found


def _node_proof(
    ops: Sequence[Op],
    types: Mapping[str, FixedType],
    limit_s: float,
    started: Callable[[str], None],
) -> Proof:
    """An operation as an adder graph of its own, for all codes of its operands' ranges."""
    op = ops[-1]
    count = _products(op, types)
    if count > MOST_PRODUCTS:
        reason = f"its {count:,} products are too many for a proof of their own"
        return Proof(op.label, OPEN, 0.0, reason=reason)
    started(op.label)
    return settle(node(ops, types), types, limit_s)


def _products(op: Op, types: Mapping[str, FixedType]) -> int:
    places = prod(types[op.output].shape)
    if isinstance(op, Weighted):
        return places * prod(op.weight.codes.shape[1:])
    return places * types[op.inputs[0]].shape[-1] if isinstance(op, MatMul) else places


def _whole(network: RtlNetwork, types: Mapping[str, FixedType], limit_s: float) -> Proof:
    """The compiled network, if it is one pipeline."""
    graph, name = network.graph, f"network {network.graph.name!r}"
    if network.style != "unrolled":
        return Proof(name, OPEN, 0.0, reason=f"a {network.style} network has feedback")
    claim = Claim(
        name, network.name, network.files, network.inputs, network.outputs,
        tuple(hardware_ops(graph)), network.latency,
    )  # fmt: skip
    return settle(claim, types, limit_s)


def _difference(network: RtlNetwork, samples: int, seed: int) -> str:
    """The first code that differs at the outputs on random inputs, in words."""
    try:
        network.check(random_inputs(network.graph, samples, seed))
    except VerificationError as error:
        return str(error)
    return ""


def _sampled(proof: Proof, samples: int) -> Proof:
    if proof.status != OPEN:
        return proof
    return replace(proof, status=SAMPLED, samples=samples)
