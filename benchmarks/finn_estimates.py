"""The estimates of FINN's units: fitted to Yosys on single units, compared with it on networks.

    python benchmarks/finn_estimates.py --fit        # measure the grid, write the weights
    python benchmarks/finn_estimates.py [--networks lenet resnet8] [--fps 500 5000]
    python benchmarks/finn_estimates.py --table      # worst errors of what is measured

A layer is a matrix product with all units since the last one: window, padding, casts, converters,
FIFOs. FIFOs are as deep as `finn_bits.py` sized them, where it has. Yosys counts the Verilog that
was generated and keeps its results by content, so that a run that was stopped goes on where it was;
rows are written as they come.
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

from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin.hardware.fifos import set_depths
from qfx_plugin.finn_plugin.hardware.folding import units
from qfx_plugin.finn_plugin.hardware.stitch import assemble, fifos
from qfx_plugin.finn_plugin.hardware.stock import unit_of
from qfx_plugin.finn_plugin.hardware.synthesis import yosys_counts
from qfx_plugin.finn_plugin.ops.unit import CountedUnit, Estimate
from qfx_plugin.synthesis.estimate import ResourceEstimate
from qfx_plugin.units import terms
from qfx_plugin.units.product import PRODUCT_PARTS

WEIGHTS = Path(terms.__file__).parent / "templates" / "estimates.json"
CLOCK_MHZ = 200.0
LIMIT_S = 900
"""Of Yosys, for one unit."""

_ALIKE = {
    "qfx_add": ("qfx_add", "qfx_add_tree"),
    "qfx_slot_add": ("qfx_slot_add", "qfx_slot_sum", "qfx_shift", "qfx_multiply"),
}

Rows = dict[tuple[str, float], dict[str, Any]]


def fit() -> None:
    """Measure the grid and write the weights that are closest, relative to the counts."""
    rows: dict[str, list[tuple[list[float], ResourceEstimate]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for make in finn_units.units(Path(folder)):
            unit = unit_of(make())
            kind, found = unit.onnx_node.op_type.removesuffix("_rtl"), yosys_counts(unit)
            rows.setdefault(kind, []).append((list(unit.cost().terms), found))
            guess, total = unit.estimate(), found.total
            exact = (guess.dsp, guess.bram18) == (total.dsp, total.bram18)
            print(kind, total.all_luts, "" if exact else f"NOT EQUAL {guess} {total}", flush=True)
    weights = {kind: _weights(kind, samples) for kind, samples in rows.items()}
    # The depthwise unit is made of the same parts as the other one, and has its weights.
    del weights["QFXVVU"]
    about = "LUTs per term of a unit, fitted by benchmarks/finn_estimates.py --fit"
    WEIGHTS.write_text(json.dumps({"about": about, "weights": weights}, indent=1) + "\n")
    for kind, samples in rows.items():
        own = weights["QFXMVU" if kind == "QFXVVU" else kind]
        errors = [np.dot(terms, own) / found.total.all_luts - 1 for terms, found in samples]
        print(kind, " ".join(f"{100 * error:+.0f}%" for error in errors))


def _weights(kind: str, samples: list[tuple[list[float], ResourceEstimate]]) -> list[float]:
    """Of all terms at once, or module by module where the terms are of modules."""
    terms = np.array([row for row, _ in samples])
    if kind != "QFXMVU":
        return _closest(terms, [found.total.all_luts for _, found in samples])
    *parts, rest = PRODUCT_PARTS
    result = np.zeros(terms.shape[1])
    for name in parts:
        counts = [_luts(found, name) for _, found in samples]
        result[PRODUCT_PARTS[name]] = _closest(terms[:, PRODUCT_PARTS[name]], counts)
    others = [
        found.total.all_luts - sum(_luts(found, name) for name in parts) for _, found in samples
    ]
    result[PRODUCT_PARTS[rest]] = _closest(terms[:, PRODUCT_PARTS[rest]], others)
    ratios = terms @ result / np.array([found.total.all_luts for _, found in samples])
    return [round(float(value), 4) for value in result * ratios.sum() / (ratios**2).sum()]


def _luts(found: ResourceEstimate, part: str) -> int:
    """Of a module and of those that are made of it."""
    return sum(
        counts.all_luts
        for name, counts in found.modules.items()
        if name in _ALIKE.get(part, (part,))
    )


def _closest(terms: np.ndarray, counts: list[int]) -> list[float]:
    scale = np.maximum(np.array(counts, dtype=float), 1.0)
    used = np.array(counts) > 0
    found, _ = nnls((terms / scale[:, np.newaxis])[used], np.ones(int(used.sum())))
    return [round(float(value), 4) for value in found]


def compare(name: str, fps: float, rows: Rows) -> None:
    """One network at one frame rate: every layer's estimate and Yosys' counts, into `rows`."""
    network = finn_networks.folded(name, fps, CLOCK_MHZ)
    model = assemble(network.fit.model, finn_units.PART, 1000.0 / CLOCK_MHZ)
    sized = finn_networks.known_depths(name, fps)
    if sized:
        set_depths(model, dict(zip((node.name for node, _ in fifos(model)), sized, strict=True)))
    layers: list[dict[str, Any]] = []
    row = {"network": name, "fps": fps, "fifos_sized": bool(sized), "layers": layers}
    for label, ops in _layers(model):
        guess = sum((op.estimate() for op in ops), Estimate())
        try:
            counts = [yosys_counts(op, timeout_s=LIMIT_S).total for op in ops]
        except TargetError as error:
            print(name, fps, label, error, flush=True)
            row.setdefault("not_measured", []).append(label)
            continue
        found = {
            "lut": sum(total.all_luts for total in counts),
            "dsp": sum(total.dsp for total in counts),
            "bram18": sum(total.bram18 for total in counts),
        }
        error = round(100 * (guess.lut / max(found["lut"], 1) - 1), 1)
        for op, total in zip(ops, counts, strict=True):
            one = op.estimate()
            off = (one.dsp, one.bram18) != (total.dsp, total.bram18)
            if off or abs(one.lut / max(total.all_luts, 1) - 1) > 0.2:
                node, counted = op.onnx_node, isinstance(op, CountedUnit)
                print("  ", node.name, one, total, counted and op.cost(), flush=True)
        layers.append(
            {"layer": label, "estimated": vars(guess), "yosys": found, "lut_error_percent": error}
        )
        print(name, fps, layers[-1], flush=True)
        rows[name, fps] = row
        _save(rows)


def table(rows: Rows) -> None:
    """Worst error of each network, over its layers and over the whole."""
    for (name, fps), row in rows.items():
        layers = row["layers"]
        worst = max(layers, key=lambda layer: abs(layer["lut_error_percent"]))
        sums = [sum(layer[key]["lut"] for layer in layers) for key in ("estimated", "yosys")]
        exact = all(
            layer["estimated"][kind] == layer["yosys"][kind]
            for layer in layers
            for kind in ("dsp", "bram18")
        )
        print(
            f"| {name} | {fps:g} | {len(layers)} | {worst['lut_error_percent']:+.0f} % | "
            f"{sums[1]:,} | {sums[0]:,} ({100 * (sums[0] / sums[1] - 1):+.0f} %) | "
            f"{'equal' if exact else 'differ'} |"
        )


def _load() -> Rows:
    path = common.RESULTS / "finn_estimates.json"
    stored = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return {(row["network"], row["fps"]): row for row in stored}


def _save(rows: Rows) -> None:
    common.write_results(
        "finn_estimates", {**common.environment(), "rows": [rows[key] for key in sorted(rows)]}
    )


def _layers(model: Any) -> Iterator[tuple[str, list[Any]]]:
    """Units grouped by matrix product: what comes before it since the last one, and itself."""
    ops: list[Any] = []
    for op in units(model):
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
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--networks", nargs="+", default=[""], help="names that begin so")
    parser.add_argument("--fps", nargs="+", type=float, default=[500.0, 5000.0])
    options = parser.parse_args()
    if options.fit:
        fit()
        return
    rows = _load()
    if not options.table:
        chosen = [
            name
            for prefix in options.networks
            for name in finn_networks.NETWORKS
            if name.startswith(prefix)
        ]
        for name in chosen:
            for fps in options.fps:
                compare(name, fps, rows)
    table(rows)


if __name__ == "__main__":
    main()
