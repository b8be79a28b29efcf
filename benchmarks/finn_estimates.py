"""The estimates of FINN's units: fitted to Yosys on single units, compared with it on networks.

    python benchmarks/finn_estimates.py --fit        # measure the grid, write the weights
    python benchmarks/finn_estimates.py [--networks cnn lenet] [--fps 500 5000]

A layer is a matrix product with all units up to the next one: window, padding, casts, converters,
FIFOs. Yosys counts the Verilog that was generated; results are kept by content.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
import finn_networks
import finn_units
import numpy as np
from scipy.optimize import nnls

from qfx_plugin.finn_plugin import estimate as estimates
from qfx_plugin.finn_plugin.features import FEATURES
from qfx_plugin.finn_plugin.folding import operations
from qfx_plugin.finn_plugin.measure import measure
from qfx_plugin.finn_plugin.stitch import assemble

WEIGHTS = Path(estimates.__file__).parent / "templates" / "estimates.json"
CLOCK_MHZ = 200.0


def fit() -> None:
    """Measure the grid and write the weights that are closest, relative to the counts."""
    rows: dict[str, list[tuple[list[float], int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for make in finn_units.units(Path(folder)):
            op = make()
            kind, total = op.onnx_node.op_type, measure(op).total
            rows.setdefault(kind, []).append((FEATURES[kind](op), total.all_luts))
            brams = estimates.brams(op), total.bram18
            dsps = estimates.dsps(op), total.dsp
            print(kind, total.all_luts, "BRAM", *brams, "DSP", *dsps, flush=True)
    # The depthwise unit is made of the same parts as the other one.
    shared = rows["QFXMVU_rtl"] + rows.get("QFXVVU_rtl", [])
    rows["QFXMVU_rtl"] = rows["QFXVVU_rtl"] = shared
    weights = {kind: _weights(samples) for kind, samples in rows.items()}
    about = "LUTs per term of features.py, fitted by benchmarks/finn_estimates.py --fit"
    WEIGHTS.write_text(json.dumps({"about": about, "weights": weights}, indent=1) + "\n")
    for kind, samples in rows.items():
        errors = [np.dot(terms, weights[kind]) / count - 1 for terms, count in samples]
        print(kind, " ".join(f"{100 * error:+.0f}%" for error in errors))


def _weights(samples: list[tuple[list[float], int]]) -> list[float]:
    terms = np.array([row for row, _ in samples])
    counts = np.array([max(count, 1) for _, count in samples], dtype=float)
    found, _ = nnls(terms / counts[:, np.newaxis], np.ones(len(counts)))
    return [round(float(value), 4) for value in found]


def compare(name: str, fps: float) -> dict[str, Any]:
    """One network at one frame rate: every layer's estimate and Yosys' counts."""
    network = finn_networks.folded(name, fps, CLOCK_MHZ)
    model = assemble(network.fit.model, finn_units.PART, 1000.0 / CLOCK_MHZ)
    layers = []
    for label, ops in _layers(model):
        guess = sum((estimates.estimate(op) for op in ops), estimates.Estimate())
        counts = [measure(op).total for op in ops]
        found = {
            "lut": sum(total.all_luts for total in counts),
            "dsp": sum(total.dsp for total in counts),
            "bram18": sum(total.bram18 for total in counts),
        }
        layers.append(
            {
                "layer": label,
                "estimated": vars(guess),
                "yosys": found,
                "lut_error_percent": round(100 * (guess.lut / max(found["lut"], 1) - 1), 1),
            }
        )
        print(name, fps, layers[-1], flush=True)
    return {"network": name, "fps": fps, "layers": layers}


def _layers(model: Any) -> Iterator[tuple[str, list[Any]]]:
    """Units grouped by matrix product: what comes before it since the last one, and itself."""
    ops: list[Any] = []
    for op in operations(model):
        ops.append(op)
        if op.onnx_node.op_type in ("QFXMVU_rtl", "QFXVVU_rtl"):
            yield op.onnx_node.name, ops
            ops = []
    if ops:
        yield "output", ops


def main() -> None:
    """Fit, or compare and save."""
    parser = common.parser(__doc__)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--networks", nargs="+", default=["mlp, 8 bits, K=2", "lenet, 4 bits"])
    parser.add_argument("--fps", nargs="+", type=float, default=[500.0])
    options = parser.parse_args()
    if options.fit:
        fit()
        return
    rows = [compare(name, fps) for name in options.networks for fps in options.fps]
    common.write_results("finn_estimates", {**common.environment(), "rows": rows})


if __name__ == "__main__":
    main()
