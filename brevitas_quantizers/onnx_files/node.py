"""A node of the file with its attributes, each of which must be understood or it is an error."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import AttributeProto

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from brevitas_quantizers.fixed_point.errors import UnsupportedModelError

from .read import CHANNELS_LAST_DOMAIN, QUANT_DOMAINS, STANDARD_DOMAINS


class Node:
    """One node, its names, and its attributes by name and type.

    Attributes:
        op_type: operation, such as `"Conv"`.
        domain: `""` for standard operations.
        name: name in the file, or that of its first output where it has none.
        inputs: names of the operands; trailing absent ones are dropped.
        outputs: names of the results; trailing absent ones are dropped.
        modes: of a `Quant` with the nodes in front of it that belong to it, see `overflows`.
        proto: of the file.
    """

    modes: tuple[RoundingMode, OverflowMode] | None = None

    def __init__(self, proto: onnx.NodeProto) -> None:
        self.proto = proto
        self.op_type = proto.op_type
        self.domain = proto.domain
        self.inputs = _trim(proto.input)
        self.outputs = _trim(proto.output)
        self.name = proto.name or (self.outputs[0] if self.outputs else "")
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        self._read: set[str] = set()

    @property
    def is_quant(self) -> bool:
        """Whether this is a `Quant` node of QONNX."""
        known = self.domain in (*QUANT_DOMAINS, *STANDARD_DOMAINS)
        return known and self.op_type in ("Quant", "IntQuant")

    @property
    def is_standard(self) -> bool:
        """Whether the operation is one of ONNX."""
        return self.domain in STANDARD_DOMAINS

    @property
    def is_constant(self) -> bool:
        """Whether this is a `Constant` node."""
        return self.op_type == "Constant" and self.is_standard

    @property
    def is_channels_last(self) -> bool:
        """Whether the operation is one of ONNX with channels as the last axis."""
        return self.domain == CHANNELS_LAST_DOMAIN

    @property
    def output(self) -> str:
        """The only result; more than one is an error."""
        if len(self.outputs) != 1:
            raise self.refuse(f"must have exactly one output, not {len(self.outputs)}")
        return self.outputs[0]

    @property
    def output_or_none(self) -> str | None:
        """The first result, for look-ups."""
        return self.outputs[0] if self.outputs else None

    @property
    def label(self) -> str:
        """How messages call this node."""
        return f"{self.op_type} {self.name!r}"

    def refuse(self, text: str) -> UnsupportedModelError:
        """The error to raise, with the node's name in front."""
        return UnsupportedModelError(f"{self.label}: {' '.join(text.split())}")

    def operands(self, least: int, most: int | None = None) -> tuple[str, ...]:
        """The operands' names, `""` for absent ones up to `most`."""
        most = least if most is None else most
        if not least <= len(self.inputs) <= most:
            count = str(least) if least == most else f"{least} to {most}"
            raise self.refuse(f"must have {count} inputs, not {len(self.inputs)}")
        if not all(self.inputs[:least]):
            raise self.refuse("a required input has no name")
        return self.inputs + ("",) * (most - len(self.inputs))

    def has(self, name: str) -> bool:
        """Whether the attribute is there."""
        return name in self._attributes

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        found = self._get(name, AttributeProto.INT, "an integer")
        return default if found is None else int(found.i)

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A list of integers."""
        found = self._get(name, AttributeProto.INTS, "a list of integers")
        return default if found is None else tuple(found.ints)

    def real(self, name: str, default: float) -> float:
        """A float attribute."""
        found = self._get(name, AttributeProto.FLOAT, "a float")
        return default if found is None else float(found.f)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        found = self._get(name, AttributeProto.STRING, "a string")
        return default if found is None else found.s.decode("utf-8", errors="replace")

    def tensor(self, name: str) -> onnx.TensorProto | None:
        """A tensor attribute."""
        found = self._get(name, AttributeProto.TENSOR, "a tensor")
        return None if found is None else found.t

    def require(self, name: str, value: int | float, rule: str = "") -> None:
        """Refuse the node unless the attribute, read as the kind of `value`, equals `value`."""
        is_real = isinstance(value, float)
        found = self.real(name, value) if is_real else self.integer(name, int(value))
        if found != value:
            raise self.refuse(f"{name} must be {value}, not {found}{rule}")

    def require_text(self, name: str, value: str, default: str) -> None:
        """Refuse the node unless the attribute is `value`."""
        found = self.text(name, default)
        if found != value:
            raise self.refuse(f"{name} must be {value!r}, not {found!r}")

    def check_all_read(self) -> None:
        """Refuse attributes that nobody has asked for: they might change the result.

        Attributes called `qfx_...` only annotate; the standard ones give the right bits alone.
        """
        unknown = sorted(
            name for name in set(self._attributes) - self._read if not name.startswith("qfx_")
        )
        if unknown:
            raise self.refuse(f"attribute {unknown[0]!r} is not supported")

    def _get(self, name: str, kind: int, words: str) -> AttributeProto | None:
        self._read.add(name)
        found = self._attributes.get(name)
        if found is not None and found.type != kind:
            raise self.refuse(f"attribute {name!r} must be {words}")
        return found


def _trim(names: Iterable[str]) -> tuple[str, ...]:
    trimmed = list(names)
    while trimmed and not trimmed[-1]:
        trimmed.pop()
    return tuple(trimmed)
