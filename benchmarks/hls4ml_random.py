"""hls4ml's C simulation of random networks against the integer interpreter, code by code.

    python benchmarks/hls4ml_random.py --networks 300 --workers 2

The networks, options and comparison of `tests/hls4ml_backend/random_comparison.py`, whose modes are
more than QONNX can say, by turns as arrays and streams, with strategies latency and resource, and
reuse factors 1 and 4. 300 inputs each. Nothing that was compiled before is used.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common import environment, parser, write_results

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hls4ml_backend.random_comparison import NETWORKS, Comparison, compare


def measured(index: int) -> tuple[Comparison, float]:
    """One network, and the processor time that it took."""
    warnings.simplefilter("ignore")
    before = processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        result = compare(index, Path(folder))
    return result, processor_seconds() - before


def processor_seconds() -> float:
    """Processor time of this process and of the compilers it has started."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def row(result: Comparison, seconds: float) -> dict[str, Any]:
    """A row of the results; a refused or differing network says why."""
    text = {"text": str(result)} if result.different or result.refused else {}
    return {
        "network": result.index,
        **result.options,
        "operations": result.operations,
        "codes": result.codes,
        "different": result.different,
        "CPU s": round(seconds, 2),
        **text,
    }


def main() -> None:
    """Compare all and write `benchmarks/results/hls4ml_random.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--networks", type=int, default=NETWORKS)
    arguments.add_argument("--workers", type=int, default=2)
    options = arguments.parse_args()
    start = time.perf_counter()
    rows, refused = [], 0
    with tempfile.TemporaryDirectory() as cache:
        os.environ["QFX_CACHE"] = cache
        with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
            for result, seconds in pool.map(measured, range(options.networks)):
                rows.append(row(result, seconds))
                refused += bool(result.refused)
                if result.refused or result.different:
                    print(result, flush=True)
                elif result.index % 20 == 19:
                    print(result.index + 1, "networks", flush=True)
    totals = {
        "networks": len(rows) - refused,
        "codes": sum(row["codes"] for row in rows),
        "different": sum(row["different"] for row in rows),
        "refused": refused,
        "seconds": round(time.perf_counter() - start),
        "CPU seconds": round(sum(row["CPU s"] for row in rows)),
    }
    write_results("hls4ml_random", {"environment": environment(), "totals": totals, "rows": rows})
    print(totals)


if __name__ == "__main__":
    main()
