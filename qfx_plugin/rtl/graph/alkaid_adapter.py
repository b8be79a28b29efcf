"""The adder-graph compiler alkaid (0.8): the only file that imports it.

From it we take four things: symbolic numbers with interval arithmetic, the solver that turns a
constant matrix into shared additions, pipelining, and Verilog. What a layer means is decided in
`lower.py` and `casts.py`; the result is checked code by code against our interpreter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import TargetError, ToolMissingError
from ...simulation.lanes import Lanes

REMEDY = "pip install 'alkaid>=0.8.2,<0.9'"

SOLVER_BITS = 20
"""The solver takes float32 coefficients: wider ones are split into digits of this many bits."""

WHOLE_CARRY = 65_534
"""Bits that a carry chain passes in one unit of delay: all. alkaid's own -1 for it makes delays
negative while a design is traced, so that a wide product can come before its operands."""

SHARED = ("shift_adder", "mux", "negative", "multiplier", "binop")
"""alkaid's own small modules, which its generated code instantiates."""


@dataclass(frozen=True)
class AdderGraphVerilog:
    """A traced network as Verilog.

    Attributes:
        files: text of each Verilog file, by file name; the top module first.
        top: name of the top module: input `model_inp`, output `model_out`, `clk` if registered.
        inputs: lanes of `model_inp`; width 0 for numbers that do not matter.
        outputs: lanes of `model_out`.
        input_shifts: a lane's number is its code times `2**shift`.
        output_shifts: likewise.
        latency: clock cycles; 0 if combinational.
        adders: additions and subtractions.
        cost: the compiler's own estimate, in LUTs.
        depth: longest chain of additions.
    """

    files: dict[str, str]
    top: str
    inputs: Lanes
    outputs: Lanes
    input_shifts: tuple[int, ...]
    output_shifts: tuple[int, ...]
    latency: int
    adders: int
    cost: float
    depth: float


def available() -> bool:
    """Whether alkaid is installed."""
    return util.find_spec("alkaid") is not None


def version() -> str:
    """Name and version, such as `alkaid 0.8.2`.

    Raises:
        ToolMissingError: it is not installed; the text names the package.
    """
    if not available():
        raise ToolMissingError(f"alkaid, the adder-graph compiler, is not installed: {REMEDY}")
    return f"alkaid {metadata.version('alkaid')}"


def sources(
    low: NDArray[np.float64], high: NDArray[np.float64], step: NDArray[np.float64], effort: int
) -> NDArray[np.object_]:
    """Symbols of the inputs.

    Args:
        low: smallest value of each.
        high: largest value of each.
        step: the power of two that each is a multiple of.
        effort: how much depth the solver may add to save adders; -1 for no limit.
    """
    version()
    _make_exact()
    from alkaid.trace import FVArray, HWConfig

    hardware = HWConfig(1, WHOLE_CARRY, -1)
    array = FVArray.from_lhs(low, high, step, hardware, solver_options=_options(effort))
    return np.asarray(array)


def constant(value: float) -> Any:
    """A symbol for a constant."""
    _make_exact()
    from alkaid.trace import HWConfig
    from alkaid.trace.fixed_variable import FVariable

    return FVariable.from_const(value, hwconf=HWConfig(1, WHOLE_CARRY, -1))


def matrix_product(
    codes: NDArray[np.int64], scales: NDArray[np.float64], x: NDArray[np.object_], effort: int
) -> list[Any]:
    """`scales * (codes @ x)` as a graph of additions that shares what rows have in common.

    Args:
        codes: (rows, n) constant integers.
        scales: (rows,) powers of two.
        x: (n,) symbols, none of them constant.
        effort: see `sources`.
    """
    from alkaid.trace import FVArray

    total: list[Any] = [constant(0.0)] * len(codes)
    if not x.size:
        return total
    array = FVArray(x, _options(effort) | {"binary_lut": not any(map(_is_minus_bit, x))})
    for shift, digits in _digits(codes):
        used = np.flatnonzero(digits.any(axis=1))
        if used.size:
            matrix = (digits * 2.0**shift * scales[:, np.newaxis])[used].T
            for row, value in zip(used, np.asarray(array @ matrix), strict=True):
                total[row] = total[row] + value
    return total


