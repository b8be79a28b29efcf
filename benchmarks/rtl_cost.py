"""What multiplier-free hardware costs: Yosys estimates for UltraScale+, not placed or routed.

    python benchmarks/rtl_cost.py            both tables, into benchmarks/results/rtl_cost.json
    python benchmarks/rtl_cost.py --only lanes

Table 1, folded units: PE = 4, SIMD = 8 on a 32 x 64 matrix; LUTs and DSP slices a lane (one product
and its addition, control and bias included). "fewer_luts" is the LUT multipliers' count divided by
the unit's. The weight memory is counted apart: bits a weight, block RAMs (halves of 36 Kbit), or,
held in LUTs, one LUT for each bit and 64 words. FINN's MVAU streams its weights from outside; its
LUT variant exists as HLS only, so its DSP variant stands here.

Table 2, networks: accuracy on scikit-learn's digits, and cells, unrolled by the adder-graph
compiler and folded to at most 64 cycles a sample. Unrolled LUTs are the compiler's own count unless
`--whole` asks for synthesis. Results are kept: a second run takes seconds.
"""

from __future__ import annotations

import json
from importlib import metadata

from common import RESULTS, environment, parser, print_table, write_results
from rtl_lanes import lane_table

PARTS = ("lanes", "networks")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--only", choices=PARTS, help="one of the tables")
    arguments.add_argument("--epochs", type=int, default=40)
    arguments.add_argument("--whole", action="store_true", help="synthesise unrolled networks too")
    options = arguments.parse_args()
    tables = {}
    if options.only in (None, "lanes"):
        tables["lanes"] = lane_table(print)
    if options.only in (None, "networks"):
        from rtl_networks import network_table

        tables["networks"] = network_table(options.epochs, options.whole, print)
    for table in tables.values():
        print_table(table)
    path = RESULTS / "rtl_cost.json"  # a table that was not asked for stays
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results |= {"label": "Yosys estimate, not placed or routed"} | tables
    results |= environment()
    for package in ("pyosys", "finn-plus", "alkaid"):
        results["versions"][package] = metadata.version(package)
    write_results("rtl_cost", results)


if __name__ == "__main__":
    main()
