"""`accelerator.json`: what software must know of an accelerator; written when it is built."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat, FormatError, ModeError

from .errors import DescriptionError, one_line
from .layout import SLOTS, Layout

VERSION = 3
"""Of this file. Before it, targets rtl and hls4ml had descriptions of their own."""

SHELL, HLS, FINN = "shell", "hls", "finn"
"""Kinds of control: registers of our AXI shell, of a function of Vitis HLS, FINN's own driver."""

FLOAT_BITS = 32


@dataclass(frozen=True)
class InputTensor:
    """A tensor that goes in.

    Attributes:
        name: of the network's input.
        shape: of one sample, as the network was trained: channels first.
        cast: of each channel of the coded tensor, or one for all; how values become codes.
        order: coded tensor's elements as places in the flat sample; empty if they are the same.
        coded_shape: of one sample of codes.
        places: of each element of the flat coded sample on the bus; empty if they are in order.
    """

    name: str
    shape: tuple[int, ...]
    cast: tuple[FixedPointCast, ...]
    order: tuple[int, ...]
    coded_shape: tuple[int, ...]
    places: tuple[int, ...] = ()


@dataclass(frozen=True)
class OutputTensor:
    """A tensor that comes out.

    Attributes:
        name: of the network's output.
        shape: of one sample.
        formats: of each channel, or one for all; the code's binary point is what counts.
        places: of each element of the flat sample on the bus; empty if they are in order.
    """

    name: str
    shape: tuple[int, ...]
    formats: tuple[FixedPointFormat, ...]
    places: tuple[int, ...] = ()


@dataclass(frozen=True)
class Description:
    """An accelerator.

    Attributes:
        top: name of its top module, and of the overlay's files.
        network: name of the network.
        network_id: 32 hexadecimal digits, made from its hardware and formats; the AXI shell has
            them in its registers.
        board: name of the board.
        clock_mhz: clock that it is built for.
        inputs: in the order in which they lie in a position.
        outputs: likewise.
        channels_last: whether a position is a pixel with all its channels; else a whole sample.
        input_layout: how inputs travel.
        output_layout: how outputs travel.
        interval: least cycles from a sample to the next, as designed; 0 where that is unknown.
        accelerator_address: of the shell's registers.
        dma_address: of the DMA's registers.
        dma_length_bits: a transfer has less than 2 to this power bytes.
        control: `SHELL` or `HLS`.
    """

    top: str
    network: str
    network_id: str
    board: str
    clock_mhz: float
    inputs: tuple[InputTensor, ...]
    outputs: tuple[OutputTensor, ...]
    channels_last: bool
    input_layout: Layout
    output_layout: Layout
    interval: int
    accelerator_address: int
    dma_address: int
    dma_length_bits: int
    control: str = SHELL

    @property
    def most_frames(self) -> int:
        """Samples of the largest transfer; 0 if not even one fits."""
        largest = max(self.input_layout.sample_bytes, self.output_layout.sample_bytes)
        return ((1 << self.dma_length_bits) - 1) // largest

    def to_json(self) -> str:
        """The text of the file."""
        table = asdict(self)
        for tensor, own in zip(table["inputs"], self.inputs, strict=True):
            tensor["cast"] = [str(cast) for cast in own.cast]
        for tensor, made in zip(table["outputs"], self.outputs, strict=True):
            tensor["formats"] = [str(fmt) for fmt in made.formats]
        return json.dumps({"version": VERSION} | table, indent=2) + "\n"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Description:
        """Read the file.

        Raises:
            DescriptionError: it cannot be read, is of another version, or a field is wrong.
        """
        try:
            table = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DescriptionError(f"{path}: cannot be read: {one_line(error)}") from error
        return cls.parse(table, str(path))

    @classmethod
    def parse(cls, table: Any, where: str = "accelerator.json") -> Description:
        """The description from the table that the file holds.

        Raises:
            DescriptionError: it is of another version, or a field is missing or wrong.
        """
        is_table = isinstance(table, Mapping)
        if is_table and ("driver_information" in table or table.get("control") == FINN):
            raise DescriptionError(
                f"{where}: is of a FINN accelerator, which this driver does not run: use the "
                "package finn-plus-driver, and contract.json for the codes"
            )
        if not is_table or table.get("version") != VERSION:
            found = table.get("version") if is_table else table
            raise DescriptionError(f"{where}: version must be {VERSION}, not {found!r}")
        values = {name: value for name, value in table.items() if name != "version"}
        try:
            values["inputs"] = tuple(_input(entry) for entry in table["inputs"])
            values["outputs"] = tuple(_output(entry) for entry in table["outputs"])
            for name in ("input_layout", "output_layout"):
                values[name] = Layout(**table[name])
            return cls(**values)._checked(where)
        except (KeyError, TypeError, ValueError, FormatError, ModeError) as error:
            if isinstance(error, DescriptionError):
                raise
            raise DescriptionError(f"{where}: a field is missing or wrong: {error}") from error

    def _checked(self, where: str) -> Description:
        if not len(self.network_id) == 32 or set(self.network_id) - set("0123456789abcdef"):
            raise DescriptionError(
                f"{where}: network_id must be 32 hexadecimal digits, not {self.network_id!r}"
            )
        if self.control not in (SHELL, HLS):
            raise DescriptionError(
                f"{where}: control must be {SHELL} or {HLS}, not {self.control!r}"
            )
        sides = (
            ("input", self.input_layout, [tensor.coded_shape for tensor in self.inputs]),
            ("output", self.output_layout, [tensor.shape for tensor in self.outputs]),
        )
        for name, layout, shapes in sides:
            if layout.bits not in SLOTS or layout.bus_bits % layout.bits:
                raise DescriptionError(
                    f"{where}: {name}_layout: bits must be one of {SLOTS}, not {layout.bits}"
                )
            if layout.is_float and layout.bits != FLOAT_BITS:
                raise DescriptionError(
                    f"{where}: {name}_layout: bits of floats must be {FLOAT_BITS}, "
                    f"not {layout.bits}"
                )
            size, wanted = layout.positions * layout.values, sum(map(prod, shapes))
            if self.channels_last:  # tensors in turn, fewer channels filled up
                wanted = sum(prod(shape[1:]) for shape in shapes) * max(s[0] for s in shapes)
            if size != wanted:
                raise DescriptionError(
                    f"{where}: {name}_layout must hold {wanted} codes, not {size}"
                )
        return self


def _input(entry: Mapping[str, Any]) -> InputTensor:
    return InputTensor(
        entry["name"],
        tuple(entry["shape"]),
        tuple(FixedPointCast.parse(text) for text in entry["cast"]),
        tuple(entry["order"]),
        tuple(entry["coded_shape"]),
        tuple(entry["places"]),
    )


def _output(entry: Mapping[str, Any]) -> OutputTensor:
    return OutputTensor(
        entry["name"],
        tuple(entry["shape"]),
        tuple(FixedPointFormat.parse(text) for text in entry["formats"]),
        tuple(entry["places"]),
    )
