"""MLP, LeNet and ResNet-8 through FINN: codes after every step, unit by unit, and stitched.

    python benchmarks/finn_bits.py [--only resnet8] [--fps 500 5000] [--units]
    python benchmarks/finn_bits.py --estimates     # LUTs and block RAMs anew, without simulation

Networks have random weights and run on random samples: what counts is equality with the integer
interpreter, not accuracy. For each frame rate: does the design fit the Ultra96 v2, and how many
cycles the stitched Verilog takes from frame to frame, against the estimate. `--units` simulates
every unit on its own as well, which takes minutes for a ResNet-8. What is stored is not done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import common
import finn_networks
import finn_units

from qfx_plugin.finn_plugin import adapter
from qfx_plugin.finn_plugin.fit import total
from qfx_plugin.finn_plugin.hardware import rtlsim
from qfx_plugin.finn_plugin.hardware.fifos import set_depths, size_fifos
from qfx_plugin.finn_plugin.hardware.stitch import assemble, fifos
from qfx_plugin.ir.inputs import random_inputs
from qfx_plugin.simulation import simulate

CLOCK_MHZ = 200.0
SAMPLES = 4
FRAMES = 3
UNIT_BY_UNIT = "Verilator, unit by unit"


def check(name: str, row: dict[str, Any], options: Any) -> Iterator[None]:
    """Fill one row, a piece at a time: what differs at every point, what each frame rate takes."""
    done = {entry["fps"] for entry in row.get("rates", ()) if "fifo_depths" in entry}
    rates = [rate for rate in options.fps if rate not in done]
    network = finn_networks.folded(name, options.fps[0], CLOCK_MHZ)
    if "differing" not in row:
        row |= {"network": name, "samples": SAMPLES, "units": len(network.fit.model.graph.node)}
        row |= {"differing": _points(network), "rates": []}
        yield
    if options.units and UNIT_BY_UNIT not in row["differing"]:
        row["differing"][UNIT_BY_UNIT] = _unit_by_unit(network)
        yield
    for rate in rates:
        others = [entry for entry in row["rates"] if entry["fps"] != rate]
        row["rates"] = sorted([*others, _rate(name, network, rate)], key=lambda r: r["fps"])
        yield


def _points(network: finn_networks.Network) -> dict[str, int]:
    """Codes that differ in FINN's Python execution after every step."""
    x = random_inputs(network.dataflow.graph, SAMPLES, seed=0)
    points = {
        "converted": network.dataflow.model,
        "hardware": network.hardware,
        "specialised": network.specialised,
        "folded": network.fit.model,
    }
    return {
        point: sum(network.dataflow.differences(x, model).values())
        for point, model in points.items()
    }


def _unit_by_unit(network: finn_networks.Network) -> int:
    """Codes that differ when Verilator runs each unit on its own; equal units compile once."""
    rtlsim.install(simulate)
    x = random_inputs(network.dataflow.graph, 1, seed=0)
    single = rtlsim.prepare(network.fit.model, finn_units.PART, 1000.0 / CLOCK_MHZ)
    return sum(network.dataflow.differences(x, single).values())


def _rate(name: str, network: finn_networks.Network, fps: float) -> dict[str, Any]:
    """The stitched design at one frame rate."""
    if fps != network.fit.wanted_fps:
        network = finn_networks.folded(name, fps, CLOCK_MHZ)
    found = network.fit
    start = time.perf_counter()
    design = assemble(found.model, finn_units.PART, 1000.0 / CLOCK_MHZ)
    inputs = random_inputs(network.dataflow.graph, FRAMES, seed=0)
    sized = size_fifos(design, network.dataflow.graph, network.dataflow.contract, inputs, simulate)
    return {
        "fps": fps,
        "reached_fps": round(found.fps, 1),
        "reasons": list(found.reasons),
        "used_without_fifos": found.used,
        "used": total(sized.model),
        "fifo_depths": " ".join(str(depth) for depth in sized.depths.values()),
        "stitched": {
            "frames": sized.frames,
            "differing": sum(sized.differing.values()),
            "units_and_fifos": len(sized.model.graph.node),
            "interval_cycles": sized.interval,
            "estimated_cycles": sized.estimate,
            "error_percent": round(100 * (sized.interval / sized.estimate - 1), 2),
            "latency_cycles": sized.latency,
            "slowest": sized.slowest,
        },
        "seconds": round(time.perf_counter() - start),
    }


def refresh(name: str, rate: dict[str, Any]) -> None:
    """The estimates of one row anew, with the FIFOs as they were sized."""
    found = finn_networks.folded(name, rate["fps"], CLOCK_MHZ).fit
    rate |= {"used_without_fifos": found.used, "reasons": list(found.reasons)}
    rate.pop("used", None)
    if "fifo_depths" in rate:
        design = assemble(found.model, finn_units.PART, 1000.0 / CLOCK_MHZ)
        depths = [int(depth) for depth in rate["fifo_depths"].split()]
        names = [node.name for node, _ in fifos(design)]
        set_depths(design, dict(zip(names, depths, strict=True)))
        rate["used"] = total(design)


def main() -> None:
    """Print and save; after every piece, so that a run can be stopped and goes on there."""
    parser = common.parser(__doc__)
    parser.add_argument("--only", default="", help="names that begin with this text")
    parser.add_argument("--fps", nargs="+", type=float, default=[500.0, 5000.0])
    parser.add_argument("--units", action="store_true", help="each unit on its own in Verilator")
    parser.add_argument("--estimates", action="store_true", help="only these, of stored rows")
    parser.add_argument("--fresh", action="store_true", help="forget the rows that are stored")
    options = parser.parse_args()
    rows = {} if options.fresh else _load()
    for name in finn_networks.NETWORKS:
        if not name.startswith(options.only):
            continue
        if options.estimates:
            for index, rate in enumerate(rows.get(name, {}).get("rates", ())):
                refresh(name, rate)
                rows = _load()  # another run may have written meanwhile
                rows[name]["rates"][index] = rate
                _save(rows)
                print(name, rate, flush=True)
            continue
        row = rows.setdefault(name, {})
        for _ in check(name, row, options):
            _save(rows)
        print(row, flush=True)


def _load() -> dict[str, dict[str, Any]]:
    path = common.RESULTS / "finn_bits.json"
    stored = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return {row["network"]: row for row in stored}


def _save(rows: dict[str, dict[str, Any]]) -> None:
    ordered = [rows[name] for name in finn_networks.NETWORKS if name in rows]
    facts = {"finn": adapter.version(), "clock_mhz": CLOCK_MHZ, "rows": ordered}
    common.write_results("finn_bits", {**common.environment(), **facts})


if __name__ == "__main__":
    main()
