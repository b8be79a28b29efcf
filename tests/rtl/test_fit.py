"""Networks that are too large: by how much, and a folding that fits."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from qfx_plugin import RtlOptions, compile_rtl
from qfx_plugin.errors import TargetError
from qfx_plugin.ir import Add, Linear, Quantize, Relu
from qfx_plugin.rtl.project import build_network
from qfx_plugin.rtl.stream.fit import check_fit, fit_report
from qfx_plugin.synthesis.estimate import ULTRA96
from tests.ir.graphs import graph, source, weight

HAS = replace(ULTRA96.resources, lut=1200, ff=10, carry=10, dsp=1, bram36=1)
SMALL = replace(ULTRA96, part="a small device", resources=HAS)


def layers(rng: np.random.Generator) -> tuple[object, ...]:
    return (
        *source((24,), 6, 3),
        Linear("fc1", ("q",), "a", weight(rng.integers(-99, 99, (16, 24)), 6, width=8), None),
        Relu("relu", ("a",), "r"),
        Quantize("cast", ("r",), "c", 6, 1, False),
        Linear("fc2", ("c",), "y", weight(rng.integers(-99, 99, (8, 16)), 6, width=8), None),
    )


def test_the_advice_fits(rng):
    network = build_network(graph(*layers(rng)))
    report = fit_report(network, SMALL)
    assert report["fits"] is False
    text = str(report["advice"])
    assert re.match(
        r"about [\d,]+ LUT, \d+\.\d times the 1,200 of a small device: style 'str", text
    )
    found = re.search(r"fold=(\{.*\}) needs about ([\d,]+) LUT in its units, and (\d+) cyc", text)
    fold = json.loads(found[1].replace("'", '"').replace("(", "[").replace(")", "]"))
    options = RtlOptions(style="streaming", fold={name: tuple(two) for name, two in fold.items()})
    folded = build_network(network.graph, options)
    assert folded.interval == int(found[3])
    units = sum(row.get("unit_lut", 0) for row in folded.facts["stages"])
    assert units == int(found[2].replace(",", "")) <= 0.7 * 1200
    assert folded.check(rng.uniform(-4, 4, (20, 24)), idle=0.2, backpressure=0.2) == 160


def test_what_fits_has_no_advice(rng, tmp_path):
    network = compile_rtl(graph(*layers(rng), Add("sum", ("y", "y"), "s")), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["fit"]["fits"] is True
    assert "advice" not in fit_report(network)


def test_weights_that_no_block_memory_holds(rng):
    """By weight memory too: a device with LUTs enough and hardly any block RAM."""
    fold = "fc1=1x1 block, fc2=1x1 block"
    network = build_network(graph(*layers(rng)), RtlOptions(style="streaming", fold=fold))
    report = fit_report(network, replace(SMALL, resources=replace(HAS, lut=100_000, bram36=0)))
    assert report["advice"] == (
        "about 1 block RAMs, more than the 0 of a small device: style 'streaming' with fold="
        "{'fc1': (16, 8), 'fc2': (8, 8)} needs about 9,670 LUT in its units, and 3 cycles per "
        "sample"
    )
    with pytest.raises(
        TargetError, match=r"^network 'hand' does not fit: about 1 block RAMs, more"
    ):
        check_fit(report, network.graph.name)
