"""Exact integer arithmetic as Verilog: the reference side of a proof, written from definitions.

Every number is a signed wire that is wide enough for the range it can have, so that no operation
loses a bit; only a cast does, by the words of `docs/modes.md`. Nothing here is shared with what
the targets generate their logic from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product

from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
    forgotten,
)

from ..errors import TargetError


@dataclass(frozen=True)
class Number:
    """A number in the circuit: `code * 2**-point`.

    Attributes:
        text: a signed Verilog expression of the code.
        low: smallest code.
        high: largest code.
        point: bits right of the binary point.
    """

    text: str
    low: int
    high: int
    point: int = 0

    @property
    def is_zero(self) -> bool:
        """Whether it is 0 always."""
        return self.low == self.high == 0


def bits_of(low: int, high: int) -> int:
    """Bits of the narrowest two's complement number that holds a range."""
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def constant(code: int, point: int = 0) -> Number:
    """A known number."""
    bits = bits_of(code, code)
    return Number(f"{bits}'sh{code & ((1 << bits) - 1):x}", code, code, point)


@dataclass
class Circuit:
    """Wires, one after the other.

    Attributes:
        lines: their Verilog.
    """

    lines: list[str] = field(default_factory=list)

    def wire(self, text: str, low: int, high: int, point: int = 0) -> Number:
        """A new signed wire for an expression whose value lies within the range."""
        if low == high:
            return constant(low, point)
        name = f"n{len(self.lines)}"
        self.lines.append(f"wire signed [{bits_of(low, high) - 1}:0] {name} = {text};")
        return Number(name, low, high, point)

    def flag(self, text: str) -> str:
        """A new wire of one bit."""
        name = f"n{len(self.lines)}"
        self.lines.append(f"wire {name} = {text};")
        return name

    def later(self, x: Number, cycles: int) -> Number:
        """The number as it was some clock cycles ago."""
        for _ in range(cycles if x.low != x.high else 0):
            name = f"n{len(self.lines)}"
            self.lines.append(
                f"reg signed [{bits_of(x.low, x.high) - 1}:0] {name}; "
                f"always @(posedge clk) {name} <= {x.text};"
            )
            x = Number(name, x.low, x.high, x.point)
        return x

    def next_flag(self, flag: str) -> str:
        """The flag as it was one clock cycle ago."""
        name = f"n{len(self.lines)}"
        self.lines.append(f"reg {name}; always @(posedge clk) {name} <= {flag};")
        return name

    def lane(self, port: str, first: int, width: int, signed: bool) -> Number:
        """Bits of a port as a code, of any value that they can have."""
        bits = f"{port}[{first + width - 1}:{first}]"
        if not signed:
            return self._raw(f"{{1'b0, {bits}}}", 0, (1 << width) - 1)
        return self._raw(bits, -(1 << width - 1), (1 << width - 1) - 1)

    def at(self, x: Number, point: int) -> Number:
        """The same value on a finer binary point.

        Raises:
            TargetError: the binary point is coarser, and the value not known to be 0.
        """
        shift = point - x.point
        if x.is_zero:
            return constant(0, point)
        if shift < 0:
            raise TargetError(f"a number must not lose {-shift} bits without a cast")
        if not shift:
            return x
        return self.wire(f"{x.text} <<< {shift}", x.low << shift, x.high << shift, point)

    def add(self, a: Number, b: Number) -> Number:
        """`a + b`."""
        a, b = self._aligned(a, b)
        return self.wire(f"{a.text} + {b.text}", a.low + b.low, a.high + b.high, a.point)

    def subtract(self, a: Number, b: Number) -> Number:
        """`a - b`."""
        a, b = self._aligned(a, b)
        return self.wire(f"{a.text} - {b.text}", a.low - b.high, a.high - b.low, a.point)

    def multiply(self, a: Number, b: Number) -> Number:
        """`a * b`."""
        ends = [x * y for x, y in product((a.low, a.high), (b.low, b.high))]
        return self.wire(f"{a.text} * {b.text}", min(ends), max(ends), a.point + b.point)

    def larger(self, a: Number, b: Number) -> Number:
        """The larger of both."""
        a, b = self._aligned(a, b)
        low, high = max(a.low, b.low), max(a.high, b.high)
        return self.wire(f"({a.text} > {b.text}) ? {a.text} : {b.text}", low, high, a.point)

    def lesser(self, a: Number, b: Number) -> Number:
        """The lesser of both."""
        a, b = self._aligned(a, b)
        low, high = min(a.low, b.low), min(a.high, b.high)
        return self.wire(f"({a.text} < {b.text}) ? {a.text} : {b.text}", low, high, a.point)

    def choose(self, condition: str, a: Number, b: Number) -> Number:
        """`a` if a flag is set, else `b`."""
        a, b = self._aligned(a, b)
        low, high = min(a.low, b.low), max(a.high, b.high)
        return self.wire(f"{condition} ? {a.text} : {b.text}", low, high, a.point)

    def exceeds(self, a: Number, b: Number) -> str:
        """A flag: `a > b`."""
        a, b = self._aligned(a, b)
        return self.flag(f"{a.text} > {b.text}")

    def fold(
        self, combine: Callable[[Number, Number], Number], numbers: Iterable[Number]
    ) -> Number:
        """One after the other."""
        return reduce(combine, numbers)

    def pick(self, x: Number, entries: Sequence[int], first: int, point: int) -> Number:
        """`entries[x - first]`; codes of `x` outside cannot occur."""
        low, high = min(entries), max(entries)
        name, width = f"n{len(self.lines)}", bits_of(low, high)
        cases = " ".join(
            f"{constant(first + place).text}: {name} = {constant(entry).text};"
            for place, entry in enumerate(entries)
        )
        self.lines.append(
            f"reg signed [{width - 1}:0] {name}; always @* case ({x.text}) {cases} "
            f"default: {name} = {constant(low).text}; endcase"
        )
        return Number(name, low, high, point)

    def cast(
        self, x: Number, fmt: FixedPointFormat, rounding: RoundingMode, overflow: OverflowMode
    ) -> Number:
        """`x` in the format, as `ap_fixed` converts it: first rounded, then brought into range."""
        lost = x.point - fmt.frac_bits
        if lost <= 0:
            floor = rounded = self.at(x, fmt.frac_bits)
        else:
            floor = self.wire(f"{x.text} >>> {lost}", x.low >> lost, x.high >> lost, fmt.frac_bits)
            rounded = self._rounded(x, floor, lost, rounding)
        return self._in_range(rounded, floor, fmt, overflow)

    def _rounded(self, x: Number, floor: Number, lost: int, rounding: RoundingMode) -> Number:
        """`floor` or the next code, by how much lies between `floor` and `x`."""
        below = self.wire(f"{floor.text} <<< {lost}", floor.low << lost, floor.high << lost)
        whole, half = 1 << lost, 1 << lost - 1
        rest = self.wire(f"{x.text} - {below.text}", 0, whole - 1)  # in units of the LSB of x
        over, tie = f"{rest.text} > {constant(half).text}", f"{rest.text} == {constant(half).text}"
        negative, odd = f"{x.text} < 1'sb0", self.flag(floor.text)  # its lowest bit
        match rounding:
            case RoundingMode.AP_TRN:
                return floor
            case RoundingMode.AP_TRN_ZERO:
                up = f"{negative} && {rest.text} != 1'sb0"
            case RoundingMode.AP_RND:
                up = f"{over} || {tie}"
            case RoundingMode.AP_RND_MIN_INF:
                up = over
            case RoundingMode.AP_RND_ZERO:
                up = f"{over} || ({tie} && {negative})"
            case RoundingMode.AP_RND_INF:
                up = f"{over} || ({tie} && !({negative}))"
            case RoundingMode.AP_RND_CONV:
                up = f"{over} || ({tie} && {odd})"
            case _:
                forgotten(rounding)
        return self.choose(self.flag(up), self.add(floor, constant(1, floor.point)), floor)

    def _in_range(
        self, code: Number, floor: Number, fmt: FixedPointFormat, overflow: OverflowMode
    ) -> Number:
        low, high = fmt.min_code, fmt.max_code
        if overflow is OverflowMode.AP_SAT_SYM and low < -1:
            low = -high
        if low <= code.low and code.high <= high:
            return code
        first, last = constant(low, code.point), constant(high, code.point)
        above, below = self.exceeds(code, last), self.exceeds(first, code)
        match overflow:
            case OverflowMode.AP_WRAP:
                outside = self._wrapped(code, fmt)
            case OverflowMode.AP_SAT_ZERO:
                outside = constant(0, code.point)
            case OverflowMode.AP_WRAP_SM if fmt.signed:
                outside = self._mirrored(code, floor, fmt)
            case OverflowMode.AP_SAT | OverflowMode.AP_SAT_SYM | OverflowMode.AP_WRAP_SM:
                outside = self.choose(above, last, first)
            case _:
                forgotten(overflow)
        text = f"({above} || {below}) ? {outside.text} : {code.text}"
        within = max(low, code.low), min(high, code.high)
        ends = (outside.low, outside.high, *(within if within[0] <= within[1] else ()))
        return self.wire(text, min(ends), max(ends), code.point)

    def low_bits(self, x: Number, width: int) -> str:
        """A new unsigned wire of the lowest bits of the code; its sign is repeated above it."""
        name = f"n{len(self.lines)}"
        self.lines.append(f"wire [{width - 1}:0] {name} = {x.text};")
        return name

    def _wrapped(self, code: Number, fmt: FixedPointFormat) -> Number:
        """The code's lowest bits."""
        name = self.low_bits(code, fmt.width)
        text = name if fmt.signed else f"{{1'b0, {name}}}"
        return self._raw(text, fmt.min_code, fmt.max_code, code.point)

    def _mirrored(self, code: Number, floor: Number, fmt: FixedPointFormat) -> Number:
        """Wrapped, with the sign that the lowest lost bit of the truncated code says."""
        word = self._wrapped(code, fmt)
        lost = self.wire(f"{floor.text} >>> {fmt.width}", floor.low >> fmt.width,
                         floor.high >> fmt.width)  # fmt: skip
        negative = self.flag(lost.text)  # its lowest bit
        other = self.subtract(constant(-1, word.point), word)
        return self.choose(f"(({word.text} < 1'sb0) == {negative})", word, other)

    def _raw(self, text: str, low: int, high: int, point: int = 0) -> Number:
        """A wire of bits, not of a number: always made, exactly as wide as the range."""
        name = f"n{len(self.lines)}"
        self.lines.append(f"wire signed [{bits_of(low, high) - 1}:0] {name} = {text};")
        return Number(name, low, high, point)

    def _aligned(self, a: Number, b: Number) -> tuple[Number, Number]:
        finer = max(a.point, b.point)
        return self.at(a, finer), self.at(b, finer)
