"""What follows a folded unit point by point: on the few results that it gives at once, if it can.

unit ─▶ results ─▶ adder graph of a few lanes ─▶ qfx_pack ─▶ beat
unit ─▶ results ─▶ qfx_pack ─▶ adder graph of all lanes ─▶ beat       where channels differ
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...ir import Elementwise, FixedType
from ...simulation.lanes import Lanes
from ..graph.kernel import GraphOptions, Kernel, PortTensor, build_kernel
from .stage import Stage
from .wiring import Stream, connect_words, leave, remap_lanes, run_kernel


@dataclass(frozen=True, eq=False)
class Behind:
    """The operations of a stage behind its first one.

    Attributes:
        stage: the stage.
        lanes: results of a unit at once.
        kernel: computes them; None if there are none.
        is_narrow: whether on so many lanes, instead of on all channels.
    """

    stage: Stage
    lanes: int
    kernel: Kernel | None
    is_narrow: bool

    @classmethod
    def of(cls, stage: Stage, lanes: int, name: str, options: GraphOptions) -> Behind:
        """Of a stage.

        Args:
            stage: begins with what the unit computes.
            lanes: results of the unit at once.
            name: of the kernel's module.
            options: of the adder graph.
        """
        types, ops, source = stage.types(), stage.ops[1:], stage.ops[0].output
        if not ops:
            return cls(stage, lanes, None, False)
        is_narrow = lanes < types[source].shape[0] and treats_alike(stage)
        if is_narrow:
            types = dict(types) | {source: _of_lanes(types[source], lanes)}
            for op in ops:
                types[op.output] = op.result(*(types[one] for one in op.inputs))
        ports = [PortTensor(tensor, types[tensor], port)
                 for tensor, port in ((source, "x"), (stage.output, "y"))]  # fmt: skip
        kernel = build_kernel((*stage.constants, *ops), types, ports[:1], ports[1:], name, options)
        return cls(stage, lanes, kernel, is_narrow)

    def connect(self, sums: Stream, bits: int, shifts: Sequence[int], words: int) -> list[str]:
        """From a unit's results to stream `m`.

        Args:
            sums: stream of results.
            bits: of each, two's complement.
            shifts: left shifts to the codes of the first operation's result, channel by channel.
            words: beats of `sums` in one of `m`.
        """
        types, kernel = self.stage.types(), self.kernel
        result = types[self.stage.ops[0].output]
        if kernel is None or not self.is_narrow:
            whole = Lanes.uniform(words * self.lanes, bits)
            packed = Stream("v", whole.bits)
            lines = connect_words("qfx_pack", "pack", sums.bits, words, sums, packed)
            return [*packed.declaration(), *lines, *leave(result, whole, shifts, kernel)]
        entering, leaving = kernel.inputs[0].lanes, kernel.outputs[0].lanes
        few, packed = Stream("few", leaving.bits), Stream("v", leaving.bits * words)
        lanes = Lanes(leaving.widths * words, leaving.signed * words)
        alike = [0] * (words * self.lanes)
        return [
            *few.declaration(),
            *packed.declaration(),
            f"  logic [{entering.bits - 1}:0] x;",
            f"  logic [{leaving.bits - 1}:0] y;",
            *remap_lanes(
                "x", entering, f"{sums.name}_tdata", Lanes.uniform(self.lanes, bits),
                shifts[: self.lanes],
            ),
            *run_kernel(kernel, sums.name, few.name),
            *connect_words("qfx_pack", "pack", few.bits, words, few, packed),
            *leave(types[self.stage.output], lanes, alike, None),
        ]  # fmt: skip


def treats_alike(stage: Stage) -> bool:
    """Whether what follows treats all channels alike, and has them on one binary point."""
    types, ops = stage.types(), stage.ops[1:]
    points = all(types[op.output].uniform for op in stage.ops)
    values = all(constant.weight.codes.size == 1 for constant in stage.constants)
    same = (isinstance(op, Elementwise) and not op.differs_by_channel for op in ops)
    return points and values and all(same)


def _of_lanes(kind: FixedType, lanes: int) -> FixedType:
    """Any of the channels, so many of them."""
    low, high = kind.low.min(keepdims=True), kind.high.max(keepdims=True)
    return replace(kind, shape=(lanes, 1, 1), frac_bits=kind.frac_bits[:1], low=low, high=high)
