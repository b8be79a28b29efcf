"""Folded matrix-vector units: from a layer of the intermediate model to parameters and memories.

    unit = fold(matrix_product(op, graph), pe=4, simd=8)
    sources = unit.write(folder)           # SystemVerilog, and the memories for $readmemh
    words = unit.input_words(x)            # beats of the input stream for (samples, columns) codes

`sv/product/qfx_mvu.sv` says what the hardware does. Sums are exact: the accumulator is as wide as
the layer's proven range, every binary point is brought to the result's by shifting weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, TargetError
from ..ir import Conv, FixedType, Graph, Linear
from ..ir.types import Codes
from .digits import SlotDigits, check_bits, khot_digits, radix4_digits, signed_bits
from .names import verilog_name
from .sources import packed, sources_of, stream_wrapper, unit_files

MODULE = "qfx_mvu"
DATAPATHS: Mapping[str, int] = MappingProxyType({"khot": 0, "radix4": 1, "mul": 2})
"""Names of the datapaths and the parameter DATAPATH of `sv/product/qfx_mvu.sv`."""

CHAIN = 4
"""Lanes added between two registers."""

ROM_STYLES = ("auto", "block", "distributed")


@dataclass(frozen=True, eq=False)
class MatrixProduct:
    """`weight @ x + bias` on integer codes.

    Attributes:
        label: how messages call the layer, such as `Linear 'fc1'`.
        weight: (rows, columns) codes, shifted to the result's binary points.
        bias: (rows,) codes at the result's binary points, Python ints.
        input_bits: bits of an element of x.
        input_signed: whether x is two's complement.
        result_bits: bits that hold every result, two's complement.
        frac_bits: (1,) or (rows,) binary points of the results.
        k: most powers of two in a weight, or None for any weight.
        digits: "signed" or "binary" digits of K-hot weights.
    """

    label: str
    weight: Codes
    bias: NDArray[np.object_]
    input_bits: int
    input_signed: bool
    result_bits: int
    frac_bits: Codes
    k: int | None = None
    digits: str = "signed"

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.weight.shape
        return rows, columns

    @property
    def weight_bits(self) -> int:
        """Bits of the narrowest two's complement number that holds every weight."""
        return signed_bits(int(self.weight.min()), int(self.weight.max()))


def matrix_product(op: Linear | Conv, graph: Graph) -> MatrixProduct:
    """A layer as a matrix product.

    Columns of a convolution are its window's elements, channels last: kernel row, kernel column,
    channel. Results keep the layer's binary points, one per row where they differ.

    Args:
        op: a layer of `graph`.
        graph: verified.

    Raises:
        TargetError: a grouped convolution, or sums that are too wide.
    """
    types = graph.types()
    operand, result = types[op.inputs[0]], types[op.output]
    if not isinstance(operand, FixedType) or not isinstance(result, FixedType):
        raise TargetError(f"{op.label}: needs integer operands")
    if isinstance(op, Conv) and op.groups != 1:
        raise TargetError(
            f"{op.label}: groups must be 1 for a folded unit, not {op.groups}; unroll this layer"
        )
    weight = op.aligned_weight(operand)  # rows at the result's binary points
    shift = operand.frac_bits.max() - operand.frac_bits  # and columns at the input's finest
    silent = (operand.low == 0) & (operand.high == 0)  # such a channel may have any binary point
    column = (1, -1, *[1] * (weight.ndim - 2))
    weight = np.where(silent.reshape(column), 0, weight << np.minimum(shift, 62).reshape(column))
    if weight.ndim > 2:
        weight = np.moveaxis(weight, 1, -1)
    bias = op.add_bias(np.zeros((1, op.outputs), dtype=np.int64), operand)[0]
    signed = int(operand.low.min()) < 0
    low, high = int(result.low.min()), int(result.high.max())
    return MatrixProduct(
        label=op.label,
        weight=weight.reshape(op.outputs, -1),
        bias=bias.astype(object),
        input_bits=_input_bits(operand, signed),
        input_signed=signed,
        result_bits=check_bits(op.label, signed_bits(low, high)),
        frac_bits=result.frac_bits,
        k=op.weight.k,
        digits=op.weight.digits,
    )


