"""Comparisons and choices between tensors, `where` and its kin, as products with 0 and 1.

    torch.where(x > c, a, b)   is   a * (x > c) + b * (x <= c)

with each comparison as a number, 0 or 1. Products with a comparison add no bits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn

from .moves import is_move, moved
from .trace import NAME

COMPARISONS: dict[Any, tuple[bool, bool]] = {
    operator.gt: (False, False),
    operator.ge: (False, True),
    operator.lt: (True, False),
    operator.le: (True, True),
}
"""Whether it holds below the number, and whether at it."""
_INVERSE: dict[Any, Any] = {
    operator.gt: operator.le,
    operator.ge: operator.lt,
    operator.lt: operator.ge,
    operator.le: operator.gt,
}
_OTHER_NAMES = {"greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le"}
_NAMES = {
    **{name: name for name in ("gt", "ge", "lt", "le", "eq", "ne", "where", "masked_fill", "sign")},
    **_OTHER_NAMES,
    **{"not_equal": "ne", "sgn": "sign", "threshold": "threshold"},
    **{f"{kind}_{name}": name for kind in ("logical", "bitwise") for name in ("and", "or", "not")},
    **{f"{kind}_xor": "xor" for kind in ("logical", "bitwise")},
    **{"and": "and", "or": "or", "xor": "xor", "invert": "not", "inv": "not"},
}
_NUMBERS = frozenset({"float", "double", "half", "to", "type", "type_as", "int", "long", "bool"})
"""Methods that show a comparison as numbers."""
_FILLED = {"zeros_like": 0, "ones_like": 1}


def gate(x: Tensor, mask: Tensor) -> Tensor:
    """`x` where `mask` is 1, and 0 where it is 0."""
    return x * mask


def spell_choices(traced: fx.GraphModule) -> None:
    """Spell, in place, choices and what is computed of comparisons."""
    spelling = _Spelling(traced)
    for node in list(traced.graph.nodes):
        if node.op.startswith("call_"):
            with traced.graph.inserting_before(node):
                spelling.spell(node)
    traced.graph.lint()


class _Spelling:
    """Knows the comparisons of a graph.

    Args:
        traced: the network; changed.
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self.masks: set[fx.Node] = set()
        self._like: fx.Node
        self._steps = 0

    def spell(self, node: fx.Node) -> None:
        """Replace `node` if it is a comparison or a choice."""
        self._like, self._steps = node, 0
        plain = [
            value for name, value in node.kwargs.items() if (name, value) != ("inplace", False)
        ]
        arguments: list[Any] = [*node.args, *plain]
        name = _name(node)
        if node.op == "call_module":
            layer = self.traced.get_submodule(str(node.target))
            if type(layer) is nn.Threshold:
                name, arguments = "threshold", [*arguments, layer.threshold, layer.value]
        if name in _NUMBERS and node.op == "call_method" and arguments[0] in self.masks:
            self._put(node, arguments[0])
        elif name in ("mul", "multiply"):
            self._product(node, arguments)
        elif is_move(node) and moved(node) in self.masks:
            self.masks.add(node)
        elif builder := self._builders().get(_NAMES.get(name, "")):
            if node.target == "where" and len(arguments) == 3:
                arguments = [arguments[1], arguments[0], arguments[2]]  # x.where(condition, other)
            result = builder(*arguments) if len(arguments) == _COUNTS[_NAMES[name]] else None
            if result is not None:
                self._put(node, result)

    def _builders(self) -> dict[str, Callable[..., fx.Node | None]]:
        compare = {name: self._comparison(getattr(operator, name)) for name in _COMPARED}
        return compare | {
            "eq": self._equal,
            "ne": lambda x, y: self._not(self._equal(x, y)),
            "where": self._where,
            "masked_fill": lambda x, mask, value: self._where(mask, value, x),
            "threshold": lambda x, at, value: self._where(
                self._compared(operator.gt, x, at), x, value
            ),
            "sign": self._sign,
            "and": self._both,
            "or": self._either,
            "xor": self._unequal,
            "not": self._not,
        }

    def _put(self, node: fx.Node, result: fx.Node) -> None:
        if node in self.masks:
            self.masks.add(result)
        if result.meta.get(NAME, "").startswith(f"{node.meta[NAME]}_part"):
            result.meta = dict(node.meta)
        node.replace_all_uses_with(result)
        self.traced.graph.erase_node(node)

    def _call(self, function: Callable[..., Any], *args: Any) -> fx.Node:
        call = self.traced.graph.call_function(function, args)
        self._steps += 1
        call.meta = {**self._like.meta, NAME: f"{self._like.meta[NAME]}_part{self._steps}"}
        return call

    def _mask(self, function: Callable[..., Any], *args: Any) -> fx.Node:
        found = self._call(function, *args)
        self.masks.add(found)
        return found

    # Comparisons.

    def _comparison(self, kind: Callable[..., Any]) -> Callable[..., fx.Node | None]:
        return lambda x, y: self._compared(kind, x, y)

    def _compared(self, kind: Callable[..., Any], x: Any, y: Any) -> fx.Node | None:
        return self._mask(kind, x, self._number(y))

    def _equal(self, x: Any, y: Any) -> fx.Node | None:
        if isinstance(y, fx.Node) and y.op != "get_attr":
            x, y = self._call(operator.sub, x, y), 0
        ends = (self._compared(operator.ge, x, y), self._compared(operator.le, x, y))
        return self._mask(gate, *ends)

    def _not(self, mask: Any) -> fx.Node | None:
        if mask not in self.masks:
            return None
        if mask.target in _INVERSE:
            return self._mask(_INVERSE[mask.target], *mask.args)
        return self._mask(operator.lt, mask, 0.5)

    def _both(self, x: Any, y: Any) -> fx.Node | None:
        return self._mask(gate, x, y) if {x, y} <= self.masks else None

    def _either(self, x: Any, y: Any) -> fx.Node | None:
        if not {x, y} <= self.masks:
            return None
        return self._mask(operator.gt, self._call(operator.add, x, y), 0.5)

    def _unequal(self, x: Any, y: Any) -> fx.Node | None:
        return self._not(self._equal(x, y)) if {x, y} <= self.masks else None

    def _sign(self, x: Any) -> fx.Node:
        ends = (self._compared(operator.gt, x, 0), self._compared(operator.lt, x, 0))
        return self._call(operator.sub, *ends)

    # Choices.

    def _where(self, mask: Any, one: Any, other: Any) -> fx.Node | None:
        """The sum of both products; numbers are added and multiplied as numbers."""
        if mask not in self.masks:
            return None
        one, other = self._number(one), self._number(other)
        if not isinstance(one, fx.Node) and not isinstance(other, fx.Node):
            scaled = self._call(operator.mul, mask, one - other)
            return self._call(operator.add, scaled, other) if other else scaled
        parts = [(one, mask)] if isinstance(one, fx.Node) or one else []
        if isinstance(other, fx.Node) or other:
            parts.append((other, self._not(mask)))
        kept = [self._kept(value, where) for value, where in parts]
        return self._call(operator.add, *kept) if len(kept) == 2 else kept[0]

    def _kept(self, value: Any, mask: Any) -> fx.Node:
        plain = not isinstance(value, fx.Node) or value.op == "get_attr"
        return self._call(
            operator.mul if plain else gate, *((mask, value) if plain else (value, mask))
        )

    def _product(self, node: fx.Node, arguments: list[Any]) -> None:
        """A product with a comparison is one that adds no bits."""
        if len(arguments) != 2 or not all(isinstance(one, fx.Node) for one in arguments):
            return
        x, y = arguments if arguments[1] in self.masks else reversed(arguments)
        if y in self.masks and x.op != "get_attr":
            both = x in self.masks
            product = self._call(gate, x, y)
            if both:
                self.masks.add(product)
            self._put(node, product)

    def _number(self, value: Any) -> Any:
        """A tensor of one number as that number, whatever its shape."""
        if not isinstance(value, fx.Node):
            return value
        name = _name(value)
        if name in _FILLED:
            return _FILLED[name]
        if name == "full_like" and len(value.args) == 2 and not isinstance(value.args[1], fx.Node):
            return value.args[1]
        tensor: Any = self.traced if value.op == "get_attr" else None
        for part in str(value.target).split(".") if tensor is not None else ():
            tensor = getattr(tensor, part, None)
        plain = isinstance(tensor, Tensor) and tensor.ndim == 0 and not tensor.requires_grad
        return tensor.item() if plain else value


_COMPARED = ("gt", "ge", "lt", "le")
_COUNTS: dict[str, int] = {
    **dict.fromkeys((*_COMPARED, "eq", "ne", "and", "or", "xor"), 2),
    **dict.fromkeys(("where", "masked_fill", "threshold"), 3),
    **dict.fromkeys(("sign", "not"), 1),
}


def _name(node: fx.Node) -> str:
    """Of a function, operator or method; those that write in place have none here."""
    target: Any = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    if node.op == "call_module" or (name.endswith("_") and not name.endswith("__")):
        return "and" if name == "and_" else "or" if name == "or_" else ""
    return str(name).strip("_")
