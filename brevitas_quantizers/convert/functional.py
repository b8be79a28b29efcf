"""Functions and tensor methods as the modules that compute the same.

Every builder below has the signature of its function and returns the module and the tensors it
reads; `NoFixedPointFormError` says why there is none.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.proxy import assert_fn

from brevitas_quantizers.nn.numbers import ShiftBy

from . import arithmetic, pools
from .arithmetic import Form, NoFixedPointFormError, constants, is_number
from .checks import advice, table_of
from .choices import COMPARISONS, gate
from .kinds import Cat, Maximum, Minimum, Unary
from .tracer import IS_SIZE


def form_of(node: fx.Node) -> Form:
    """Module and operands of a function or method call.

    Raises:
        NoFixedPointFormError: there is none.
    """
    table: dict[Any, Callable[..., Form]] = METHODS if node.op == "call_method" else FUNCTIONS
    builder = table.get(node.target)
    if builder is None:
        raise NoFixedPointFormError(f"has no fixed-point form{_way_out(node)}")
    if node.target in _SIZE_ARITHMETIC and any(map(_is_size, node.args)):
        raise NoFixedPointFormError(
            "computes with a size of a tensor: quantize(..., example=x) tells it, unless it is the "
            "batch's"
        )
    try:
        module, operands = builder(*node.args, **node.kwargs)
    except TypeError as error:
        raise NoFixedPointFormError(
            f"is called in a way that has no fixed-point form ({error})"
        ) from error
    for operand in operands:
        if not isinstance(operand, fx.Node):
            raise NoFixedPointFormError(
                f"its operands must be tensors of the network, not {operand!r}"
            )
    return module, operands


def _way_out(node: fx.Node) -> str:
    """A table, where the call is a function of torch of one number; else what to do instead."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    plain = [value for value in node.kwargs.values() if value not in (None, False)]
    functions = [
        (getattr(home, name.removesuffix("_"), None), f"{prefix}.{name.removesuffix('_')}")
        for home, prefix in ((torch, "torch"), (F, "F"))
        if len(node.args) + len(plain) == 1
    ]
    tables = [table_of(function, written) for function, written in functions if callable(function)]
    return next(iter(tables), "") or advice(name)


def writes_in_place(node: fx.Node) -> bool:
    """Whether a function or method call overwrites its first operand."""
    if node.target in _IN_PLACE or node.kwargs.get("inplace", False):
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name.endswith("_") and not name.endswith("__")


def _relu(input: Any, inplace: bool = False) -> Form:
    return nn.ReLU(), (input,)


def _relu6(input: Any, inplace: bool = False) -> Form:
    return nn.ReLU6(), (input,)


