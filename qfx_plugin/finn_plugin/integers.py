"""Proof that a FINN model holds integers only, from its first stream to its last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import TargetError

_NOT_DATA = {"Reshape": (1,), "ReduceSum": (1,)}
"""Operands that are shapes or axes."""


def floats(model: Any) -> Iterator[str]:
    """What is not integer, one line each, with the node's name.

    Looks at FINN's type of every tensor that a node reads or writes, at the values of constants,
    and at the types that hardware nodes have in their attributes.
    """
    for node in model.graph.node:
        skipped = _NOT_DATA.get(node.op_type, ())
        operands = [name for i, name in enumerate(node.input) if name and i not in skipped]
        for name in (*operands, *node.output):
            kind = model.get_tensor_datatype(name)
            if not kind.is_integer():
                yield f"node {node.name!r} ({node.op_type}): tensor {name!r} is {kind.name}"
                continue
            values = model.get_initializer(name)
            if values is not None:
                yield from _bad_constant(node, name, kind, values)
        for attribute in node.attribute:
            text = attribute.s.decode(errors="replace") if attribute.s else ""
            if attribute.name.lower().endswith("datatype") and text.startswith(("FLOAT", "FIXED")):
                yield f"node {node.name!r} ({node.op_type}): {attribute.name} is {text}"


def require_integers(model: Any) -> Any:
    """The model itself, if it holds integers only.

    Raises:
        TargetError: it does not; names every place.
    """
    found = list(floats(model))
    if found:
        raise TargetError("FINN's graph is not all integer: " + "; ".join(found))
    return model


def _bad_constant(node: Any, name: str, kind: Any, values: Any) -> Iterator[str]:
    if not np.array_equal(np.rint(values), values):
        yield f"node {node.name!r} ({node.op_type}): constant {name!r} holds no integers"
    elif values.size and not (kind.allowed(values.min()) and kind.allowed(values.max())):
        yield (
            f"node {node.name!r} ({node.op_type}): constant {name!r} holds "
            f"{values.min():.0f}..{values.max():.0f}, outside {kind.name}"
        )
