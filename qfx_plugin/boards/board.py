"""What a build must know of a board: part, resources, clock, processor, ports. Facts only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..config import setting
from ..errors import OptionError

SCHEMA = 1
ZYNQ = ("zynq-ultrascale+", "zynq-7000")
"""Families with a processor, whose bitstream the vendor's tools make."""
OPEN = ("ecp5", "gowin")
"""Families without one, whose bitstream open tools make."""
FAMILIES = (*ZYNQ, *OPEN)
CARRY_BITS = {"CARRY4": 4, "CARRY8": 8, "CCU2C": 2, "ALU": 1}
DSP_CELLS = ("DSP48E1", "DSP48E2", "MULT18X18D", "MULT18X18")
BUS_WIDTHS = (32, 64, 128)
USABLE = 0.7
"""Share of a device's LUTs that a design may plan for: routing needs the rest."""
DIVIDERS = range(1, 64)
SLOWEST_NAMED = 50.0


@dataclass(frozen=True)
class DeviceResources:
    """What the programmable logic holds, in pieces.

    Attributes:
        lut: look-up tables.
        ff: flip-flops.
        carry: carry chains, in cells of the kind `carry_cell`.
        carry_cell: name of that cell, as "CARRY8".
        dsp: multiplier slices.
        dsp_cell: name of that slice, as "DSP48E2".
        bram36: block memories of 36 kbit; two of 18 kbit are one.
        uram: block memories of 288 kbit.
        lut_inputs: of a look-up table.
    """

    lut: int = setting(minimum=1)
    ff: int = setting(minimum=1)
    carry: int = setting(minimum=1)
    carry_cell: str = setting(choices=tuple(CARRY_BITS))
    dsp: int = setting(minimum=0)
    dsp_cell: str = setting(choices=DSP_CELLS)
    bram36: int = setting(minimum=0)
    uram: int = setting(0, minimum=0)
    lut_inputs: int = setting(6, choices=(4, 6))

    @property
    def plannable_lut(self) -> int:
        """LUTs that a design may plan for."""
        return int(USABLE * self.lut)

    @property
    def carry_bits(self) -> int:
        """Bits of a carry cell."""
        return CARRY_BITS[self.carry_cell]

    def counts(self) -> dict[str, int]:
        """The pieces by the names that reports use."""
        counts = {
            "lut": self.lut, "ff": self.ff, "carry": self.carry, "dsp": self.dsp,
            "bram36": self.bram36,
        }  # fmt: skip
        return counts | ({"uram": self.uram} if self.uram else {})


