"""MLP, LeNet and ResNet-8 through FINN: codes after every step, unit by unit, and stitched.

    python benchmarks/finn_bits.py [--only resnet8] [--fps 500 5000] [--units]

Networks have random weights and run on random samples: what counts is equality with the integer
interpreter, not accuracy. For each frame rate: does the design fit the Ultra96 v2, and how many
cycles the stitched Verilog takes from frame to frame, against the estimate. `--units` simulates
every unit on its own as well, which takes minutes for a ResNet-8.
"""

from __future__ import annotations

import time
from typing import Any

import common
import finn_networks
import finn_units

from qfx_plugin.finn_plugin import adapter, rtlsim
from qfx_plugin.finn_plugin.fifos import size_fifos
from qfx_plugin.finn_plugin.fit import total
from qfx_plugin.finn_plugin.stitch import assemble
from qfx_plugin.rtl import simulate
from tests.qonnx_models import random_inputs

CLOCK_MHZ = 200.0
SAMPLES = 4
FRAMES = 3


def check(name: str, rates: list[float], units: bool) -> dict[str, Any]:
    """One row: codes that differ at every point, and what each frame rate takes."""
    network = finn_networks.folded(name, rates[0], CLOCK_MHZ)
    dataflow = network.dataflow
    x = random_inputs(network.source, SAMPLES)
    points = {
        "converted": network.dataflow.model,
        "hardware": network.hardware,
        "specialised": network.specialised,
        "folded": network.fit.model,
    }
    differing = {
        point: sum(dataflow.differences(x, model).values()) for point, model in points.items()
    }
    row: dict[str, Any] = {"network": name, "samples": SAMPLES, "differing": differing}
    row["units"] = len(network.fit.model.graph.node)
    if units:
        rtlsim.install(simulate)
        single = rtlsim.prepare(network.fit.model, finn_units.PART, 1000.0 / CLOCK_MHZ)
        differing["Verilator, unit by unit"] = sum(dataflow.differences(x[:1], single).values())
    row["rates"] = [_rate(name, network, rate) for rate in rates]
    return row


def _rate(name: str, network: finn_networks.Network, fps: float) -> dict[str, Any]:
    """The stitched design at one frame rate."""
    if fps != network.fit.wanted_fps:
        network = finn_networks.folded(name, fps, CLOCK_MHZ)
    found = network.fit
    start = time.perf_counter()
    design = assemble(found.model, finn_units.PART, 1000.0 / CLOCK_MHZ)
    inputs = {"x": random_inputs(network.source, FRAMES)}
    sized = size_fifos(design, network.dataflow.graph, network.dataflow.contract, inputs, simulate)
    return {
        "fps": fps,
        "reached_fps": round(found.fps, 1),
        "reasons": list(found.reasons),
        "used_without_fifos": found.used,
        "used": total(sized.model),
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


def main() -> None:
    """Print and save; after every network, so that a run can be stopped."""
    parser = common.parser(__doc__)
    parser.add_argument("--only", default="", help="names that contain this text")
    parser.add_argument("--fps", nargs="+", type=float, default=[500.0, 5000.0])
    parser.add_argument("--units", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in finn_networks.NETWORKS:
        if options.only in name:
            rows.append(check(name, options.fps, options.units))
            print(rows[-1], flush=True)
            facts = {"finn": adapter.version(), "clock_mhz": CLOCK_MHZ, "rows": rows}
            suffix = f"_{options.only.split(',')[0]}" if options.only else ""
            common.write_results(f"finn_bits{suffix}", {**common.environment(), **facts})


if __name__ == "__main__":
    main()
