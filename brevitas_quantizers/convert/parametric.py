"""Functions that are given parameters or buffers, as the layers that hold these."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from .checks import EMBEDDING_ADVICE, NORM_ADVICE
from .constants import Expression
from .functional import Form, NoFixedPointFormError, is_size
from .kinds import Compare, TensorScale, TensorShift
from .trace import NAME
from .tracer import SHAPE

SOURCES = "qfx_sources"
"""Attribute of a module made here: by its parameter or buffer, the expression that gives it."""


def parametric_form(
    node: fx.Node, constants: dict[fx.Node, Expression], is_image: Callable[[], bool]
) -> Form | None:
    """Module and operands of a call that reads constants; None for any other.

    Args:
        node: the call.
        constants: what does not depend on the network's input.
        is_image: asks whether the operand that does has two axes behind its channels.

    Raises:
        NoFixedPointFormError: there is none.
    """
    if not any(operand in constants for operand in node.all_input_nodes):
        return None
    read: Any = lambda operand: constants.get(operand, operand)  # noqa: E731
    args: Any = fx.map_arg(node.args, read)
    kwargs: Any = fx.map_arg(dict(node.kwargs), read)
    name = node.target if isinstance(node.target, str) else node.target.__name__
    builder = FORMS.get(_plain(name) if node.target not in _BY_TARGET else _BY_TARGET[node.target])
    if builder is None:
        found = next(constants[n] for n in node.all_input_nodes if n in constants)
        raise NoFixedPointFormError(
            f"has no fixed-point form with {found!r}; sums, products and layers take one"
        )
    try:
        module, operands = builder(*args, **kwargs)
    except TypeError as error:
        raise NoFixedPointFormError(
            f"is called in a way that has no fixed-point form ({error})"
        ) from error
    if isinstance(module, nn.BatchNorm1d) and is_image():
        module.__class__ = nn.BatchNorm2d  # type: ignore[assignment] # the same but for its check
    return module, operands


def _plain(name: str) -> str:
    """`add_` and `__iadd__` as `add`."""
    return name.strip("_")


def _hold(module: nn.Module, **expressions: Expression | None) -> nn.Module:
    """`module` with the values of expressions as its parameters and buffers."""
    for name, expression in expressions.items():
        if expression is None:
            continue
        _require(name, expression)
        value = expression.value.detach().clone()
        if name in module._buffers:
            module._buffers[name] = value
        else:
            setattr(module, name, nn.Parameter(value, requires_grad=expression.trains))
    setattr(module, SOURCES, {n: e for n, e in expressions.items() if e is not None})
    return module


def _require(name: str, expression: Any) -> None:
    if not isinstance(expression, Expression):
        raise NoFixedPointFormError(
            f"its {name} must be a parameter of the network, not computed from its input"
        )
    if not expression.value.is_floating_point():
        expression.value = expression.value.to(torch.get_default_dtype())


def _given(name: str, expression: Any) -> Tensor:
    _require(name, expression)
    value: Tensor = expression.value
    return value


def _linear(input: Any, weight: Any, bias: Any = None) -> Form:
    shape = _given("weight", weight).shape
    if len(shape) != 2:
        raise NoFixedPointFormError(f"weight must have two axes, not shape {tuple(shape)}")
    return _hold(nn.Linear(shape[1], shape[0], bias is not None), weight=weight, bias=bias), (
        input,
    )


def _matmul(input: Any, other: Any) -> Form:
    if isinstance(input, Expression):
        raise NoFixedPointFormError(
            f"multiplies {input!r} from the left, which must have two axes, and the tensor three "
            f"at least, with the batch first; it has shape {tuple(input.value.shape)}"
        )
    if _given("weight", other).ndim != 2:
        raise NoFixedPointFormError(
            f"a constant factor must have two axes, not shape {tuple(other.value.shape)}"
        )
    return _linear(input, other.then(torch.t))


_PRODUCTS = (operator.matmul, torch.matmul, torch.bmm, "matmul", "bmm")


def turn_constant_factors(traced: fx.GraphModule, constants: dict[fx.Node, Expression]) -> None:
    """Products of a constant and a tensor as layers on the last axis, in place.

    `A @ x` is `F.linear(x.mT, A).mT`; a constant with a matrix for each head, a stack of such.
    """
    for node in list(traced.graph.nodes):
        if node.target not in _PRODUCTS or len(node.args) != 2:
            continue
        if sum(one in constants for one in node.args) != 1:
            continue
        left = node.args[0] in constants
        factor, x = node.args if left else reversed(node.args)
        if constants[factor].value.ndim < 2:
            continue
        axes = len(x.meta.get(SHAPE, ())) or max(3, constants[factor].value.ndim)
        matrices = constants[factor].value.shape[:-2]
        if axes == len(matrices) + 2 and matrices and matrices[0] == 1:
            factor = _part(traced, node, constants, factor, 0)
            matrices = matrices[1:]
        if axes == 4 and len(matrices) == 1:
            _of_each_head(traced, node, constants, (x, factor), matrices[0])
        elif not matrices and left and axes >= 3:
            _turn_left_factor(traced, node, x, factor)
        elif not matrices:
            node.args = (factor, x) if left else (x, factor)


def _of_each_head(
    traced: fx.GraphModule,
    node: fx.Node,
    constants: dict[fx.Node, Expression],
    operands: tuple[fx.Node, fx.Node],
    heads: int,
) -> None:
    """The products `x[:, i] @ constant[i]` of all heads, side by side; or from the left."""
    (x, factor), found = operands, []
    left = node.args[0] is not x
    for head in range(heads):
        part = _part(traced, node, constants, factor, head)
        with traced.graph.inserting_before(node):
            of_x = traced.graph.call_method("select", (x, 1, head))
            product = traced.graph.call_function(torch.matmul, (of_x, part))
        for call, step in ((of_x, "head"), (product, "product")):
            call.meta = {**node.meta, NAME: f"{node.meta[NAME]}_{step}{head}"}
            call.meta.pop(SHAPE, None)
        if left:
            _turn_left_factor(traced, product, of_x, part)
        with traced.graph.inserting_before(node):
            one = traced.graph.call_method("unsqueeze", (product.next if left else product, 1))
        one.meta = {**of_x.meta, NAME: f"{node.meta[NAME]}_apart{head}"}
        found.append(one)
    node.op, node.target, node.args, node.kwargs = "call_function", torch.cat, (found, 1), {}


def _part(
    traced: fx.GraphModule,
    node: fx.Node,
    constants: dict[fx.Node, Expression],
    factor: fx.Node,
    index: int,
) -> fx.Node:
    """The node of `factor[index]`, a constant like it."""
    with traced.graph.inserting_before(node):
        part = traced.graph.call_function(operator.getitem, (factor, index))
    part.meta = {**factor.meta}
    part.meta.pop(SHAPE, None)
    constants[part] = constants[factor].then(operator.getitem, index)
    return part


def _turn_left_factor(traced: fx.GraphModule, node: fx.Node, x: fx.Node, factor: fx.Node) -> None:
    with traced.graph.inserting_before(node):
        turned = traced.graph.call_method("transpose", (x, -1, -2))
    with traced.graph.inserting_after(node):
        back = traced.graph.call_method("transpose", (node, -1, -2))
    for call, step in ((turned, "turn"), (back, "back")):
        call.meta = {**node.meta, NAME: f"{node.meta[NAME]}.{step}"}
    node.replace_all_uses_with(back, lambda user: user is not back)
    node.op, node.target, node.args = "call_function", F.linear, (turned, factor)
    node.meta.pop(SHAPE, None)
    turned.meta.pop(SHAPE, None)


def spell_quotients(traced: fx.GraphModule, constants: dict[fx.Node, Expression]) -> None:
    """`x / y` of two tensors, in place, as a product with a table of the divisor's reciprocal."""
    for node in list(traced.graph.nodes):
        if node.target not in _DIVISIONS or len(node.args) != 2 or node.kwargs:
            continue
        x, y = node.args
        tensors = [one for one in (x, y) if isinstance(one, fx.Node) and not is_size(one)]
        if len(tensors) != 2 or any(one in constants for one in tensors) or is_size(node):
            continue
        is_root = y.target in (torch.sqrt, "sqrt") and len(y.args) == 1
        name, operand = ("rsqrt", y.args[0]) if is_root else ("reciprocal", y)
        with traced.graph.inserting_before(node):
            inverse = traced.graph.call_function(getattr(torch, name), (operand,))
        inverse.meta = {**node.meta, NAME: f"{node.meta[NAME]}_{name}"}
        inverse.meta.pop(SHAPE, None)
        node.op, node.target, node.args = "call_function", torch.mul, (x, inverse)
        if not y.users:
            traced.graph.erase_node(y)


