"""Verilog names: made from names of a model file, never copied."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 48

_WORDS = """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic
    before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle
    checker class clocking cmos config const constraint context continue cover covergroup
    coverpoint cross deassign default defparam design disable dist do edge else end endcase
    endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface
    endmodule endpackage endprimitive endprogram endproperty endspecify endsequence endtable
    endtask enum event eventually expect export extends extern final first_match for force foreach
    forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins
    illegal_bins implements implies import incdir include initial inout input inside instance int
    integer interconnect interface intersect join join_any join_none large let liblist library
    local localparam logic longint macromodule matches medium modport module nand negedge nettype
    new nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter
    pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real
    realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1
    s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal
    showcancelled signed small soft solve specify specparam static string strong strong0 strong1
    struct super supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout
    time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef
    union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
    wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
KEYWORDS = frozenset(_WORDS.split())
"""Reserved words of IEEE 1800-2017."""


def verilog_name(text: str, taken: Iterable[str] = (), fallback: str = "tensor") -> str:
    """A Verilog identifier that resembles `text`.

    Letters, digits and single underscores of ASCII stay; it starts with a letter, is no reserved
    word, is at most `LONGEST` characters long, and differs from all of `taken`, whatever the case
    (file systems and some tools ignore it).

    >>> verilog_name("conv1/Relu:0"), verilog_name("wire"), verilog_name("8 bits")
    ('conv1_Relu_0', 'wire_', 'tensor_8_bits')
    """
    name = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", text)).strip("_")[:LONGEST].rstrip("_")
    if not name or not name[0].isalpha():
        name = f"{fallback}_{name}".rstrip("_")
    if name.lower() in KEYWORDS:
        name = f"{name}_"
    used = {other.lower() for other in taken}
    unique, number = name, 1
    while unique.lower() in used:
        number += 1
        unique = f"{name}_{number}" if not name.endswith("_") else f"{name}{number}"
    return unique


def printable(text: str) -> str:
    """`text` for a comment of one line: anything but printable ASCII becomes a question mark."""
    return "".join(char if " " <= char <= "~" else "?" for char in text)
