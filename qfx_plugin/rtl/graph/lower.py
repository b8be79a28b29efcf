"""Operations of the intermediate model on symbolic numbers: what each one means as gates.

A tensor is an object array of symbols with the shape of one sample; a symbol stands for the value,
`code * 2**-frac_bits`. After each operation its ranges are compared with those that the
intermediate model has proven: a wire may have no finer LSB than the proof says, and where the
tracer's interval is wider, the surplus bits are cut off, which the proof allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import TargetError
from ...ir import (
    Add,
    ArgMax,
    Arrangement,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Extreme,
    FixedType,
    Identity,
    Linear,
    MatMul,
    MaxPool,
    Multiply,
    Op,
    Pool,
    PRelu,
    Quantize,
    Relu,
    SumPool,
    Weight,
    Weighted,
    Window,
)
from ...ir.handlers import Handlers
from . import alkaid_adapter as adder_graph
from .casts import Symbol, cast, is_constant

Symbols: TypeAlias = NDArray[np.object_]
Lower: TypeAlias = Callable[[Any, Sequence[Symbols], int], Symbols]

handles: Handlers[Lower] = Handlers("the RTL target", instead="use target 'hls4ml'")
"""What lowers each operation: (operation, symbols of its operands, effort of the solver)."""

OFFSET_BITS = 31
"""alkaid adds constants of at most this many bits, sign excluded."""


def lower(op: Op, operands: Sequence[Symbols], result: FixedType, effort: int) -> Symbols:
    """The operation's output, one symbol per element.

    Args:
        op: the operation.
        operands: symbols of its operands.
        result: type of its output.
        effort: of the solver; see `alkaid_adapter.sources`.

    Raises:
        TargetError: the operation cannot be expressed exactly; names the node.
    """
    try:
        symbols = handles.of(op)(op, operands, effort)
    except TargetError as error:
        text = str(error)
        raise TargetError(text if text.startswith(op.label) else f"{op.label}: {text}") from error
    return _prove(op, symbols.reshape(result.shape), result)


@handles(Linear)
def _linear(op: Linear, operands: Sequence[Symbols], effort: int) -> Symbols:
    """One constant matrix product."""
    _check_bias(op)
    (x,) = operands
    return _rows(op.weight.codes, op.weight, op.bias, x, effort)


@handles(Conv)
def _conv(op: Conv, operands: Sequence[Symbols], effort: int) -> Symbols:
    """A matrix product at each position; taps on the padding are left out."""
    _check_bias(op)
    (x,), outputs = operands, op.outputs
    positions = op.window.positions(x.shape[1:])
    result = np.empty((outputs, *positions), dtype=object)
    group_in, group_out = x.shape[0] // op.groups, outputs // op.groups
    for place in product(*[range(size) for size in positions]):
        inside, taps = window_taps(op.window, x.shape[1:], place)
        for group in range(op.groups):
            channels = slice(group * group_in, (group + 1) * group_in)
            rows = slice(group * group_out, (group + 1) * group_out)
            read: list[Any] = [(channels, *tap) for tap in taps]
            patch = np.stack([x[index] for index in read], axis=1) if read else x[:0, :0]
            kernel = op.weight.codes[rows].reshape(group_out, group_in, -1)[:, :, inside]
            at: Any = (rows, *place)
            result[at] = _rows(
                kernel.reshape(group_out, -1),
                _part(op.weight, rows),
                None if op.bias is None else _part(op.bias, rows),
                patch.reshape(-1),
                effort,
            )
    return result


def window_taps(
    window: Window, spatial: tuple[int, ...], place: tuple[int, ...]
) -> tuple[list[int], list[tuple[int, ...]]]:
    """Elements of the window at a position that lie in the input: their numbers, and where."""
    numbers, taps = [], []
    for number, offset in enumerate(product(*map(range, window.kernel))):
        at = tuple(
            p * s + o * d - pad[0]
            for p, s, o, d, pad in zip(
                place, window.strides, offset, window.dilations, window.pads, strict=True
            )
        )
        if all(0 <= index < size for index, size in zip(at, spatial, strict=True)):
            numbers.append(number)
            taps.append(at)
    return numbers, taps


def _part(weight: Weight, rows: slice) -> Weight:
    return Weight(
        weight.codes[rows], weight.per_output()[rows], weight.width, weight.signed, name=weight.name
    )


def _rows(
    codes: NDArray[np.int64], weight: Weight, bias: Weight | None, x: Symbols, effort: int
) -> Symbols:
    """`codes @ x + bias`, each row on its own binary point; constants among `x` are folded."""
    scales = np.ldexp(1.0, -weight.per_output())
    known = np.array([is_constant(symbol) for symbol in x], dtype=bool)
    values = np.array([symbol.low for symbol in x[known]], dtype=np.float64)
    offsets = (codes[:, known] * values).sum(axis=1) * scales
    if bias is not None:
        offsets = offsets + np.ldexp(bias.codes.astype(np.float64), -bias.per_output())
    sums = adder_graph.matrix_product(codes[:, ~known], scales, x[~known], effort)
    return _array([total + float(o) for total, o in zip(sums, offsets, strict=True)])


@handles(Quantize)
def _quantize(op: Quantize, operands: Sequence[Symbols], effort: int) -> Symbols:
    (x,) = operands
    formats = np.array(op.formats, dtype=object)
    if x.ndim and formats.size > 1:
        formats = np.broadcast_to(formats.reshape(-1, *[1] * (x.ndim - 1)), x.shape).reshape(-1)
    else:
        formats = np.broadcast_to(formats, (x.size,))
    modes = op.rounding, op.overflow
    return _array([cast(v, fmt, *modes) for v, fmt in zip(x.reshape(-1), formats, strict=True)])


@handles(PRelu)
def _prelu(op: PRelu, operands: Sequence[Symbols], effort: int) -> Symbols:
    (x,) = operands
    slopes = np.ldexp(op.slope.codes.astype(np.float64), -op.slope.per_output())
    wide = np.broadcast_to(slopes.reshape(-1, *[1] * (x.ndim - 1)), x.shape)
    return _array(
        [_leak(v, float(slope)) for v, slope in zip(x.reshape(-1), wide.reshape(-1), strict=True)]
    )


def _leak(x: Symbol, slope: float) -> Symbol:
    if x.low >= 0:
        return x
    below = x * slope
    if x.high <= 0:
        return below
    return x.msb_mux(below, x)


@handles(Clip)
def _clip(op: Clip, operands: Sequence[Symbols], effort: int) -> Symbols:
    lsb = 2.0**-op.frac_bits
    symbols = list(operands[0].reshape(-1))
    if op.low is not None:
        symbols = [symbol.max_of(op.low * lsb) for symbol in symbols]
    if op.high is not None:
        symbols = [symbol.min_of(op.high * lsb) for symbol in symbols]
    return _array(symbols)


@handles(MaxPool)
def _max_pool(op: MaxPool, operands: Sequence[Symbols], effort: int) -> Symbols:
    return _pooled(op, operands[0], lambda taps: _tree(lambda a, b: a.max_of(b), taps))


@handles(ArgMax)
def _argmax(op: ArgMax, operands: Sequence[Symbols], effort: int) -> Symbols:
    (x,) = operands
    numbers = [adder_graph.constant(float(channel)) for channel in range(len(x))]
    result = np.empty((1, *x.shape[1:]), dtype=object)
    for place in product(*map(range, x.shape[1:])):
        column: list[Any] = [
            (x[(channel, *place)], number) for channel, number in enumerate(numbers)
        ]
        result[(0, *place)] = _tree(_first_larger, column)[1]
    return result


def _first_larger(a: tuple[Symbol, Symbol], b: tuple[Symbol, Symbol]) -> tuple[Symbol, Symbol]:
    """Of two values with their numbers, the larger; of equal ones the first."""
    difference = a[0] - b[0]
    if difference.low >= 0:
        return a
    if difference.high < 0:
        return b
    return difference.msb_mux(b[0], a[0]), difference.msb_mux(b[1], a[1])


@handles(SumPool)
def _sum_pool(op: SumPool, operands: Sequence[Symbols], effort: int) -> Symbols:
    return _pooled(op, operands[0], _sum)


@handles(AveragePool)
def _average_pool(op: AveragePool, operands: Sequence[Symbols], effort: int) -> Symbols:
    return _pooled(op, operands[0], lambda taps: _sum(taps) * (1.0 / op.window.area))


def _pooled(op: Pool, x: Symbols, fold: Callable[[list[Symbol]], Symbol]) -> Symbols:
    positions = op.window.positions(x.shape[1:])
    result = np.empty((x.shape[0], *positions), dtype=object)
    for place in product(*map(range, positions)):
        _, taps = window_taps(op.window, x.shape[1:], place)
        for channel in range(x.shape[0]):
            result[(channel, *place)] = fold([x[(channel, *tap)] for tap in taps])
    return result


def _sum(symbols: list[Symbol]) -> Symbol:
    return _tree(lambda a, b: a + b, symbols) if symbols else adder_graph.constant(0.0)


def _tree(combine: Callable[[Any, Any], Any], symbols: list[Any]) -> Any:
    """Combine pairwise, so that the depth grows with the logarithm."""
    while len(symbols) > 1:
        pairs = zip(symbols[::2], symbols[1::2], strict=False)
        odd = symbols[-1:] if len(symbols) % 2 else []
        symbols = [combine(a, b) for a, b in pairs] + odd
    return symbols[0]


@handles(Add)
def _add(op: Add, operands: Sequence[Symbols], effort: int) -> Symbols:
    return _pairwise(lambda a, b: a + b, operands)


@handles(Extreme)
def _extreme(op: Extreme, operands: Sequence[Symbols], effort: int) -> Symbols:
    return _pairwise(_larger if op.largest else _lesser, operands)


def _larger(a: Symbol, b: Symbol) -> Symbol:
    return b.max_of(a.low) if is_constant(a) else a.max_of(b.low if is_constant(b) else b)


def _lesser(a: Symbol, b: Symbol) -> Symbol:
    return b.min_of(a.low) if is_constant(a) else a.min_of(b.low if is_constant(b) else b)


@handles(Multiply)
def _multiply(op: Multiply, operands: Sequence[Symbols], effort: int) -> Symbols:
    return _pairwise(_times, operands)


@handles(MatMul)
def _matmul(op: MatMul, operands: Sequence[Symbols], effort: int) -> Symbols:
    """Each element as a sum of products."""
    left, right = operands
    rows, columns = left[..., :, np.newaxis, :], right.swapaxes(-1, -2)[..., np.newaxis, :, :]
    products = _pairwise(_times, (rows, columns)).reshape(-1, left.shape[-1])
    return _array([_sum(list(terms)) for terms in products])


@handles(Relu)
def _relu(op: Relu, operands: Sequence[Symbols], effort: int) -> Symbols:
    (x,) = operands
    return _array([symbol.relu() if symbol.low < 0 else symbol for symbol in x.reshape(-1)])


@handles(Concat)
def _concat(op: Concat, operands: Sequence[Symbols], effort: int) -> Symbols:
    return np.concatenate(list(operands), axis=op.axis)


@handles(Identity)
def _identity(op: Identity, operands: Sequence[Symbols], effort: int) -> Symbols:
    return operands[0]


@handles(Arrangement)
def _arrange(op: Arrangement, operands: Sequence[Symbols], effort: int) -> Symbols:
    """Wires."""
    seen: Any = op.seen(operands[0], adder_graph.constant(0.0))
    return seen if isinstance(seen, np.ndarray) else _array([seen])  # of a sample without axes


def _pairwise(combine: Callable[[Symbol, Symbol], Symbol], operands: Sequence[Symbols]) -> Symbols:
    left, right = (part.reshape(-1) for part in np.broadcast_arrays(*operands))
    return _array([combine(a, b) for a, b in zip(left, right, strict=True)])


def _times(a: Symbol, b: Symbol) -> Symbol:
    if is_constant(a):
        a, b = b, a
    return a * float(b.low) if is_constant(b) else a * b


@handles(Constant)
def _constant(op: Constant, operands: Sequence[Symbols], effort: int) -> Symbols:
    codes = op.weight.codes
    points = op.weight.per_output().reshape(-1, *[1] * (codes.ndim - 1))
    values = np.ldexp(codes.astype(np.float64), -points)
    return _array([adder_graph.constant(float(value)) for value in values.reshape(-1)])


def _array(symbols: Sequence[Symbol]) -> Symbols:
    array = np.empty(len(symbols), dtype=object)
    array[:] = symbols
    return array


def _check_bias(op: Weighted) -> None:
    """Refuse a bias that alkaid's 32-bit constants cannot hold."""
    if op.bias is None:
        return
    bits = max(int(abs(int(code))).bit_length() for code in op.bias.codes)
    if bits > OFFSET_BITS:
        raise TargetError(
            f"{op.label}: its bias needs {bits} bits; the adder-graph compiler adds {OFFSET_BITS}: "
            "use a narrower bias, or fold the layer (style 'streaming')"
        )


def _prove(op: Op, symbols: Symbols, result: FixedType) -> Symbols:
    """Compare each range with the proof; cut off bits that the proof shows to be surplus."""
    by_channel = (
        symbols.reshape(result.low.size, -1) if result.per_channel else symbols.reshape(1, -1)
    )
    columns = zip(by_channel, result.low, result.high, result.frac_bits, strict=True)
    proven = [
        _cut(op, symbol, int(low), int(high), int(bits))
        for row, low, high, bits in columns
        for symbol in row
    ]
    return _array(proven).reshape(symbols.shape)


def _cut(op: Op, symbol: Symbol, low: int, high: int, bits: int) -> Symbol:
    lsb = 2.0**-bits
    if is_constant(symbol):
        return symbol
    if symbol.step < lsb:
        raise TargetError(f"{op.label}: a wire has an LSB of {symbol.step}, the proof says {lsb}")
    sign, integers, fraction = symbol.kif
    # A single element may have a smaller range than its channel, at a padded border for example.
    needed = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) - bits
    if needed < integers or (sign and low >= 0):
        keep = int(low < 0)
        return symbol.quantize(keep, max(needed, -int(fraction)), int(fraction))
    return symbol
