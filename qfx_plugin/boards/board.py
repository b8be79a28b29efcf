"""What a build must know of a board: part, resources, clock, processor, ports. Facts only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..config import setting
from ..errors import OptionError

SCHEMA = 1
FAMILIES = ("zynq-ultrascale+", "zynq-7000")
BUS_WIDTHS = (32, 64, 128)
USABLE = 0.7
"""Share of a device's LUTs that a design may plan for: routing needs the rest."""
DIVIDERS = range(1, 64)
SLOWEST_NAMED = 50.0


@dataclass(frozen=True)
class DeviceResources:
    """What the programmable logic holds, in pieces.

    Attributes:
        lut: six-input look-up tables.
        ff: flip-flops.
        carry: carry chains, in cells of the kind `carry_cell`.
        carry_cell: name of that cell, "CARRY8" or "CARRY4".
        dsp: multiplier slices.
        dsp_cell: name of that slice, "DSP48E2" or "DSP48E1".
        bram36: block memories of 36 kbit.
        uram: block memories of 288 kbit.
    """

    lut: int = setting(minimum=1)
    ff: int = setting(minimum=1)
    carry: int = setting(minimum=1)
    carry_cell: str = setting(choices=("CARRY4", "CARRY8"))
    dsp: int = setting(minimum=0)
    dsp_cell: str = setting(choices=("DSP48E1", "DSP48E2"))
    bram36: int = setting(minimum=0)
    uram: int = setting(0, minimum=0)

    @property
    def plannable_lut(self) -> int:
        """LUTs that a design may plan for."""
        return int(USABLE * self.lut)

    @property
    def carry_bits(self) -> int:
        """Bits of a carry cell."""
        return int(self.carry_cell.removeprefix("CARRY"))

    def counts(self) -> dict[str, int]:
        """The pieces by the names that reports use."""
        counts = {
            "lut": self.lut, "ff": self.ff, "carry": self.carry, "dsp": self.dsp,
            "bram36": self.bram36,
        }  # fmt: skip
        return counts | ({"uram": self.uram} if self.uram else {})


@dataclass(frozen=True)
class Clock:
    """The clock that the processor gives the logic.

    Attributes:
        reference_mhz: the processor's own reference, in MHz.
        default_mhz: what a build takes if nothing is asked for, in MHz.
        minimum_mhz: least that a build accepts, in MHz.
        maximum_mhz: most that a build accepts, in MHz.
        parameter: the processor block's parameter that sets it.
        pin: the processor block's output.
        reset_pin: the processor block's reset output, active low.
        pll_mhz: what two dividers of 1 to 63 make the clock from, in MHz; none where that is not
            known, and every frequency counts as reached.
        actual: the processor block's parameter that tells the frequency it reaches, if there is
            one.
    """

    reference_mhz: float = setting(minimum=1)
    default_mhz: float = setting(minimum=1)
    minimum_mhz: float = setting(minimum=1)
    maximum_mhz: float = setting(minimum=1)
    parameter: str = setting()
    pin: str = setting()
    reset_pin: str = setting()
    pll_mhz: float | None = setting(None, minimum=1)
    actual: str | None = setting(None)

    def reachable(self, mhz: float) -> float:
        """The nearest frequency that the dividers make, in MHz."""
        return min(self._frequencies(), key=lambda one: abs(one - mhz), default=mhz)

    @property
    def exact_mhz(self) -> tuple[float, ...]:
        """Frequencies that are reached and easy to name, half MHz by half MHz, from 50 MHz on."""
        rounded = {round(one, 6) for one in self._frequencies() if one >= SLOWEST_NAMED}
        return tuple(sorted(one for one in rounded if (2 * one).is_integer()))

    def _frequencies(self) -> list[float]:
        """All between the least and the most that a build accepts."""
        if self.pll_mhz is None:
            return []
        found = (self.pll_mhz / (one * two) for one in DIVIDERS for two in DIVIDERS if one <= two)
        return [mhz for mhz in found if self.minimum_mhz <= mhz <= self.maximum_mhz]

    def check(self, mhz: float, where: str) -> float:
        """`mhz` itself.

        Raises:
            OptionError: it is out of range.
        """
        if not self.minimum_mhz <= mhz <= self.maximum_mhz:
            raise OptionError(
                f"{where} must be {self.minimum_mhz:g} to {self.maximum_mhz:g} MHz, not {mhz:g}"
            )
        return mhz


