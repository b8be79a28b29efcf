"""A clock from a board's oscillator: the PLLs of ECP5 and Gowin devices, as Verilog.

Both make `oscillator x multiply / divide`, from an oscillator within the PLL that runs `post` times
as fast and has a range of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..boards import OpenBoard
from ..errors import OptionError

EXACT = 1e-9
"""Relative difference up to which two frequencies are one."""


@dataclass(frozen=True)
class PllKind:
    """What a family's PLL can do.

    Attributes:
        cell: its name.
        compare_mhz: range of the frequency that is compared, oscillator / divide.
        inner_mhz: range of the oscillator within.
        most: of `divide` and of `multiply`.
        posts: what `post` may be.
    """

    cell: str
    compare_mhz: tuple[float, float]
    inner_mhz: tuple[float, float]
    most: int
    posts: Sequence[int]


KINDS = {
    "ecp5": PllKind("EHXPLLL", (10.0, 400.0), (400.0, 800.0), 80, range(1, 129)),
    "gowin": PllKind(
        "rPLL", (3.0, 500.0), (500.0, 1250.0), 64, (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)
    ),
}
"""By family: Lattice FPGA-TN-02200 with nextpnr's bounds, Gowin UG286 and DS226 (C8/I7)."""


@dataclass(frozen=True)
class Pll:
    """Settings.

    Attributes:
        kind: of PLL.
        divide: of the oscillator.
        multiply: of the frequency compared.
        post: the oscillator within runs so many times as fast as the clock.
        oscillator_mhz: what goes in.
    """

    kind: PllKind
    divide: int
    multiply: int
    post: int
    oscillator_mhz: float

    @property
    def mhz(self) -> float:
        """What comes out."""
        return self.oscillator_mhz * self.multiply / self.divide


def nearest(board: OpenBoard, mhz: float) -> Pll | None:
    """The settings nearest to a frequency; None where the oscillator itself is.

    Raises:
        OptionError: the PLL has no setting near.
    """
    if abs(mhz - board.clock.reference_mhz) <= EXACT * mhz:
        return None
    kind = KINDS[board.family]
    best = min(_settings(kind, board.clock.reference_mhz), key=lambda one: (
        round(abs(one.mhz - mhz), 9), one.divide, one.post), default=None)  # fmt: skip
    if best is None:
        raise OptionError(
            f"clock_mhz of board {board.name}: its oscillator of {board.clock.reference_mhz:g} MHz "
            f"does not drive a {kind.cell}; ask for {board.clock.reference_mhz:g}"
        )
    return best


def _settings(kind: PllKind, oscillator: float) -> Iterator[Pll]:
    for divide in range(1, kind.most + 1):
        if not kind.compare_mhz[0] <= oscillator / divide <= kind.compare_mhz[1]:
            continue
        for multiply in range(1, kind.most + 1):
            clock = oscillator * multiply / divide
            posts = [p for p in kind.posts if kind.inner_mhz[0] <= clock * p <= kind.inner_mhz[1]]
            yield from (Pll(kind, divide, multiply, post, oscillator) for post in posts[:1])


def pll_text(pll: Pll, device: str) -> str:
    """Lines within a module: from `clk` to `net_clk` and `locked`."""
    parameters, ports = (_ehxplll if pll.kind.cell == "EHXPLLL" else _rpll)(pll, device)
    return (
        f"  {pll.kind.cell} #({_named(parameters)}) pll (\n"
        f"    .CLKI{'' if pll.kind.cell == 'EHXPLLL' else 'N'}(clk), {_named(ports)}\n  );\n"
    )


def black_box(pll: Pll, device: str) -> str:
    """The cell's module without contents, for tools that must know its ports."""
    parameters, ports = (_ehxplll if pll.kind.cell == "EHXPLLL" else _rpll)(pll, device)
    clock = "CLKI" if pll.kind.cell == "EHXPLLL" else "CLKIN"
    sizes = {"FBDSEL": 6, "IDSEL": 6, "ODSEL": 6, "PSDA": 4, "DUTYDA": 4, "FDLY": 4}
    lines = [f"input {clock}"]
    for name in ports:
        side = "output" if name in ("CLKOP", "CLKOUT", "LOCK") else "input"
        size = f" [{sizes[name] - 1}:0]" if name in sizes else ""
        lines.append(f"{side}{size} {name}")
    given = ", ".join(f"parameter {name} = {value}" for name, value in parameters.items())
    return (
        f"(* blackbox *)\nmodule {pll.kind.cell} #({given}) (\n  " + ",\n  ".join(lines)
        + "\n);\nendmodule\n"
    )  # fmt: skip


def _ehxplll(pll: Pll, device: str) -> tuple[dict[str, object], dict[str, str]]:
    parameters = {
        "PLLRST_ENA": '"DISABLED"', "INTFB_WAKE": '"DISABLED"', "STDBY_ENABLE": '"DISABLED"',
        "DPHASE_SOURCE": '"DISABLED"', "OUTDIVIDER_MUXA": '"DIVA"', "CLKI_DIV": pll.divide,
        "CLKOP_ENABLE": '"ENABLED"', "CLKOP_DIV": pll.post, "CLKOP_CPHASE": pll.post // 2 - 1
        if pll.post > 1 else 0, "CLKOP_FPHASE": 0, "FEEDBK_PATH": '"CLKOP"',
        "CLKFB_DIV": pll.multiply,
    }  # fmt: skip
    zero = dict.fromkeys(
        ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP", "PHASELOADREG",
         "PLLWAKESYNC", "ENCLKOP"), "1'b0",
    )  # fmt: skip
    return parameters, {"CLKOP": "net_clk", "CLKFB": "net_clk", "LOCK": "locked", **zero}


def _rpll(pll: Pll, device: str) -> tuple[dict[str, object], dict[str, str]]:
    parameters = {
        "FCLKIN": f'"{pll.oscillator_mhz:g}"', "DEVICE": f'"{device}"',
        "IDIV_SEL": pll.divide - 1, "FBDIV_SEL": pll.multiply - 1, "ODIV_SEL": pll.post,
        "DYN_SDIV_SEL": 2,
    }  # fmt: skip
    zero = {"CLKFB": "1'b0", "RESET": "1'b0", "RESET_P": "1'b0"}
    zero |= dict.fromkeys(("FBDSEL", "IDSEL", "ODSEL"), "6'b0")
    zero |= dict.fromkeys(("PSDA", "DUTYDA", "FDLY"), "4'b0")
    return parameters, {"CLKOUT": "net_clk", "LOCK": "locked", **zero}


def _named(values: dict[str, object] | dict[str, str]) -> str:
    return ", ".join(f".{name}({value})" for name, value in values.items())
