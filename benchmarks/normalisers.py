"""Softmax, norms and what they are made of: how exact they are, and what they cost as Verilog.

    python benchmarks/normalisers.py proof              # a million rows each, an hour on one core
    python benchmarks/normalisers.py cost --resume      # Yosys estimates of the units

*proof* compares the interpreter, torch and onnxruntime with integers written after the definition
(`tests/oracles/normalisers.py`), code by code, and these with float64. *cost* writes each function
between a cast and nothing else as Verilog and counts its cells. Results are stored row by row.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.oracles.normalisers import PROOFS

CHUNK = 16_384


def prove(rows: int, folder: Path, stored: dict[str, Any]) -> None:
    """Every function on so many rows, or all that there are."""
    for name, proof in PROOFS.items():
        if _is_there(stored, "proof", name):
            continue
        found = proof.prove(rows, folder, CHUNK)
        stored["proof"].append({"function": name, "exhaustive": proof.exhaustive} | found)
        write_results("normalisers", stored | environment())


def _is_there(stored: dict[str, Any], kind: str, name: str) -> bool:
    return any(row["function"] == name for row in stored.setdefault(kind, []))


def main() -> None:
    """Measure, print, write `benchmarks/results/normalisers.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("what", choices=("proof",))
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--resume", action="store_true", help="keep the rows that are there")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "normalisers.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not options.resume:
        stored[options.what] = []
    with tempfile.TemporaryDirectory(prefix="qfx-normalisers-") as folder:
        prove(options.rows, Path(folder), stored)
    print_table(stored[options.what])


if __name__ == "__main__":
    main()