@dataclass(frozen=True)
class Processor:
    """The processing system as a block of a block design.

    Attributes:
        vlnv: vendor, library and name of the block, without version.
        automation: the rule that applies the board's preset.
        automation_config: its arguments.
        parameters: parameters to set after the preset, without the prefix `CONFIG.`.
        interrupt_pin: input for interrupts of the logic.
        memory_bytes: the board's main memory.
        processor: for people.
    """

    vlnv: str = setting()
    automation: str = setting()
    automation_config: dict[str, str | int | float] = setting()
    parameters: dict[str, str | int | float] = setting()
    interrupt_pin: str = setting()
    memory_bytes: int = setting(minimum=1)
    processor: str = setting()


@dataclass(frozen=True)
class ProcessorPort:
    """An AXI port between processor and logic.

    Attributes:
        name: of the interface.
        clock_pin: the port's clock input.
        widths: data widths it can have, in bits.
        width_parameter: the processor block's parameter for the width; none if there is one only.
        enable: the processor block's parameter that opens it; none if it is always open.
    """

    name: str = setting()
    clock_pin: str = setting()
    widths: tuple[int, ...] = setting()
    width_parameter: str | None = setting(None)
    enable: str | None = setting(None)


@dataclass(frozen=True)
class ControlPort(ProcessorPort):
    """The port through which the processor reaches registers.

    Attributes:
        base_address: first address of its window.
        size_bytes: size of its window.
    """

    base_address: int = setting(0, minimum=1)
    size_bytes: int = setting(0, minimum=4096)


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        schema: version of this layout.
        name: how users call it; lower case, digits and hyphens.
        title: maker and name, for people.
        family: one of `FAMILIES`.
        part: FPGA part with package, speed and temperature grade.
        board_part: Vivado's name of the board, "vendor:name:part0:version", as it was looked at;
            the newest version that is installed is taken, of any vendor.
        resources: what the logic holds.
        clock: the clock of the logic.
        ps: the processing system.
        control: the port for registers.
        memory_ports: the ports to main memory, best first.
        aliases: other names that are understood.
        notes: what a user must know, for people.
    """

    schema: int = setting(choices=(SCHEMA,))
    name: str = setting()
    title: str = setting()
    family: str = setting(choices=FAMILIES)
    part: str = setting()
    board_part: str = setting()
    resources: DeviceResources = setting()
    clock: Clock = setting()
    ps: Processor = setting()
    control: ControlPort = setting()
    memory_ports: tuple[ProcessorPort, ...] = setting()
    aliases: tuple[str, ...] = setting(())
    notes: str = setting("")

    def check(self, where: str) -> Board:
        """The rules that concern several fields; returns the board itself.

        Args:
            where: file that the board comes from; begins every message.

        Raises:
            OptionError: names the field, the rule and the value.
        """
        _check_text(self.name, r"[a-z0-9]+(-[a-z0-9]+)*", "lower case, digits, hyphens", where,
                    "name")  # fmt: skip
        _check_text(self.part, r"xc[A-Za-z0-9-]+", "an AMD part such as xc7z020clg400-1",
                    where, "part")  # fmt: skip
        _check_text(self.board_part, r"[\w.]+:[\w.-]+:[\w.-]+:[\d.]+", "vendor:name:part:version",
                    where, "board_part")  # fmt: skip
        clock = self.clock
        if not clock.minimum_mhz <= clock.default_mhz <= clock.maximum_mhz:
            raise OptionError(
                f"{where}: clock.default_mhz must be {clock.minimum_mhz:g} to "
                f"{clock.maximum_mhz:g}, not {clock.default_mhz:g}"
            )
        names = [self.control.name, *(port.name for port in self.memory_ports)]
        for index, name in enumerate(names[1:]):
            if name in names[: index + 1]:
                raise OptionError(
                    f"{where}: memory_ports[{index}].name must differ from other ports', not "
                    f"{name!r}"
                )
        for name, port in (("control", self.control), *_numbered(self.memory_ports)):
            for width in port.widths:
                if width not in BUS_WIDTHS:
                    raise OptionError(
                        f"{where}: {name}.widths must be among "
                        f"{', '.join(map(str, BUS_WIDTHS))}, not {width}"
                    )
            if len(port.widths) > 1 and port.width_parameter is None:
                raise OptionError(
                    f"{where}: {name}.width_parameter is missing: the port has "
                    f"{len(port.widths)} widths"
                )
        return self


def _numbered(ports: tuple[ProcessorPort, ...]) -> list[tuple[str, ProcessorPort]]:
    return [(f"memory_ports[{index}]", port) for index, port in enumerate(ports)]


def _check_text(value: str, pattern: str, rule: str, where: str, name: str) -> None:
    if not re.fullmatch(pattern, value):
        raise OptionError(f"{where}: {name} must be {rule}, not {value!r}")