_DIVISIONS = (operator.truediv, operator.itruediv, torch.div, torch.divide, torch.true_divide) + (
    "div", "divide", "true_divide"
)  # fmt: skip


def _embedding(
    input: Any, weight: Any, padding_idx: Any = None, max_norm: Any = None, *_: Any, **__: Any
) -> Form:
    rows, features = _given("weight", weight).shape
    table = nn.Embedding(rows, features, padding_idx, max_norm)
    return _hold(table, weight=weight), (input,)


def _conv(kind: Any) -> Callable[..., Form]:
    def build(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Form:
        outputs, inputs, *kernel = _given("weight", weight).shape
        layer = kind(
            inputs * groups,
            outputs,
            tuple(kernel),
            *(_of_rank(value, len(kernel)) for value in (stride, padding, dilation)),
            groups,
            bias is not None,
        )
        return _hold(layer, weight=weight, bias=bias), (input,)

    return build


def _of_rank(value: Any, rank: int) -> Any:
    """`[2]` as torch takes it where a kernel has two axes."""
    if isinstance(value, (tuple, list)):
        return tuple(value) * (rank if len(value) == 1 else 1)
    return value


def _batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: Any = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Form:
    if training is not False or running_mean is None or running_var is None:
        raise NoFixedPointFormError("must use running statistics in evaluation")
    layer = nn.BatchNorm1d(
        len(_given("running_mean", running_mean)), eps, momentum or 0.1, affine=weight is not None
    )
    _hold(layer, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var)
    return layer, (input,)


def _torch_batch_norm(
    input: Any, weight: Any, bias: Any, mean: Any, var: Any, training: Any, momentum: Any, eps: Any,
    cudnn_enabled: Any = True,
) -> Form:  # fmt: skip
    return _batch_norm(input, mean, var, weight, bias, training, momentum, eps)


def _layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Form:
    if weight is None:
        raise NoFixedPointFormError("must have a weight where it has a bias")
    layer = nn.LayerNorm(normalized_shape, eps, bias=bias is not None)
    return _hold(layer, weight=weight, bias=bias), (input,)


def _rms_norm(input: Any, normalized_shape: Any, weight: Any, eps: float | None = None) -> Form:
    return _hold(nn.RMSNorm(normalized_shape, eps), weight=weight), (input,)


def _prelu(input: Any, weight: Any) -> Form:
    return _hold(nn.PReLU(_given("weight", weight).numel()), weight=weight), (input,)


def _refused(way_out: str) -> Callable[..., Form]:
    def build(*args: Any, **kwargs: Any) -> Form:
        raise NoFixedPointFormError(f"has no fixed-point form; {way_out}")

    return build


def _shift(x: Any, constant: Expression) -> Form:
    layer = TensorShift(tuple(_given("bias", constant).shape))
    return _hold(layer, bias=constant), (x,)


def _scale(x: Any, constant: Expression) -> Form:
    layer = TensorScale(tuple(_given("weight", constant).shape))
    return _hold(layer, weight=constant), (x,)


def _add(input: Any, other: Any, *, alpha: Any = 1) -> Form:
    if isinstance(input, Expression):
        if alpha not in (1, -1):
            raise NoFixedPointFormError(f"alpha must be 1 or -1, not {alpha!r}")
        shifted, _ = _shift(other, input)
        minus = TensorScale((), -1.0)
        return (shifted if alpha == 1 else nn.Sequential(minus, shifted)), (other,)
    return _shift(input, other if alpha == 1 else other.then(operator.mul, alpha))


def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Form:
    return _add(input, other, alpha=-alpha)


def _mul(input: Any, other: Any) -> Form:
    return _scale(other, input) if isinstance(input, Expression) else _scale(input, other)


def _div(input: Any, other: Any, *, rounding_mode: Any = None) -> Form:
    if rounding_mode is not None or isinstance(input, Expression):
        raise NoFixedPointFormError(
            "must divide a tensor of the network by a constant, without rounding_mode; multiply "
            "by torch.reciprocal(x) instead"
        )
    if not bool(other.value.all()):
        raise NoFixedPointFormError(f"divides by {other!r}, which has a zero in it")
    return _scale(input, other.then(torch.reciprocal))


def _compare(below: bool, equal: bool) -> Callable[..., Form]:
    def build(input: Any, other: Any) -> Form:
        if isinstance(input, Expression):
            return _compare(not below, equal)(other, input)
        shifted, operands = _shift(input, other.then(operator.neg))
        return nn.Sequential(shifted, Compare(0.0, below, equal)), operands

    return build


FORMS: dict[str | None, Callable[..., Form]] = {
    "add": _add,
    "iadd": _add,
    "sub": _sub,
    "isub": _sub,
    "subtract": _sub,
    "mul": _mul,
    "imul": _mul,
    "multiply": _mul,
    "div": _div,
    "divide": _div,
    "truediv": _div,
    "itruediv": _div,
    "true_divide": _div,
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "conv1d": _conv(nn.Conv1d),
    "conv2d": _conv(nn.Conv2d),
    "batch_norm": _batch_norm,
    "torch.batch_norm": _torch_batch_norm,
    "prelu": _prelu,
    "gt": _compare(below=False, equal=False),
    "ge": _compare(below=False, equal=True),
    "lt": _compare(below=True, equal=False),
    "le": _compare(below=True, equal=True),
    "embedding": _embedding,
    "embedding_bag": _refused(EMBEDDING_ADVICE),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _refused(NORM_ADVICE),
    "instance_norm": _refused(NORM_ADVICE),
}
"""By the name of a function, method or operator that reads a constant."""
_BY_TARGET: dict[Any, str] = {torch.batch_norm: "torch.batch_norm"}
