"""What multiplier-free hardware costs: Yosys estimates for UltraScale+, not placed or routed.

    python benchmarks/rtl_cost.py            both tables, into benchmarks/results/rtl_cost.json
    python benchmarks/rtl_cost.py --only lanes
    QFX_DATA=<folder> python benchmarks/rtl_cost.py --only networks --networks "MNIST LeNet"

Table 1, folded units: PE = 4, SIMD = 8 on a 32 x 64 matrix; LUTs and DSP slices a lane (one product
and its addition, control and bias included). "fewer_luts" is the LUT multipliers' count divided by
the unit's. The weight memory is counted apart: bits a weight, block RAMs (halves of 36 Kbit), or,
held in LUTs, one LUT for each bit and 64 words. FINN's MVAU streams its weights from outside. Its
DSP variant is RTL and synthesised here; its LUT variant is C++ for Vitis HLS, for which FINN's own
formula stands ("counted_by").

Table 2, networks: accuracy, and cells, unrolled by the adder-graph compiler and folded to a number
of cycles a sample. Folded are the layers' matrix units; sliding windows, ReLU and casts come on top
and are the same for every datapath. The compiler's own count of LUTs and pipeline registers stands
for an unrolled network unless `--whole` asks for synthesis. Every row is written when it is there;
`--resume` keeps rows and trained networks of earlier runs.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results
from rtl_hardware import KINDS, hardware, row
from rtl_lanes import lane_table
from rtl_networks import NETWORKS, RECIPES, trained

from qfx_plugin.errors import DataError

PARTS = ("lanes", "networks")
KEY = ("network", "recipe", "hardware")


def main() -> None:
    """Make the tables that were asked for."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", choices=PARTS, help="one of the tables")
    arguments.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments.add_argument("--recipes", nargs="+", default=[recipe.name for recipe in RECIPES])
    arguments.add_argument("--hardware", nargs="+", choices=KINDS, default=list(KINDS))
    arguments.add_argument("--epochs", type=int, default=40)
    arguments.add_argument("--whole", action="store_true", help="synthesise unrolled networks too")
    arguments.add_argument("--resume", action="store_true", help="keep what earlier runs left")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    if options.only in (None, "lanes"):
        rows = lane_table(print)
        print_table(rows)
        _store(lambda results: {"lanes": rows})
    if options.only in (None, "networks"):
        rows = [found for name in options.networks for found in _network(name, options)]
        if rows:
            print_table(rows)


def _network(name: str, options: Any) -> Iterator[dict[str, Any]]:
    """The rows of a network; each is stored before the next is begun."""
    for recipe in RECIPES:
        if recipe.name not in options.recipes:
            continue
        try:
            graph, percent = trained(name, recipe, options.epochs, options.resume)
        except DataError as error:
            print(f"{name}: skipped: {error}")
            return
        facts = {"network": name, "recipe": recipe.name, "accuracy": round(percent, 2)}
        makers = hardware(
            graph, recipe.k, NETWORKS[name].cycles, options.whole, options.hardware
        )  # fmt: skip
        for title, maker in makers.items():
            if options.resume and _is_stored((name, recipe.name, title), options.whole):
                continue
            found = facts | row(title, maker())
            print(found, flush=True)
            _store_row(found)
            yield found


def _read() -> dict[str, Any]:
    path = RESULTS / "rtl_cost.json"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return json.loads(text) if text else {}


def _is_stored(key: tuple[str, str, str], whole: bool) -> bool:
    with _locked():
        rows = _read().get("networks", [])
    return any(
        tuple(found[name] for name in KEY) == key
        and not (whole and found["counted_by"] == "alkaid")
        for found in rows
    )


def _store_row(new: dict[str, Any]) -> None:
    """Put a row in its place in the table."""

    def networks(results: dict[str, Any]) -> dict[str, Any]:
        rows = {tuple(row[name] for name in KEY): row for row in results.get("networks", [])}
        rows[tuple(new[name] for name in KEY)] = new
        return {"networks": sorted(rows.values(), key=_place)}

    _store(networks)


def _place(found: dict[str, Any]) -> tuple[int, int, str]:
    recipes = [recipe.name for recipe in RECIPES]
    return (
        list(NETWORKS).index(found["network"]), recipes.index(found["recipe"]), found["hardware"]
    )  # fmt: skip


def _store(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Write the tables that `change` makes of the stored ones; the others stay.

    Two runs at once may do so: neither loses the other's rows.
    """
    with _locked():
        results = _read()
        results |= {"label": "Yosys estimate, not placed or routed"} | change(results)
        results |= environment()
        for package in ("pyosys", "finn-plus", "alkaid"):
            results["versions"][package] = metadata.version(package)
        write_results("rtl_cost", results)


@contextmanager
def _locked() -> Iterator[None]:
    """No other run reads or writes the results meanwhile."""
    with (RESULTS / "rtl_cost.json").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
