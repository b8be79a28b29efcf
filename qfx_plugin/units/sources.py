"""The SystemVerilog of the units: which files a module needs, constants, a wrapper around a module.

`sv/` has a module or package a file, called alike: `product/` is the folded matrix-vector unit,
`cast/` what scales and casts, `stream/` what handles whole beats, `arithmetic/` what they share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from ..errors import TargetError
from .names import printable

SV = Path(__file__).parent / "sv"
_COMMENT = re.compile(r"//.*")
_NAME = re.compile(r"\bqfx_\w+")


@cache
def unit_files() -> Mapping[str, Path]:
    """Every file by the name of its module or package."""
    return {path.stem: path for path in sorted(SV.rglob("*.sv"))}


def sources_of(*modules: str) -> list[Path]:
    """The files of modules and of all that they use: each behind those that it uses.

    Args:
        modules: names of modules of ours.
    """
    found: dict[str, None] = {}
    for module in modules:
        _add(module, found)
    return [unit_files()[name] for name in found]


@cache
def _used(module: str) -> tuple[str, ...]:
    """Modules and packages that a file names."""
    text = _COMMENT.sub("", unit_files()[module].read_text(encoding="utf-8"))
    return tuple(name for name in dict.fromkeys(used_in(text)) if name != module)


def used_in(text: str) -> Iterator[str]:
    """Modules and packages of ours that a text names."""
    return (name for name in _NAME.findall(text) if name in unit_files())


def _add(module: str, found: dict[str, None]) -> None:
    if module not in found:
        for name in _used(module):
            _add(name, found)
        found[module] = None


def stream_wrapper(
    module: str,
    parameters: Mapping[str, int | str],
    *,
    name: str,
    about: str,
    input_bits: int,
    output_bits: int,
) -> str:
    """A module of one stream in and one out, that holds a module of ours with its parameters.

    Args:
        module: name of the module inside.
        parameters: its parameters; text is Verilog source.
        name: of the module outside.
        about: for the comment; anything but printable ASCII is replaced.
        input_bits: bits of `s_axis_tdata`.
        output_bits: bits of `m_axis_tdata`.
    """
    return _WRAPPER.format(
        about=printable(about),
        name=name,
        in_top=input_bits - 1,
        out_top=output_bits - 1,
        module=module,
        values=",\n".join(f"      .{key}({value})" for key, value in parameters.items()),
    )


def packed(values: Iterable[int], bits: int, *, signed: bool = False) -> str:
    """A Verilog constant of all `values` side by side, the first one lowest.

    Args:
        values: integers.
        bits: of each.
        signed: in two's complement.

    Raises:
        TargetError: a value does not fit.
    """
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    word = size = 0
    for value in map(int, values):
        if not low <= value < high:
            raise TargetError(f"constant {value} needs more than {bits} bits")
        word |= (value & ((1 << bits) - 1)) << size
        size += bits
    return f"{size}'h{word:x}"


_WRAPPER = """\
// {about}. Written by QFX.
module {name} (
    input  logic        clk,
    input  logic        rst,
    input  logic [{in_top}:0] s_axis_tdata,
    input  logic        s_axis_tvalid,
    output logic        s_axis_tready,
    output logic [{out_top}:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready
);
  {module} #(
{values}
  ) unit (
      .clk, .rst, .s_axis_tdata, .s_axis_tvalid, .s_axis_tready,
      .m_axis_tdata, .m_axis_tvalid, .m_axis_tready
  );
endmodule
"""
