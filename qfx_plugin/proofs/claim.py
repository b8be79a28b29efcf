"""A claim about some operations: the Verilog that shall equal them, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..ir import FixedType, Graph, Op
from ..ir.types import Codes
from ..rtl.graph.kernel import GraphOptions, PortTensor, build_kernel
from .equality import codes_of, equality, port_words
from .result import REFUTED, Counterexample, Proof
from .solver import decide, evaluate

NODE = "qfx_node"

COMBINATIONAL = GraphOptions(latency=0, adders_per_stage=None)


@dataclass(frozen=True, eq=False)
class Claim:
    """Operations and the Verilog that shall equal them.

    Attributes:
        name: for people.
        module: name of the module, with a port for each tensor.
        files: text of its sources and memories by name.
        inputs: tensors that come in.
        outputs: tensors that go out.
        ops: operations from the one to the other, in order.
        latency: registers on every path; 0 without a clock.
    """

    name: str
    module: str
    files: Mapping[str, str]
    inputs: tuple[PortTensor, ...]
    outputs: tuple[PortTensor, ...]
    ops: tuple[Op, ...]
    latency: int


def fixed_types(graph: Graph) -> dict[str, FixedType]:
    """Types of the integer tensors."""
    return {name: kind for name, kind in graph.types().items() if isinstance(kind, FixedType)}


def node(ops: Sequence[Op], types: Mapping[str, FixedType]) -> Claim:
    """The last of some operations as an adder graph of its own, without registers.

    Args:
        ops: the operation, behind the constants that it reads.
        types: type of every tensor.

    Raises:
        TargetError: the operation cannot be expressed exactly.
    """
    made = {op.output for op in ops}
    read = dict.fromkeys(name for op in ops for name in op.inputs if name not in made)
    inputs = tuple(PortTensor(name, types[name], f"in{i}") for i, name in enumerate(read))
    outputs = (PortTensor(ops[-1].output, types[ops[-1].output], "out0"),)
    kernel = build_kernel(ops, types, inputs, outputs, NODE, COMBINATIONAL)
    return Claim(ops[-1].label, NODE, kernel.files, inputs, outputs, tuple(ops), 0)


def settle(claim: Claim, types: Mapping[str, FixedType], limit_s: float) -> Proof:
    """Prove or refute a claim, within a limit.

    Raises:
        ToolMissingError: Yosys is not installed.
        TargetError: the Verilog cannot be read, or is no pipeline of its latency.
    """
    ports = claim.inputs, claim.outputs
    statement = equality(
        claim.name, claim.module, claim.files, *ports, claim.ops, types, claim.latency
    )
    verdict = decide(statement, limit_s=limit_s)
    if verdict.status != REFUTED:
        return Proof(claim.name, verdict.status, verdict.seconds, 0, verdict.reason)
    (bits,) = verdict.example["bits"]
    words = port_words(claim.inputs, bits)
    inputs = {t.name: codes_of(t, words[t.port]) for t in claim.inputs}
    words = evaluate(claim.files, claim.module, words, claim.latency)
    got = {t.name: codes_of(t, words[t.port]) for t in claim.outputs}
    example = _difference(claim, types, inputs, got)
    wrong = "" if example else "the proof's definition differs from the interpreter: report this"
    return Proof(claim.name, REFUTED, verdict.seconds, 0, wrong, example)


def _difference(
    claim: Claim,
    types: Mapping[str, FixedType],
    inputs: Mapping[str, Codes],
    got: Mapping[str, Codes],
) -> Counterexample | None:
    """The first code that differs from the interpreter's."""
    want = {name: codes[np.newaxis] for name, codes in inputs.items()}
    for op in claim.ops:
        operands = [want[name] for name in op.inputs]
        codes = op.run(operands, [types[name] for name in op.inputs], types[op.output])
        want[op.output] = np.asarray(codes)
    for tensor in claim.outputs:
        expected, found = want[tensor.name][0], got[tensor.name]
        wrong = np.argwhere(found != expected)
        if len(wrong):
            at = tuple(map(int, wrong[0]))
            given = {name: codes.tolist() for name, codes in inputs.items()}
            return Counterexample(given, tensor.name, at, int(expected[at]), int(found[at]))
    return None
