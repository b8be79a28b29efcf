"""Networks that cost_front.py or cost_mnist.py has kept: every executor, and simulated Verilog.

    python benchmarks/cost_front.py --files build/files
    python benchmarks/cost_verify.py build/files/*.onnx build/mnist/*.onnx

All of the test data runs in PyTorch (the network as `import_qonnx` reads it; the trained one was
compared in cost_front.py), qonnx, onnxruntime and hls4ml, and is compared with the integer
interpreter; `--samples` of it in Verilog, simulated by Verilator, and in FINN. Of 28 x 28 images
twice as many run everywhere. Networks that the results have, of the same bytes, are not run again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from common import RESULTS, environment, parser, print_table, write_results
from cost_data import load_split
from cost_mnist import STYLES, UNFOLDED, two_bits

from brevitas_quantizers import import_qonnx
from qfx_plugin import RtlOptions, compile_rtl, verify_agreement


def main() -> None:
    """Compare, print the table, write `benchmarks/results/cost_verify.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("networks", type=Path, nargs="+")
    arguments.add_argument("--samples", type=int, default=500)
    options = arguments.parse_args()
    path = RESULTS / "cost_verify.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    for network in options.networks:
        digest = hashlib.sha256(network.read_bytes()).hexdigest()[:16]
        if any(row["sha256"] == digest for row in rows):
            continue
        rows = [row for row in rows if row["network"] != network.stem]
        row = {"network": network.stem, "sha256": digest} | compared(network, options.samples)
        rows.append(row)
        print(row, flush=True)
        write_results("cost_verify", {"rows": rows} | environment())
    print_table(rows)


def compared(path: Path, samples: int) -> dict[str, Any]:
    """Codes compared and codes that differ, by executor."""
    name, options = path.stem.split("_")[0], RtlOptions(style="unrolled")
    if name in STYLES:
        x = two_bits(load_split("mnist"), name).x_test[: 2 * samples].numpy()
        options = RtlOptions(style=STYLES[name], fold_above=UNFOLDED)
    else:
        x = load_split(name).x_test.numpy()
    with tempfile.TemporaryDirectory() as folder:
        network = compile_rtl(path, Path(folder) / "rtl", options=options)
        verilog = network.check(x[:samples])
    model = import_qonnx(path).eval()
    agreement = verify_agreement(path, x, torch_model=model, limits={"finn": samples})
    ran = [executor for executor in agreement.executors if executor.ran]
    return {
        "compared": {executor.name: executor.codes for executor in ran} | {"rtl": verilog},
        "different": {executor.name: executor.differing for executor in ran} | {"rtl": 0},
        "not run": {e.name: e.why for e in agreement.executors if not e.ran},
    }


if __name__ == "__main__":
    main()
