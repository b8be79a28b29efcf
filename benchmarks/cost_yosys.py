"""LUTs by Yosys beside alkaid's count: networks that cost_front.py and cost_peer.py have kept.

    python benchmarks/cost_front.py --files build/files
    build/hgq2/bin/python benchmarks/cost_peer.py build/digits.npz --name digits \
        --programs build/programs
    python benchmarks/cost_yosys.py build/files/digits_2300_300_0.onnx build/programs/...json

All are mapped whole to UltraScale+ (`xcup`), with a register behind every four additions.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from common import RESULTS, environment, parser, print_table, write_results

from qfx_plugin import RtlOptions, compile_rtl
from qfx_plugin.synthesis.estimate import estimate

ADDERS_PER_STAGE = 4


def main() -> None:
    """Map, print the table, write `benchmarks/results/cost_yosys.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("networks", type=Path, nargs="+", help=".onnx of ours, .json of HGQ2")
    options = arguments.parse_args()
    path = RESULTS / "cost_yosys.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    done = {row["network"] for row in rows}
    for network in options.networks:
        if network.stem in done:
            continue
        with tempfile.TemporaryDirectory() as folder:
            make = own if network.suffix == ".onnx" else peer
            rows.append({"network": network.stem} | make(network, Path(folder)))
        row = rows[-1]
        row["more"] = f"{100 * (row['yosys'] / row['alkaid'] - 1):+.1f} %"
        print(row, flush=True)
        write_results("cost_yosys", {"rows": rows} | environment())
    print_table(rows)


def own(path: Path, folder: Path) -> dict[str, Any]:
    """A network of ours."""
    network = compile_rtl(path, folder / "rtl", options=RtlOptions(style="unrolled"))
    total = estimate(network.write(folder / "sources"), network.name).total
    return {"alkaid": round(float(network.facts["cost_lut"]), 1), "yosys": total.lut}


def peer(path: Path, folder: Path) -> dict[str, Any]:
    """An adder graph of HGQ2, written as our own are."""
    from alkaid.codegen.rtl.verilog.fsm import fsm_logic_gen
    from alkaid.trace.pipeline import to_pipeline
    from alkaid.types import CombLogic

    from qfx_plugin.rtl.graph.alkaid_adapter import SHARED, _own_names, _shared

    program = CombLogic.load(path)
    stages = max(1, -(-int(program.latency[1]) // ADDERS_PER_STAGE))
    machine = to_pipeline(program, n_stages=stages, verbose=False, reg_inp=False, reg_out=True)
    written = fsm_logic_gen(machine, "peer", timescale=None)
    files = {_own_names(f"{part}.v", "peer"): _own_names(t, "peer") for part, t in written.items()}
    whole = "".join(files.values())
    files |= {f"alkaid_{part}.v": _shared(part) for part in SHARED if f"alkaid_{part} #" in whole}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    total = estimate(sorted(folder.glob("*.v")), "peer").total
    return {"alkaid": round(float(program.cost), 1), "yosys": total.lut}


if __name__ == "__main__":
    main()
