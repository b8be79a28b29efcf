"""`QFXLookup`: a table read at each code, for functions that thresholds cannot follow."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from ...units.sources import packed
from ...units.terms import block_rams, memory_luts, varying_bits
from .elementwise import ElementwiseOp
from .rtl import Instance, operation
from .unit import Cost

BLOCK, LUTS = 1, 2
"""Kinds of memory, as `qfx_rom` numbers them."""


@operation
class QFXLookup(ElementwiseOp):
    """`table[numbers[channel], x - low]`, each element by itself."""

    attributes = {
        "table": ("t", True, np.zeros((1, 1), dtype=np.int64)),
        "numbers": ("ints", True, []),
        "low": ("i", True, 0),
    }
    """(tables, entries) codes, the table of each channel, and the code of the first entry."""

    @property
    def table(self) -> NDArray[np.int64]:
        """(tables, entries) codes."""
        return np.asarray(self.get_nodeattr("table")).astype(np.int64)

    def cost(self) -> Cost:
        """The memory of each lane, the register behind it, where each channel's table begins."""
        pe, text = self.get_nodeattr("PE"), self._words()
        bits, words = self.get_output_datatype().bitwidth(), len(text.split())
        folds, tables = self.get_nodeattr("NumChannels") // pe, len(self.table)
        halves, luts = 0, float(pe * memory_luts(text, bits))
        if self._style() == BLOCK:
            halves, luts = pe * block_rams(varying_bits(text), words)[0], 0.0
        number = pe * (tables - 1).bit_length() * ceil(folds / 64) if folds > 1 else 0
        return Cost([luts, float(number), 1.0], bram18=halves)

    def execute_node(self, context: dict[str, object], graph: object) -> None:
        """On integers, exactly."""
        codes = self.codes(context, 0)
        numbers = np.asarray(self.get_nodeattr("numbers"), np.int64)
        self.store(context, self.table[numbers, codes - self.get_nodeattr("low")])

    def instance(self) -> Instance:
        """`qfx_stream_lookup`."""
        file, pe = f"{self.get_verilog_top_module_name()}_table.mem", self.get_nodeattr("PE")
        tables = len(self.table)
        number_bits = max((tables - 1).bit_length(), 1)
        parameters: dict[str, int | str] = {
            "PE": pe,
            "FOLDS": self.get_nodeattr("NumChannels") // pe,
            "IN_BITS": self.get_input_datatype().bitwidth(),
            "ADDRESS_BITS": self._address_bits(),
            "TABLES": tables,
            "NUMBER_BITS": number_bits,
            "NUMBERS": packed(self.get_nodeattr("numbers"), number_bits),
            "STYLE": self._style(),
            "FILE": f'"{file}"',
            "OUT_BITS": self.get_output_datatype().bitwidth(),
        }
        return Instance("qfx_stream_lookup", parameters, memories={file: self._words()})

    def _address_bits(self) -> int:
        return max(int(self.table.shape[1] - 1).bit_length(), 1)

    def _style(self) -> int:
        """Block RAM for as many bits as other units keep there."""
        words = len(self.table) << self._address_bits()
        bits = words * self.get_output_datatype().bitwidth()
        return BLOCK if words > 64 and bits > 4096 else LUTS

    def _words(self) -> str:
        """Entries by the low bits of their code, for `$readmemh`; none is never read."""
        table, size = self.table, 1 << self._address_bits()
        places = np.arange(self.get_nodeattr("low"), self.get_nodeattr("low") + table.shape[1])
        memory = np.repeat(table[:, :1], size, axis=1)
        memory[:, places % size] = table
        mask = (1 << self.get_output_datatype().bitwidth()) - 1
        return "".join(f"{word:x}\n" for word in (memory.reshape(-1) & mask).tolist())
