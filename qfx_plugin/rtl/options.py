"""What a user decides about a network in Verilog: by `compile_rtl` and a build alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..config import options, setting
from ..errors import OptionError
from .graph.kernel import GraphOptions

Fold = tuple[int | str, ...]
Folds = Mapping[str, Fold]

_WORDS = ("dsp", "block", "lutram")


@options
class RtlDesignOptions:
    """What the hardware of a network is; the same for every door."""

    style: str = setting(
        "auto",
        "How the network is laid out. unrolled: one adder graph, a sample in every cycle. "
        "streaming: layer after layer with AXI-Stream between them, a position in every cycle. "
        "recurrent: one step of a sequence, its state in registers; see states. "
        "auto: unrolled if it is small.",
        choices=("auto", "unrolled", "streaming", "recurrent"),
    )
    adders_per_stage: float = setting(
        GraphOptions.adders_per_stage,
        "Longest chain of additions between two registers of an adder graph.",
        minimum=1,
    )
    effort: int = setting(
        GraphOptions.effort,
        "How many levels of additions a layer may grow in order to save additions; -1 for no "
        "limit, 0 for the shortest chains.",
        minimum=-1,
        maximum=100,
    )
    fold_above: int = setting(
        5000,
        "Streaming: layers with more weights than this share hardware over time in a folded unit, "
        "the smallest that keeps pace with the slowest sliding window and with samples that arrive "
        "in 64 bits a cycle; and smaller ones, if the design would not fit the device.",
        minimum=0,
    )
    fold: str | Mapping[str, Any] = setting(
        "",
        "Layers that share hardware over time, by node name, with outputs x inputs at once: "
        "'fc1=4x8, fc2=2x16', or a table {fc1: [4, 8]}. Behind that may stand dsp, products in DSP "
        "slices, and block or lutram, where weights are kept: 'fc1=4x8 dsp block', or "
        "{fc1: [4, 8, dsp, block]}. The network streams then.",
    )

    states: str | Mapping[str, Any] = setting(
        "",
        "Recurrent: of each part of the state, the input that it is and the output that is its "
        "next value: 'h=h_next, c=c_next', or a table {h: h_next}.",
    )

    def __post_init__(self) -> None:
        if bool(self.loops) != (self.style == "recurrent"):
            raise OptionError(
                "style 'recurrent' and states need each other: states='h=h_next' leads from inputs "
                f"of a step to outputs, not style {self.style!r} with states {self.states!r}"
            )
        if not isinstance(self.fold, str):
            checked = {name: _folding(name, how) for name, how in self.fold.items()}
            object.__setattr__(self, "fold", checked)
        if self.folds and self.style in ("unrolled", "recurrent"):
            raise OptionError(
                f"fold needs style 'streaming': what is {self.style} is one adder graph, which "
                "shares nothing"
            )

    @property
    def folds(self) -> Folds:
        """(pe, simd) by layer, and behind them "dsp", "block" or "lutram" where they are named."""
        return parse_fold(self.fold) if isinstance(self.fold, str) else self.fold

    @property
    def loops(self) -> dict[str, str]:
        """By the input that is a state, the output that is its next value."""
        if not isinstance(self.states, str):
            return {str(name): str(output) for name, output in self.states.items()}
        pairs = [part.split("=") for part in self.states.split(",") if part.strip()]
        found = {pair[0].strip(): pair[-1].strip() for pair in pairs}
        ends = [*found, *found.values()]
        if any(len(pair) != 2 for pair in pairs) or len(found) < len(pairs) or not all(ends):
            raise OptionError(f"states must be INPUT=OUTPUT, INPUT=OUTPUT, not {self.states!r}")
        return found


@options
class RtlOptions(RtlDesignOptions):
    """All that `compile_rtl` takes."""

    name: str | None = setting(
        None, "Name of the top module, made into one of Verilog; by default the network's."
    )
    graph: GraphOptions | None = setting(
        None, "Pipelining of adder graphs, instead of adders_per_stage and effort."
    )

    @property
    def adder_graph(self) -> GraphOptions:
        """How adder graphs are built."""
        own = GraphOptions(adders_per_stage=self.adders_per_stage, effort=self.effort)
        return self.graph or own


def parse_fold(text: str) -> dict[str, Fold]:
    """Foldings by layer, from `fc1=4x8, fc2=2x16 dsp`; a name may hold anything but such an end.

    Raises:
        OptionError: the text has another form, a number is 0, or a name comes twice.
    """
    rest, result = text.strip(), {}
    while rest:
        found = re.match(r"(.+?)=([1-9]\d{0,5})x([1-9]\d{0,5})((?: [a-z]+)*)(?:,\s*|$)", rest)
        if found is None or found[1] in result:
            raise OptionError(f"fold must be NAME=PExSIMD, NAME=PExSIMD, ..., not {text!r}")
        parts = (int(found[2]), int(found[3]), *found[4].split())
        result[found[1]] = _folding(found[1], parts)
        rest = rest[found.end() :]
    return result


def _folding(name: str, how: Any) -> Fold:
    """Checked: two numbers, and words behind them."""
    parts = tuple(how) if isinstance(how, list | tuple) else ()
    numbers, words = parts[:2], parts[2:]
    whole = [isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in numbers]
    if whole != [True, True]:
        raise OptionError(f"fold of {name!r} must be two numbers, outputs and inputs, not {how!r}")
    known = all(word in _WORDS for word in words) and len(set(words)) == len(words)
    if not known or {"block", "lutram"} <= set(words):
        raise OptionError(
            f"fold of {name!r} may have dsp, and one of block and lutram, behind its numbers, not "
            f"{' '.join(map(str, words))!r}"
        )
    return parts
