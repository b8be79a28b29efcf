"""The intermediate model: operations in the order of execution, and what is proven about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

from brevitas_quantizers.fixed_point import FixedPointFormat

from ..errors import UnsupportedModelError
from .ops import Constant, Input, Op
from .ranges import Ranges
from .types import FixedType, TensorType


@dataclass(frozen=True)
class Graph:
    """A network as a list of operations; tensors are known by name and defined once.

    Attributes:
        ops: in topological order, inputs and constants included.
        outputs: names of the tensors that the network returns.
        name: name of the network, for messages and reports.
    """

    ops: tuple[Op, ...]
    outputs: tuple[str, ...]
    name: str = "network"

    def __iter__(self) -> Iterator[Op]:
        return iter(self.ops)

    def __len__(self) -> int:
        return len(self.ops)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The network's inputs, in the order of the model file."""
        return tuple(op for op in self.ops if isinstance(op, Input))

    def producer(self, tensor: str) -> Op:
        """The operation that defines `tensor`.

        Raises:
            UnsupportedModelError: there is none.
        """
        try:
            return self._producers[tensor]
        except KeyError:
            raise UnsupportedModelError(
                f"graph {self.name!r} has no tensor {tensor!r}; it has {', '.join(self._producers)}"
            ) from None

    def consumers(self, tensor: str) -> tuple[Op, ...]:
        """The operations that read `tensor`, in order."""
        return tuple(op for op in self.ops if tensor in op.inputs)

    def constant_operand(self, op: Op) -> tuple[str, Constant] | None:
        """The tensor and the constant that an operation on two reads; None if it does not."""
        for name, other in permutations(op.inputs, 2) if len(op.inputs) == 2 else ():
            constant = self.producer(other)
            if isinstance(constant, Constant) and not isinstance(self.producer(name), Constant):
                return name, constant
        return None

    def verify(self, types: dict[str, TensorType] | None = None) -> Graph:
        """Check order, names, operand counts, shapes and formats; return the graph itself.

        Args:
            types: of every tensor, where `Ranges` has inferred them from these operations.

        Raises:
            UnsupportedModelError: names the first node that breaks a rule, and the rule.
        """
        if not self.outputs:
            raise UnsupportedModelError(f"graph {self.name!r} has no output")
        defined: set[str] = set()
        for op in self.ops:
            _check_names(op, defined)
            defined.add(op.output)
        for output in self.outputs:
            self.producer(output)
        if types is not None:
            self.__dict__["_types"] = types
        self.types()
        return self

    def types(self) -> dict[str, TensorType]:
        """Shape, binary points and proven range of every tensor, by name."""
        return dict(self._types)

    def fixed_type(self, tensor: str) -> FixedType:
        """The type of an integer tensor.

        Raises:
            UnsupportedModelError: there is no such tensor, or it is a float input.
        """
        found = self._types[self.producer(tensor).output]
        if not isinstance(found, FixedType):
            raise UnsupportedModelError(f"tensor {tensor!r} is a float input without a format")
        return found

    def formats(self) -> dict[str, FixedPointFormat]:
        """Smallest format that provably holds every value of each integer tensor, by name.

        Ranges come from the input formats and the actual weights, channel by channel. A tensor
        whose channels have different binary points gets the format that holds them all.
        """
        fixed = {name: kind for name, kind in self._types.items() if isinstance(kind, FixedType)}
        return {name: kind.format for name, kind in fixed.items()}

    def accumulator_bits(self, tensor: str) -> int:
        """Word length of the smallest format that holds every value of `tensor`."""
        return self.fixed_type(tensor).format.width

    def significant_bits(self, tensor: str) -> int:
        """Bits of magnitude that any partial sum on the way to `tensor` can need.

        Float32 arithmetic is exact up to 24, float64 up to 53.
        """
        return self.fixed_type(tensor).peak.bit_length()

    def float_bits(self) -> int:
        """The largest `significant_bits` of all tensors: what a float executor must hold."""
        fixed = [kind for kind in self._types.values() if isinstance(kind, FixedType)]
        return max((kind.peak.bit_length() for kind in fixed), default=0)

    def to_json(self) -> str:
        """The graph as versioned JSON text; see `docs/ir.md`."""
        from .json_form import graph_to_json

        return graph_to_json(self)

    @staticmethod
    def from_json(text: str) -> Graph:
        """Read and verify the JSON form, of this or an earlier version.

        Raises:
            ModelFileError: the text is none, with the place of the first thing that is wrong.
            UnsupportedModelError: the graph breaks a rule of the model.
        """
        from .json_form import graph_from_json

        return graph_from_json(text)

    def __str__(self) -> str:
        rows = [("operation", "node", "tensor", "shape and format")]
        rows += [
            (type(op).__name__, op.name, op.output, str(self._types[op.output])) for op in self.ops
        ]
        widths = [max(len(row[index]) for row in rows) for index in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(w) for cell, w in zip(row[:3], widths, strict=True)), row[3]])
            for row in rows
        )

    @cached_property
    def _producers(self) -> dict[str, Op]:
        return {op.output: op for op in self.ops}

    @cached_property
    def _types(self) -> dict[str, TensorType]:
        ranges = Ranges()
        for op in self.ops:
            ranges.add(op)
        return ranges.types


def _check_names(op: Op, defined: set[str]) -> None:
    if op.output in defined:
        raise op.refuse(f"defines tensor {op.output!r}, which another node has defined before")
    for name in op.inputs:
        if name not in defined:
            raise op.refuse(f"reads tensor {name!r}, which no earlier node defines")
    if op.arity is None:
        if not op.inputs:
            raise op.refuse("needs at least one operand")
    elif len(op.inputs) != op.arity:
        raise op.refuse(f"needs {op.arity} operands, not {len(op.inputs)}")