def compile_design(
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    name: str,
    *,
    stages: int | None,
    adders_per_stage: float | None,
) -> tuple[AdderGraphVerilog, Any]:
    """Optimise, pipeline and write the Verilog.

    Args:
        inputs: symbols from `sources`.
        outputs: symbols computed from them.
        name: of the top module, and prefix of all others that are not alkaid's own.
        stages: clock cycles of latency, 0 for none; or None.
        adders_per_stage: longest chain of additions between registers; or None.

    Returns:
        The design, and the traced program for `predict`.
    """
    from alkaid.codegen.rtl.verilog.fsm import fsm_logic_gen
    from alkaid.trace import trace
    from alkaid.trace.pipeline import to_pipeline

    program = trace(list(inputs), list(outputs), keep_dead_inputs=True)
    depth = float(program.latency[1])
    if adders_per_stage is not None:
        stages = max(1, int(np.ceil(depth / adders_per_stage)))
    machine = to_pipeline(
        program, n_stages=max(stages or 0, 1), verbose=False, reg_inp=False, reg_out=bool(stages)
    )
    written = fsm_logic_gen(machine, name, timescale=None)
    files = {f"{name}.v": _own_names(written.pop(name), name)}
    for part, text in sorted(written.items()):
        files[_own_names(f"{part}.v", name)] = _own_names(text, name)
    whole = "".join(files.values())
    files |= {f"alkaid_{part}.v": _shared(part) for part in SHARED if f"alkaid_{part} #" in whole}
    ins, outs = (np.asarray(kifs).reshape(3, -1) for kifs in (program.inp_kifs, program.out_kifs))
    design = AdderGraphVerilog(
        files,
        name,
        inputs=_lanes(ins),
        outputs=_lanes(outs),
        input_shifts=tuple((-ins[2]).tolist()),
        output_shifts=tuple((-outs[2]).tolist()),
        latency=stages or 0,
        adders=sum(op.opcode in (0, 1, 4) for op in program.ops),
        cost=float(program.cost),
        depth=depth,
    )
    return design, program


