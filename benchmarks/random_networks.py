"""Random networks in PyTorch and as files: how many codes were compared, how many differ.

    python benchmarks/random_networks.py --models 2000 --files 2000

A model's seed is the CRC-32 of "random model N"; a file follows from its number. What differs is
printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from zlib import crc32

sys.path.insert(0, str(Path(__file__).parents[1]))

from qfx_plugin.verify import Agreement, verify
from tests.qonnx_import.random_models import random_model
from tests.qonnx_import.random_networks import random_file


def main() -> int:
    """Run both kinds and print the sums; status 1 if a code differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so many")
    options = parser.parse_args()
    start, wrong = time.perf_counter(), 0
    for kind, count in (("model", options.models), ("network", options.files)):
        sums: Counter[str] = Counter()
        for index in range(count):
            if time.perf_counter() - start > options.seconds:
                break
            wrong += add(sums, run(kind, index), kind, index)
        print(kind, dict(sums), f"{time.perf_counter() - start:.0f} s", flush=True)
    return int(wrong > 0)


def run(kind: str, index: int) -> Agreement:
    """One network everywhere."""
    if kind == "model":
        model, x = random_model(crc32(f"random model {index}".encode()))
        return verify(model, x, executors=["torch", "qonnx", "onnxruntime"])
    return verify(*random_file(index), executors=["qonnx"])


def add(sums: Counter[str], result: Agreement, kind: str, index: int) -> int:
    """Count; print a network that differs."""
    sums["networks"] += 1
    for executor in result.executors:
        sums[f"{executor.name} ran"] += executor.ran
        sums[f"{executor.name} codes"] += executor.codes
        sums[f"{executor.name} differing"] += executor.differing
    if not result.agrees:
        print(f"{kind} {index}:\n{result}", flush=True)
    return int(not result.agrees)


if __name__ == "__main__":
    sys.exit(main())