@dataclass(frozen=True, eq=False)
class Mvu:
    """A folded matrix-vector unit.

    Attributes:
        name: of the Verilog module.
        product: what it computes.
        datapath: "khot", "radix4" (both without multipliers) or "mul".
        pe: rows at once.
        simd: columns at once.
        digits: of the weights; None for multipliers.
        rom_style: weight memory in "block" RAM, "distributed" in LUTs, or "auto".
        dsp: multipliers in DSP slices, else in LUTs.
    """

    name: str
    product: MatrixProduct
    datapath: str
    pe: int
    simd: int
    digits: SlotDigits | None
    rom_style: str = "auto"
    dsp: bool = True

    @property
    def cycles(self) -> int:
        """Clock cycles for each vector."""
        rows, columns = self.product.shape
        return rows // self.pe * (columns // self.simd)

    @property
    def code_bits(self) -> int:
        """Bits of a weight in the weight memory."""
        if self.datapath == "khot" and self.digits is not None:
            return self.digits.code_bits
        return self.product.weight_bits

    @property
    def memory_bits(self) -> int:
        """Bits of the weight memory."""
        rows, columns = self.product.shape
        return rows * columns * self.code_bits

    @cached_property
    def parameters(self) -> dict[str, int | str]:
        """Parameters of `qfx_mvu`, without the names of the files; text is Verilog source."""
        rows, columns = self.product.shape
        slots = self.digits.slots if self.datapath == "khot" and self.digits else ()
        result: dict[str, int | str] = {
            "DATAPATH": DATAPATHS[self.datapath],
            "MW": columns,
            "MH": rows,
            "PE": self.pe,
            "SIMD": self.simd,
            "IW": self.product.input_bits,
            "ISIGNED": f"1'b{int(self.product.input_signed)}",
            "ACCW": self.product.result_bits,
            "WW": self.product.weight_bits,
            "CHAIN": CHAIN,
            "USE_DSP": f"1'b{int(self.dsp)}",
            "ROM_STYLE": ROM_STYLES.index(self.rom_style),
        }
        if slots:
            result |= {
                "K": len(slots),
                "LOWS": packed((slot.low for slot in slots), 8),
                "SPANS": packed((slot.span for slot in slots), 8),
            }
        return result

    def weight_words(self) -> list[int]:
        """One word for each cycle of a vector: PE rows of SIMD codes, row 0 lowest."""
        if self.datapath == "khot" and self.digits is not None:
            codes = self.digits.field()
        else:
            codes = self.product.weight & ((1 << self.code_bits) - 1)
        rows, columns = self.product.shape
        blocks = codes.reshape(rows // self.pe, self.pe, columns // self.simd, self.simd)
        lanes = blocks.transpose(0, 2, 1, 3).reshape(self.cycles, self.pe * self.simd)
        return [_join(word, self.code_bits) for word in lanes.tolist()]

    def start_words(self) -> list[int]:
        """One word for each block of rows: what the accumulators begin with."""
        start, bits = self.product.bias, self.product.result_bits
        if self.digits is not None:
            product = self.product
            start = start - self.digits.constant(
                product.input_bits, product.input_signed, self.simd, CHAIN
            )
        mask = (1 << bits) - 1
        blocks = start.reshape(-1, self.pe).tolist()
        return [_join([int(value) & mask for value in block], bits) for block in blocks]

    def memories(self) -> dict[str, tuple[str, str]]:
        """Name and text for $readmemh of each memory, by the parameter that names it."""
        words = {
            "WEIGHT_FILE": (self.weight_words(), self.pe * self.simd * self.code_bits),
            "BIAS_FILE": (self.start_words(), self.pe * self.product.result_bits),
        }
        return {
            key: (
                f"{self.name}_{key.split('_')[0].lower()}.mem",
                "".join(f"{line:0{-(-bits // 4)}x}\n" for line in lines),
            )
            for key, (lines, bits) in words.items()
        }

    def write(self, folder: Path) -> list[Path]:
        """Write the module and its two memories, `<name>_weight.mem` and `<name>_bias.mem`.

        Args:
            folder: made if missing. The module names the memories without a folder.

        Returns:
            The module and the files of its submodules.
        """
        folder.mkdir(parents=True, exist_ok=True)
        parameters = dict(self.parameters)
        for key, (name, text) in self.memories().items():
            (folder / name).write_text(text, encoding="ascii")
            parameters[key] = f'"{name}"'
        source = folder / f"{self.name}.sv"
        rows, columns = self.product.shape
        text = stream_wrapper(
            MODULE,
            parameters,
            name=self.name,
            about=f"{self.product.label}: {rows} x {columns}, {self.cycles} cycles a vector",
            input_bits=self.simd * self.product.input_bits,
            output_bits=self.pe * self.product.result_bits,
        )
        source.write_text(text, encoding="ascii")
        return [*sources_of(MODULE), source]

    def input_words(self, x: Codes) -> Codes:
        """(samples * words, SIMD) beats of the input stream for (samples, columns) codes."""
        return np.asarray(x).reshape(-1, self.simd)

    def output_rows(self, words: Codes) -> Codes:
        """(samples, rows) results from the (samples * words, PE) beats of the output stream."""
        return np.asarray(words).reshape(-1, self.product.shape[0])


def fold(
    product: MatrixProduct,
    pe: int = 1,
    simd: int = 1,
    *,
    name: str = "mvu",
    datapath: str = "auto",
    rom_style: str = "auto",
    dsp: bool = True,
) -> Mvu:
    """A unit for `product` that takes `rows / pe * columns / simd` cycles a vector.

    Args:
        product: from `matrix_product`.
        pe: rows at once; divides the rows.
        simd: columns at once; divides the columns.
        name: of the Verilog module, made a legal one if need be.
        datapath: "khot", "radix4", "mul", or "auto": the smaller of the two without multipliers.
        rom_style: "auto", "block" or "distributed".
        dsp: "mul" only: DSP slices, else LUTs.

    Raises:
        TargetError: a folding that does not divide, or K-hot digits for weights that are not.
        OptionError: an unknown datapath or memory style.
    """
    rows, columns = product.shape
    _check_folding(product.label, "pe", pe, rows, "rows")
    _check_folding(product.label, "simd", simd, columns, "columns")
    _check_option("datapath", datapath, ("auto", *DATAPATHS))
    _check_option("rom_style", rom_style, ROM_STYLES)
    if datapath == "khot" and product.k is None:
        raise TargetError(
            f"{product.label}: datapath 'khot' needs K-hot weights, and these are not declared so; "
            "'radix4' takes any"
        )
    datapath, digits = choose_digits(product, datapath)
    name = verilog_name(name, unit_files(), "unit")
    return Mvu(name, product, datapath, pe, simd, digits, rom_style, dsp)


def choose_digits(product: MatrixProduct, datapath: str) -> tuple[str, SlotDigits | None]:
    """The datapath that `datapath` comes to, and the weights' digits for it."""
    digits = None
    if datapath in ("khot", "auto") and product.k is not None:
        digits = khot_digits(product.weight, product.k, product.digits)
    if datapath in ("radix4", "auto"):
        other = radix4_digits(product.weight, product.weight_bits)
        bits = product.input_bits
        khot = digits is not None and digits.luts(bits) <= other.luts(bits)
        digits, datapath = (digits, "khot") if khot else (other, "radix4")
    return datapath, digits


def _input_bits(operand: FixedType, signed: bool) -> int:
    low, high = int(operand.low.min()), int(operand.high.max())
    return signed_bits(low, high) if signed else max(1, high.bit_length())


def _check_folding(label: str, name: str, value: int, size: int, unit: str) -> None:
    if value < 1 or size % value:
        fitting = ", ".join(str(n) for n in range(1, size + 1) if size % n == 0)
        raise TargetError(
            f"{label}: {name} must divide its {size} {unit} ({fitting}), not be {value}"
        )


def _check_option(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _join(values: list[int], bits: int) -> int:
    """Values side by side, the first in the lowest bits."""
    return sum(value << (bits * index) for index, value in enumerate(values))