def predict(program: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Run a traced program: (samples, inputs) to (samples, outputs), by alkaid's interpreter."""
    return np.asarray(program.predict(np.ascontiguousarray(values), n_threads=1))


def _options(effort: int) -> Any:
    return {"hard_dc": effort}


@cache
def _make_exact() -> None:
    """Mend five losses of alkaid 0.8.2, in this process: constants are exact or refused.

    It looks for a constant's lowest bit in float32, so that a sum with a constant of more than 24
    significant bits is wrong; it cuts a constant that is added to its 32 lowest bits; it takes
    the bit below the sign of a number that is shifted left for the sign; and where it chooses by
    a word's highest bit, it takes that of what the word was cut from, which has another sign if
    negated, and may be wider in Verilog if it is never negative; and a table that it has read once
    it does not read again where its optimised graph knows less of the operand.
    """
    from alkaid.trace.fixed_variable import FVariable

    for name in ("affine_interval", "fixed_variable", "fixed_variable_array", "tracer"):
        vars(import_module(f"alkaid.trace.{name}"))["get_lsb_loc"] = _lowest_place
    vars(import_module("alkaid.trace.passes.canon"))["get_lsb_loc"] = _lowest_place
    add = FVariable._const_add

    def add_constant(self: Any, other: float | None) -> Any:
        total = add(self, other)
        if other and total.opr == "cadd":
            _check_constant(total)
        return total

    FVariable._const_add = add_constant

    mux = FVariable.msb_mux

    def msb_mux(self: Any, a: Any, b: Any, qint: Any = None) -> Any:
        is_sign = self.opr == "wrap" and self._factor > 0 and self._from[0].low < 0
        if self.opr != "wrap" or is_sign or _is_zero(a) or _is_zero(b):
            return mux(self, a, b, qint)
        chosen = mux(self._with(renew_id=False, opr="new"), a, b, qint)  # no look behind the word
        chosen._from = (self, *chosen._from[1:])
        return chosen

    FVariable.msb_mux = msb_mux
    read = FVariable.lookup

    def lookup(self: Any, table: Any, original_qint: Any = None) -> Any:
        """Optimised graphs may know less of an operand: entries for values that never occur."""
        if original_qint is not None:
            low, high, step = original_qint
            more = [max(0, round(gap / step)) for gap in (low - self.low, self.high - high)]
            if any(more):
                table = type(table)(np.pad(table.float_table, more, mode="edge"))
                original_qint = (low - more[0] * step, high + more[1] * step, step)
        return read(self, table, original_qint)

    FVariable.lookup = lookup
    canon = import_module("alkaid.trace.passes.canon")
    normalise = canon.canonicalize_msb_wraps

    def canonicalize_msb_wraps(program: Any) -> Any:
        ops = [
            new if new == old or _is_sign(program, old) else old
            for old, new in zip(program.ops, normalise(program).ops, strict=True)
        ]
        return program if ops == program.ops else program._replace(ops=ops)

    vars(canon)["canonicalize_msb_wraps"] = canonicalize_msb_wraps


def _is_zero(value: Any) -> bool:
    """Whether an operand, a number or a symbol, is the constant 0."""
    return bool(value == 0 if isinstance(value, int | float) else value.low == value.high == 0)


def _is_sign(program: Any, op: Any) -> bool:
    """Whether a single bit of a shifted number lies above its highest one: then it is the sign."""
    signed, *_ = program.ops[op.addr[0]].qint.kif
    return bool(signed) and op.data[0] < 0


def _check_constant(total: Any) -> None:
    """Refuse a sum with a constant that lost bits: its distance from the summand is not its own."""
    (summand,) = total._from
    scale = total._factor / summand._factor
    ends = (summand.low, summand.high)[:: 1 if scale > 0 else -1]
    wanted = Fraction(total.low) - Fraction(ends[0]) * Fraction(scale)
    code = ((total._data & 0xFFFF_FFFF) + (1 << 31)) % (1 << 32) - (1 << 31)
    shift = (((total._data >> 32) & 0xFFFF_FFFF) + (1 << 31)) % (1 << 32) - (1 << 31)
    if Fraction(code) * Fraction(2) ** -shift * Fraction(total._factor) != wanted:
        raise TargetError(
            "a constant that is added needs more than 31 bits: use binary points that are closer "
            "to each other"
        )


def _lowest_place(value: float) -> int:
    """Place of the lowest bit that is set; 127 for zero, as alkaid has it."""
    if value == 0:
        return 127
    numerator, denominator = float(value).as_integer_ratio()
    return (numerator & -numerator).bit_length() - denominator.bit_length()


def _is_minus_bit(x: Any) -> bool:
    """Whether a number is one bit wide and negative: the solver's tables take it for 0 or 1."""
    return bool(x.low < 0 and sum(x.kif) == 1)


def _digits(codes: NDArray[np.int64]) -> list[tuple[int, NDArray[np.float64]]]:
    """Signed digits of at most `SOLVER_BITS` bits whose weighted sum is `codes`."""
    parts = []
    magnitude, sign = np.abs(codes), np.sign(codes)
    shift = 0
    while magnitude.any():
        part = magnitude & ((1 << SOLVER_BITS) - 1)
        parts.append((shift, (sign * part).astype(np.float64)))
        magnitude = magnitude >> SOLVER_BITS
        shift += SOLVER_BITS
    return parts


def _own_names(text: str, name: str) -> str:
    """alkaid's stages are called logic0, logic1, ... in every design, its small modules `mux`."""
    text = re.sub(r"\blogic(\d+)\b(?=\s*(\(|_inst_|\.v$))", rf"{name}_logic\1", text)
    text = re.sub(r"\btable_(\w+)", rf"{name}_table_\1", text)
    return re.sub(rf"\b({'|'.join(SHARED)})(?= #\()", r"alkaid_\1", text)


def _lanes(kifs: NDArray[Any]) -> Lanes:
    widths = kifs.sum(axis=0)
    return Lanes(tuple(map(int, widths)), tuple(bool(k) for k in kifs[0]))


@cache
def _shared(name: str) -> str:
    import alkaid.codegen.rtl as rtl

    path = Path(rtl.__file__).parent / "verilog" / "source" / f"{name}.v"
    text = path.read_text().replace("`timescale 1ns / 1ps\n", "").lstrip()
    return text.replace(f"module {name} #(", f"module alkaid_{name} #(")