@dataclass(frozen=True)
class Clock:
    """The clock of the logic: the processor's, or an oscillator's and a PLL behind it.

    Attributes:
        reference_mhz: the processor's own reference, or the oscillator, in MHz.
        default_mhz: what a build takes if nothing is asked for, in MHz.
        minimum_mhz: least that a build accepts, in MHz.
        maximum_mhz: most that a build accepts, in MHz.
        pin: the processor block's output, or the oscillator's pin.
        parameter: the processor block's parameter that sets it.
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
    pin: str = setting()
    parameter: str = setting("")
    reset_pin: str = setting("")
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
class Pins:
    """What a board without a processor is reached by: sites of the device, and what they are.

    Attributes:
        standard: electrical standard of all of them, as "LVCMOS33".
        receive: the serial port's line from the host to the device.
        transmit: its line from the device to the host.
        led: a light; empty for none.
        led_active_low: whether a 0 lights it.
    """

    standard: str = setting()
    receive: str = setting()
    transmit: str = setting()
    led: str = setting("")
    led_active_low: bool = setting(False)


@dataclass(frozen=True, kw_only=True)
class Board:
    """What is known of every board.

    Attributes:
        schema: version of this layout.
        name: how users call it; lower case, digits and hyphens.
        title: maker and name, for people.
        family: one of `FAMILIES`.
        part: FPGA part with package, speed and temperature grade.
        resources: what the logic holds.
        clock: the clock of the logic.
        aliases: other names that are understood.
        notes: what a user must know, for people.
    """

    schema: int = setting(choices=(SCHEMA,))
    name: str = setting()
    title: str = setting()
    family: str = setting(choices=FAMILIES)
    part: str = setting()
    resources: DeviceResources = setting()
    clock: Clock = setting()
    aliases: tuple[str, ...] = setting(())
    notes: str = setting("")

    def check(self, where: str) -> None:
        """The rules that concern several fields.

        Args:
            where: file that the board comes from; begins every message.

        Raises:
            OptionError: names the field, the rule and the value.
        """
        _check_text(self.name, r"[a-z0-9]+(-[a-z0-9]+)*", "lower case, digits, hyphens", where,
                    "name")  # fmt: skip
        clock = self.clock
        if not clock.minimum_mhz <= clock.default_mhz <= clock.maximum_mhz:
            raise OptionError(
                f"{where}: clock.default_mhz must be {clock.minimum_mhz:g} to "
                f"{clock.maximum_mhz:g}, not {clock.default_mhz:g}"
            )


@dataclass(frozen=True, kw_only=True)
class ZynqBoard(Board):
    """A board whose device has a processor.

    Attributes:
        board_part: Vivado's name of the board, "vendor:name:part0:version", as it was looked at;
            the newest version that is installed is taken, of any vendor.
        ps: the processing system.
        control: the port for registers.
        memory_ports: the ports to main memory, best first.
    """

    board_part: str = setting()
    ps: Processor = setting()
    control: ControlPort = setting()
    memory_ports: tuple[ProcessorPort, ...] = setting()

    def check(self, where: str) -> None:
        """As `Board.check`; and parts, ports and widths."""
        super().check(where)
        _check_text(self.part, r"xc[A-Za-z0-9-]+", "an AMD part such as xc7z020clg400-1",
                    where, "part")  # fmt: skip
        _check_text(self.board_part, r"[\w.]+:[\w.-]+:[\w.-]+:[\d.]+", "vendor:name:part:version",
                    where, "board_part")  # fmt: skip
        for name in ("parameter", "reset_pin"):
            if not getattr(self.clock, name):
                raise OptionError(f"{where}: clock: {name} is missing")
        self._check_ports(where)

    def _check_ports(self, where: str) -> None:
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


@dataclass(frozen=True, kw_only=True)
class OpenBoard(Board):
    """A board without a processor, whose bitstream open tools make.

    Attributes:
        device: what nextpnr calls the device, such as "85k" or "GW2A-18C".
        package: what nextpnr calls the package; empty where the part says it.
        speed: grade; empty where the part says it.
        pins: what it is reached by.
        loader: a command that loads a bitstream, whose path follows.
    """

    device: str = setting()
    package: str = setting("")
    speed: str = setting("")
    pins: Pins = setting()
    loader: str = setting("")

    def check(self, where: str) -> None:
        """As `Board.check`; and what an ECP5's part does not say to the tools."""
        super().check(where)
        for name in ("package", "speed") if self.family == "ecp5" else ():
            if not getattr(self, name):
                raise OptionError(f"{where}: {name} is missing")


def zynq(board: Board) -> ZynqBoard:
    """A board, where a processor is needed.

    Raises:
        OptionError: it has none.
    """
    if not isinstance(board, ZynqBoard):
        raise OptionError(
            f"board {board.name} must have a processor here ({' or '.join(ZYNQ)}), which "
            f"{board.family} has not; target rtl builds for it"
        )
    return board


def _numbered(ports: tuple[ProcessorPort, ...]) -> list[tuple[str, ProcessorPort]]:
    return [(f"memory_ports[{index}]", port) for index, port in enumerate(ports)]


def _check_text(value: str, pattern: str, rule: str, where: str, name: str) -> None:
    if not re.fullmatch(pattern, value):
        raise OptionError(f"{where}: {name} must be {rule}, not {value!r}")