def _hardtanh(
    input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Form:
    constants(min_val=min_val, max_val=max_val)
    return nn.Hardtanh(min_val, max_val), (input,)


def _clamp(input: Any, min: Any = None, max: Any = None) -> Form:
    constants(min=min, max=max)
    for edge in (min, max):
        if edge is not None and not is_number(edge):
            raise NoFixedPointFormError(f"needs numbers as bounds, not {min!r} and {max!r}")
    if min is None and max is None:
        raise NoFixedPointFormError("needs a bound")
    low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    if (low, high) == (0, math.inf):
        return nn.ReLU(), (input,)
    return nn.Hardtanh(low, high), (input,)


def _clamp_min(input: Any, min: Any) -> Form:
    return _clamp(input, min)


def _clamp_max(input: Any, max: Any) -> Form:
    return _clamp(input, None, max)


def _leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Form:
    constants(negative_slope=negative_slope)
    return nn.LeakyReLU(negative_slope), (input,)


def _layer(kind: type[nn.Module]) -> Callable[..., Form]:
    def build(input: Any, inplace: bool = False) -> Form:
        return kind(), (input,)

    return build


def _unary(function: str) -> Callable[..., Form]:
    def build(input: Any) -> Form:
        return Unary(function), (input,)

    return build


def _elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Form:
    constants(alpha=alpha)
    return nn.ELU(alpha), (input,)


def _elu_(input: Any, alpha: float = 1.0) -> Form:
    return _elu(input, alpha)


def _shrink(kind: type[nn.Module]) -> Callable[..., Form]:
    def build(input: Any, lambd: float = 0.5) -> Form:
        constants(lambd=lambd)
        return kind(lambd), (input,)

    return build


def _softplus(input: Any, beta: float = 1, threshold: float = 20) -> Form:
    constants(beta=beta, threshold=threshold)
    return nn.Softplus(beta, threshold), (input,)


def _log1p(input: Any) -> Form:
    return nn.Sequential(ShiftBy(1), Unary("log")), (input,)


def _gelu(input: Any, *, approximate: str = "none") -> Form:
    return nn.GELU(approximate), (input,)


def _pow(input: Any, exponent: Any) -> Form:
    constants(exponent=exponent)
    function = _POWERS.get(exponent)
    if function is None:
        raise NoFixedPointFormError(
            f"exponent must be one of {', '.join(map(str, _POWERS))}, not {exponent!r}; a layer "
            f"QuantFunction(lambda x: x**{exponent!r}) has a table of any other"
        )
    return Unary(function), (input,)


def _cat(tensors: Any, dim: Any = 0, *, axis: Any = None) -> Form:
    dim = dim if axis is None else axis
    if type(dim) is not int or dim == 0:
        raise NoFixedPointFormError(f"dim must be any but the batch, not {dim!r}")
    if not isinstance(tensors, (tuple, list)):
        raise NoFixedPointFormError(
            "needs a list of tensors: unpack the parts first, a, b = x.chunk(2, 1), or show what "
            "comes in by quantize(..., example=x)"
        )
    return Cat(dim), tuple(tensors)


def _hstack(tensors: Any) -> Form:
    return _cat(tensors, 1)


def _dropout(kind: type[nn.Module], p: float, training: bool) -> Callable[..., Form]:
    def build(input: Any, p: float = p, training: Any = training, inplace: bool = False) -> Form:
        constants(p=p)
        if training is not False:
            raise NoFixedPointFormError("must be off in evaluation: pass training=self.training")
        return kind(p), (input,)

    return build


def _torch_dropout(input: Any, p: Any, train: Any) -> Form:
    return _dropout(nn.Dropout, p, train)(input)


_IN_PLACE = (operator.iadd, operator.imul, operator.isub, operator.itruediv)
_POWERS = {2: "square", 3: "cube", 0.5: "sqrt", -1: "reciprocal", -0.5: "rsqrt"}
_BUILT_IN: dict[str, Callable[..., Form]] = (
    {
        name: _unary(name)
        for name in ("abs", "atan", "ceil", "cos", "cosh", "erf", "exp", "exp2", "expm1", "floor")
        + ("log", "log10", "log2", "reciprocal", "round", "rsqrt", "sign", "sin", "sinh")
        + ("sqrt", "square", "tan", "trunc")
    }
    | {
        "absolute": _unary("abs"),
        "add": arithmetic.add,
        "amax": arithmetic.reduce("amax"),
        "arctan": _unary("atan"),
        "argmax": arithmetic.argmax(least=False),
        "argmin": arithmetic.argmax(least=True),
        "amin": arithmetic.reduce("amin"),
        "clamp": _clamp,
        "clamp_max": _clamp_max,
        "clamp_min": _clamp_min,
        "clip": _clamp,
        "div": arithmetic.div,
        "divide": arithmetic.div,
        "fmax": arithmetic.extreme(Maximum),
        "fmin": arithmetic.extreme(Minimum),
        "log1p": _log1p,
        "max": arithmetic.extreme(Maximum),
        "maximum": arithmetic.extreme(Maximum),
        "mean": arithmetic.reduce("mean"),
        "min": arithmetic.extreme(Minimum),
        "bmm": arithmetic.matmul,
        "matmul": arithmetic.matmul,
        "minimum": arithmetic.extreme(Minimum),
        "mul": arithmetic.mul,
        "multiply": arithmetic.mul,
        "neg": arithmetic.neg,
        "negative": arithmetic.neg,
        "pow": _pow,
        "sigmoid": _layer(nn.Sigmoid),
        "softmax": arithmetic.softmax,
        "sub": arithmetic.sub,
        "subtract": arithmetic.sub,
        "sum": arithmetic.reduce("sum"),
        "tanh": _layer(nn.Tanh),
        "true_divide": arithmetic.div,
    }
    | dict.fromkeys(("argsort", "kthvalue", "median", "msort", "sort", "topk"), arithmetic.ordered)
)
"""Functions that are also methods, and in place by a `_` behind the name."""
_MAX_POOL1D, _MAX_POOL2D = pools.max_pool(nn.MaxPool1d), pools.max_pool(nn.MaxPool2d)

FUNCTIONS: dict[Any, Callable[..., Form]] = {
    operator.add: arithmetic.add,
    operator.iadd: arithmetic.add,
    operator.mul: arithmetic.mul,
    operator.imul: arithmetic.mul,
    operator.sub: arithmetic.sub,
    operator.isub: arithmetic.sub,
    operator.truediv: arithmetic.div,
    operator.itruediv: arithmetic.div,
    operator.neg: arithmetic.neg,
    operator.matmul: arithmetic.matmul,
    gate: arithmetic.gate,
    torch.rsub: arithmetic.rsub,
    torch.cat: _cat,
    torch.concat: _cat,
    torch.concatenate: _cat,
    torch.hstack: _hstack,
    torch.relu: _relu,
    torch.relu_: _relu,
    torch.max_pool1d: _MAX_POOL1D,
    torch.max_pool2d: _MAX_POOL2D,
    F.relu: _relu,
    F.relu_: _relu,
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,
    F.leaky_relu: _leaky_relu,
    F.max_pool1d: _MAX_POOL1D,
    F.max_pool2d: _MAX_POOL2D,
    F.avg_pool2d: pools.avg_pool2d,
    F.avg_pool1d: pools.avg_pool1d,
    F.adaptive_avg_pool1d: pools.adaptive(nn.AdaptiveAvgPool1d),
    F.adaptive_avg_pool2d: pools.adaptive(nn.AdaptiveAvgPool2d),
    F.adaptive_max_pool1d: pools.adaptive(nn.AdaptiveMaxPool1d),
    F.adaptive_max_pool2d: pools.adaptive(nn.AdaptiveMaxPool2d),
    F.dropout: _dropout(nn.Dropout, 0.5, True),
    F.dropout1d: _dropout(nn.Dropout1d, 0.5, True),
    F.dropout2d: _dropout(nn.Dropout2d, 0.5, True),
    F.dropout3d: _dropout(nn.Dropout3d, 0.5, True),
    F.alpha_dropout: _dropout(nn.AlphaDropout, 0.5, False),
    F.feature_alpha_dropout: _dropout(nn.FeatureAlphaDropout, 0.5, False),
    torch.dropout: _torch_dropout,
    F.softmax: arithmetic.softmax,
    F.layer_norm: arithmetic.layer_norm,
    F.rms_norm: arithmetic.rms_norm,
    F.elu: _elu,
    F.elu_: _elu_,
    F.gelu: _gelu,
    F.hardshrink: _shrink(nn.Hardshrink),
    F.hardsigmoid: _layer(nn.Hardsigmoid),
    F.hardswish: _layer(nn.Hardswish),
    F.logsigmoid: _layer(nn.LogSigmoid),
    F.mish: _layer(nn.Mish),
    F.selu: _layer(nn.SELU),
    F.silu: _layer(nn.SiLU),
    F.softplus: _softplus,
    F.softshrink: _shrink(nn.Softshrink),
    F.softsign: _layer(nn.Softsign),
    F.tanhshrink: _layer(nn.Tanhshrink),
    operator.abs: _unary("abs"),
    operator.pow: _pow,
    torch.selu: _layer(nn.SELU),
    torch.special.expit: _layer(nn.Sigmoid),
}
METHODS: dict[Any, Callable[..., Form]] = {
    "relu": _relu,
    "relu_": _relu,
}
FUNCTIONS |= {one: arithmetic.compare(*how) for one, how in COMPARISONS.items()}
for _name, _build in _BUILT_IN.items():
    for _method in (_name, f"{_name}_"):
        METHODS[_method] = _build
        if hasattr(torch, _method):
            FUNCTIONS[getattr(torch, _method)] = _build

_SIZE_ARITHMETIC = frozenset(
    {operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.mod}
    | {operator.isub, operator.floordiv, operator.ifloordiv, operator.truediv, operator.itruediv}
    | {operator.neg, operator.pow, operator.getitem, min, max, round, math.sqrt, math.ceil}
    | {math.floor, math.log, math.log2, math.prod}
)
_SIZES = frozenset({"shape", "ndim", "dtype", "device", "is_cuda"})
_SAME = frozenset(
    {"clone", "contiguous", "detach", "float", "double", "half", "bfloat16", "cpu", "cuda"}
    | {"to", "type", "type_as", "requires_grad_"}
)
_NEUTRAL: dict[Any, int] = {
    operator.add: 0,
    operator.iadd: 0,
    operator.mul: 1,
    operator.imul: 1,
}
_DROPPED = frozenset({assert_fn, torch._assert})


def same_as(node: fx.Node) -> fx.Node | None:
    """The operand whose numbers a call gives on as they are: copies, moves between devices."""
    if node.op == "call_method" and node.target in _SAME:
        kinds = (*node.args[1:], *node.kwargs.values())
        plain = all(kind.is_floating_point for kind in kinds if isinstance(kind, torch.dtype))
        return _only_operand(node) if plain else None
    if node.op == "call_function" and node.target in (torch.clone, torch.detach, torch.Tensor.to):
        return _only_operand(node)
    if node.op == "call_function" and node.target in _NEUTRAL:
        neutral = _NEUTRAL[node.target]  # where sum() and prod() begin, and parts that are left out
        for index, other in enumerate(node.args[:2]):
            if type(other) is int and other == neutral:
                return _only_operand(node, 1 - index)
    return None


def _only_operand(node: fx.Node, index: int = 0) -> fx.Node | None:
    operand = node.args[index] if len(node.args) > index else None
    return operand if isinstance(operand, fx.Node) else None


def is_result(node: fx.Node) -> bool:
    """Whether it only hands tensors out: the output, or a named tuple or data class in it."""
    return node.op == "output" or (node.op == "call_function" and isinstance(node.target, type))


def is_size(node: fx.Node) -> bool:
    """Whether the call computes no tensor: a size, a type, or a check of them."""
    if node.meta.get(IS_SIZE) or node.target in _DROPPED:
        return True
    if node.op == "call_method":
        return node.target in ("size", "dim")
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[1] in _SIZES
    return node.target in _SIZE_ARITHMETIC and _all_sizes(node.args)


def _is_size(value: Any) -> bool:
    return isinstance(value, fx.Node) and is_size(value)


def _all_sizes(arguments: Iterable[Any]) -> bool:
    nodes = [argument for argument in arguments if isinstance(argument, fx.Node)]
    return bool(nodes) and all(is_size(node) for node in nodes)
