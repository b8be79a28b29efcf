"""The tables of README.md and docs/ that show figures, from `benchmarks/results/`.

    python benchmarks/tables.py            # print them
    python benchmarks/tables.py --write    # put them between their marks, <!-- table: NAME -->,
    #   and the picture of docs/cost.md beside it
    python benchmarks/tables.py --report digits build/demo/report.json

The last keeps what the tables show of a report of `qfx demo`, as `results/demo_digits.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import EXECUTORS, RESULTS, parser, table, write_results
from cost_picture import picture
from coverage_tables import TABLES as COVERAGE
from pnr_tables import TABLES as PNR
from sequence_tables import TABLES as SEQUENCES
from training_tables import TABLES as TRAINING

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "cost_front.svg"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->\n)", re.DOTALL)
Row = dict[str, Any]


def accuracy() -> Iterator[str]:
    """Networks of the demo: digits as means of seeds, MNIST as one run."""
    columns = {
        "float": "float", "QFX 8-bit": "QFX 8 bit", "QFX 6-bit": "QFX 6 bit",
        "QFX 4-bit": "QFX 4 bit", "QFX 4-bit, frozen points": "4 bit, frozen",
        "QFX 8-bit K=2": "8 bit, K-hot K=2",
    }  # fmt: skip
    digits, mnist = _rows("digits_accuracy"), _demo("mnist")["accuracy"]
    found = {("digits", row["network"].upper(), row["recipe"]): row["mean"] for row in digits}
    found |= {("MNIST", *name.split(", ", 1)): value for name, value in mnist.items()}
    lines = []
    for data, network in dict.fromkeys(key[:2] for key in found):
        values = [found.get((data, network, recipe)) for recipe in columns]
        cells = ("" if value is None else f"{value:.2f}" for value in values)
        lines.append((f"{data} {network}", *cells))
    return table(("network", *columns.values()), lines)


def codes() -> Iterator[str]:
    """What `make demo` compares, one line an executor."""
    lines = [
        (f"{title}, eight networks: {EXECUTORS[executor]}", f"{count:,}", f"{differing:,}")
        for data, title in (("digits", "digits"), ("mnist", "MNIST"))
        for executor, (count, differing) in _demo(data)["codes"].items()
    ]
    cast = "the cast itself against the open `ap_fixed` header, all 35 mode pairs"
    lines.append((cast, f"{_CAST_CASES:,}", "0"))
    return table(("compared with the interpreter, as integer codes", "codes", "different"), lines)


_CAST_CASES = 6_563_312  # printed by `pytest tests/fixed_point/test_oracle.py`


def train_step() -> Iterator[str]:
    """A training step in times of a float one."""
    rows = {row["network"]: row["vs_float"] for row in _rows("train_step")}
    networks = {
        "conv": "convolutions, every weight and activation",
        "resnet 1": "ResNet-20 blocks, one activation quantizer each",
        "resnet 3": "the same with three",
    }
    kinds = ("qfx", "brevitas", "brevitas, collecting")
    head = ("step, processor time in times of float", "QFX", "Brevitas, steady state",
            "Brevitas, first 300 steps")  # fmt: skip
    return table(
        head,
        [(text, *(f"{rows[f'{n}/{kind}']:.2f}" for kind in kinds)) for n, text in networks.items()],
    )


def post_training() -> Iterator[str]:
    """Signal to noise after quantization, by network and rule."""
    rules = ("8 bits everywhere", "default", "fold, 8 bits", "fold", "auto")
    rows = [
        (row["network"], *(f"{row[rule]:.1f}" for rule in rules), f"{folded} of {row['norms']}")
        for row in _rows("post_training")
        for folded in [row["norms"] - row["norms, auto"]]
    ]
    names = ("constants of 8 bits", "default", "folded, bias 8 bits", "folded", '`"auto"`', "folds")
    return table(("network, 8 bits", *names), rows)


def accumulators() -> Iterator[str]:
    """Accuracy on the digits with sums of a guaranteed width."""
    names = {"default": "as wide as they get"}
    names |= {f"accumulator {bits} bits": f"{bits} bits" for bits in (12, 10)}
    rows = {row["variant"]: row for row in _rows("training_options") if row["bits"] == 4}
    lines = [
        (text, f"{rows[n]['mean']:.1f}", f"{rows[n]['worst']:.1f}") for n, text in names.items()
    ]
    return table(("sums", "accuracy, %", "worst seed"), lines)


def detector() -> Iterator[str]:
    """F1 of the detector, for each seed and as means."""
    columns = {
        "float": "float", "longer": "float, as many steps more", "calibrated": "4 bits, calibrated",
        "trained": "4 bits, trained",
    }  # fmt: skip
    rows = _rows("detector")
    lines = [(str(row["seed"]), *(f"{row[key]:.1f}" for key in columns)) for row in rows]
    means = (f"{_mean(rows, key):.1f}" for key in columns)
    return table(("seed", *columns.values()), [*lines, ("mean", *means)])


def detector_codes() -> Iterator[str]:
    """What executors give for the detector, against the interpreter."""
    results = json.loads((RESULTS / "detector.json").read_text(encoding="utf-8"))
    lines = [
        (EXECUTORS[name], str(row["samples"]), f"{row['codes']:,}", f"{row['differing']:,}")
        for name, row in results.get("codes", {}).items()
    ]
    return table(("executor", "scenes", "codes", "different"), lines)


def cifar_elementwise() -> Iterator[str]:
    """ResNet-20, element-wise layers at few bits."""
    rows = _rows("cifar_elementwise")
    rows = sorted(rows, key=lambda row: -row["bits"])
    head = ("element-wise layers", *(f"{row['bits']} bit" for row in rows))
    lines = [("rounded after training", *(f"{row['ptq']:.2f}" for row in rows))]
    return table(head, [*lines, ("QFX", *(f"{row['qfx']:.2f}" for row in rows))])


_SCHEDULES = {"log": "rising", "late": "rising, then held", "const": "constant"}
_PEERS = {"given": "HGQ2", "distilled": "HGQ2 with distillation"}


def cost_front() -> Iterator[str]:
    """Budgets, what the networks trained to them reach, and what HGQ2 needs for as much."""
    results = json.loads((RESULTS / "cost_front.json").read_text(encoding="utf-8"))["points"]
    peers = _peer_fronts()
    head = ("data", "epochs", "budget", "seeds", "test data right", "LUT",
            *(f"{name}, LUT for as much" for name in _PEERS.values()))  # fmt: skip
    lines = []
    for point in results:
        needs = []
        for kind in _PEERS:
            peer = peers.get((point["data"], kind, point["epochs"]), [])
            need = lut_at(peer, point["accuracy"])
            needs.append("" if not need else f"{need[0]}{need[1] / point['alkaid']:.1f} times")
        lines.append(
            (
                point["data"],
                str(point["epochs"]),
                f"{point['budget']:,.0f}",
                str(point["seeds"]),
                f"{point['accuracy']:.1f} %",
                f"{point['alkaid']:,.0f}",
                *needs,
            )
        )
    return table(head, lines)


def cost_peer() -> Iterator[str]:
    """The points of HGQ2, means over seeds."""
    head = ("data", "recipe", "epochs", "schedule", "beta", "seeds", "test data right", "LUT")
    return table(
        head,
        [
            (
                point["data"],
                _PEERS[point["kind"]],
                str(point["epochs"]),
                _SCHEDULES[point["ramp"]] + (", cosine" if point["rate"] == "cosine" else ""),
                f"{point['beta']:.0e}",
                str(point["seeds"]),
                f"{point['accuracy']:.1f} %",
                f"{point['alkaid']:,.0f}",
            )
            for point in _peer_points()
        ],
    )


def cost_yosys() -> Iterator[str]:
    """LUTs after synthesis beside alkaid's count, ours and HGQ2's."""
    head = ("network", "alkaid", "Yosys", "more")
    return table(
        head,
        [
            (f"`{row['network']}`", f"{row['alkaid']:,.0f}", f"{row['yosys']:,}", row["more"])
            for row in _rows("cost_yosys")
        ],
    )


def cost_verify() -> Iterator[str]:
    """Codes compared with the interpreter, and how many of them differ."""
    rows = _rows("cost_verify")
    executors = dict.fromkeys(name for row in rows for name in row["compared"])
    lines = []
    for row in rows:
        cells = [
            f"{row['compared'][name]:,}" if name in row["compared"] else "" for name in executors
        ]
        lines.append((f"`{row['network']}`", *cells, str(sum(row["different"].values()))))
    head = ("network", *(EXECUTORS.get(name, name) for name in executors), "different")
    return table(head, lines)


def cost_picture() -> str:
    """Fronts of all tasks, ours and HGQ2's."""
    results = json.loads((RESULTS / "cost_front.json").read_text(encoding="utf-8"))
    peers, means = _peer_rows(), _peer_points()
    panels = {}
    for task in dict.fromkeys((row["data"], row["epochs"]) for row in results["points"]):

        def of(rows: list[Row], kind: str | None = None, task: Any = task) -> list[Row]:
            own = [row for row in rows if (row["data"], row["epochs"]) == task]
            return [row for row in own if row.get("kind") == kind]

        series = {"QFX": (of(results["rows"]), of(results["points"]))}
        series |= {name: (of(peers, kind), of(means, kind)) for kind, name in _PEERS.items()}
        panels[f"{task[0]}, {task[1]} epochs"] = series
    return picture(panels) + "\n"


def cost_step() -> Iterator[str]:
    """Processor time of a step under a budget."""
    head = ("network", "`QFXDigits`", "with a budget")
    return table(
        head,
        [
            (row["network"], f"{row['digits, times']:.2f}", f"{row['budget, times']:.2f}")
            for row in _rows("cost_step")
        ],
    )


def cost_streaming() -> Iterator[str]:
    """Convolutions with a graph for each layer: budgets beside a uniform word length."""
    points = json.loads((RESULTS / "cost_streaming.json").read_text(encoding="utf-8"))["points"]
    head = ("network", "recipe", "epochs", "seeds", "test data right", "LUT")
    return table(
        head,
        [
            (
                point["network"],
                point["recipe"],
                str(point["epochs"]),
                str(point["seeds"]),
                f"{point['accuracy']:.1f} %",
                f"{point['lut']:,}",
            )
            for point in points
            if not point["validation"]
        ],
    )


def cost_mnist() -> Iterator[str]:
    """MNIST at 28 x 28, whole designs."""
    head = ("network", "test images right", "LUT of the graphs", "LUT, whole design", "cycles",
            "budget", "epochs")  # fmt: skip
    return table(
        head,
        [
            (
                f"{row['network'].upper()} {row['sizes']}",
                f"{row['accuracy']:.1f} %",
                f"{row['alkaid']:,}",
                f"{row['yosys']:,}" if "yosys" in row else "not mapped",
                f"{row['cycles']:,}" if "cycles" in row else "",
                f"{row['budget']:,}",
                str(row["epochs"]),
            )
            for row in _rows("cost_mnist")
            if not row["validation"]
        ],
    )


def cost_ideas() -> Iterator[str]:
    """What was tried beyond the rule: the difference that it makes, means over networks."""
    rows = _rows("cost_ideas")
    own = [row for row in rows if "_own_" in row["network"]]
    lines = []
    for lut in dict.fromkeys(row["network"].split("_")[0] for row in rows):
        points = {
            kind: [row for row in rows if row["network"].startswith(f"{lut}_{kind}_")]
            for kind in ("own", "matched")
        }
        if points["matched"]:
            reached = " to ".join(
                f"{_mean(found, 'accuracy'):.1f} % at {_mean(found, 'alkaid'):,.0f} LUT"
                for found in points.values()
            )
            lines.append((f"curvature of the distilled loss, budget {lut}", reached))
        best = max(points["own"], key=lambda row: row["first half"])["second half"]
        mean = _mean(points["own"], "second half")
        lines.append((f"the best of three seeds, budget {lut}", f"{mean:.1f} % to {best:.1f} %"))
    tried = [row for row in own if "sharing" in row]
    for effort in (0, 1, 3, 4):
        change = _mean(tried, f"effort {effort}") / _mean(tried, "effort 2") - 1
        seconds = _mean(tried, f"effort {effort}, s") / _mean(tried, "effort 2, s")
        text = f"{100 * change:+.1f} % LUT, {seconds:.1f} times the solver's time"
        lines.append((f"solver effort {effort} instead of 2", text))
    names = {
        "removal estimated": "digits taken away after training, by estimated LUT",
        "removal counted": "digits taken away after training, by LUT as alkaid counts them",
        "sharing": "codes of as many digits, where alkaid counts fewer LUTs",
    }
    for key, name in names.items():
        before, after = ([row[key][when] for row in tried] for when in ("before", "after"))
        saved = _mean(after, "lut") / _mean(before, "lut") - 1
        lines.append(
            (
                name,
                f"{100 * saved:+.1f} % LUT, training loss {_mean(before, 'loss'):.4f} to "
                f"{_mean(after, 'loss'):.4f}",
            )
        )
    pairs = sum(row["duplicates"] for row in own)
    lines.append(("neurons with equal or opposite codes", f"{pairs} in {len(own)} networks"))
    return table(("idea", "what it does"), lines)


def _mean(rows: list[Row], key: str) -> float:
    return sum(float(row[key]) for row in rows) / len(rows)


def _peer_rows() -> list[Row]:
    rows = _rows("cost_peer")
    return [row | {"kind": "distilled" if row["alpha"] else "given"} for row in rows]


def _peer_points() -> list[Row]:
    keys = ("data", "kind", "epochs", "ramp", "rate", "beta")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in _peer_rows():
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return [
        dict(zip(keys, key, strict=True))
        | {name: sum(row[name] for row in rows) / len(rows) for name in ("accuracy", "alkaid")}
        | {"seeds": len(rows)}
        for key, rows in sorted(groups.items())
    ]


def _peer_fronts() -> dict[tuple[Any, ...], list[tuple[float, float]]]:
    fronts: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for point in _peer_points():
        pair = (point["accuracy"], point["alkaid"])
        fronts.setdefault((point["data"], point["kind"], point["epochs"]), []).append(pair)
    return fronts


def lut_at(front: list[tuple[float, float]], accuracy: float) -> tuple[str, float] | None:
    """The least LUTs that reach an accuracy, between points of the front by their logarithm.

    With a mark where the front ends: `more than ` where it never gets there.
    """
    best = sorted(p for p in front if not any(q[0] >= p[0] and q[1] < p[1] for q in front))
    if not best:
        return None
    if accuracy > best[-1][0]:
        return "more than ", best[-1][1]
    if accuracy <= best[0][0]:
        return "at most ", best[0][1]
    for (a, low), (b, high) in zip(best, best[1:], strict=False):
        if a <= accuracy <= b:
            return "", low * (high / low) ** ((accuracy - a) / (b - a))
    return None


def costs() -> Iterator[str]:
    """One table a network, one line a recipe; an empty cell was not built or makes no sense."""
    results = json.loads((RESULTS / "rtl_cost.json").read_text(encoding="utf-8"))["networks"]
    for name in dict.fromkeys(row["network"] for row in results):
        yield from _network_costs(name, [row for row in results if row["network"] == name])
        yield ""


def _network_costs(name: str, rows: list[Row]) -> Iterator[str]:
    cycles = max(row["cycles"] for row in rows if row["hardware"].startswith("folded"))
    lanes = next(row["note"] for row in rows if row["hardware"].startswith("folded"))
    lines = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        found = {row["hardware"]: row for row in rows if row["recipe"] == recipe}
        own = found.get("folded, K-hot") or found.get("folded, radix 4")
        lines.append(
            (
                recipe,
                f"{next(iter(found.values()))['accuracy']:.1f} %",
                _cell(found.get("unrolled adder graph"), "lut", "ff"),
                _cell(own, "lut", "ff", "depth"),
                _cell(found.get("folded, LUT multipliers"), "lut", "ff", "depth"),
                _cell(found.get("folded, DSP"), "lut", "ff", "dsp", "depth"),
                _cell(own, "weight_bits"),
            )
        )
    head = (f"{name}: folded, {cycles:,} cycles a sample, {lanes}", "accuracy",
            "unrolled: LUT / FF", "K-hot, or radix 4: LUT / FF / depth",
            "LUT multipliers: LUT / FF / depth", "DSP slices: LUT / FF / DSP / depth",
            "weight memory, bits")  # fmt: skip
    yield from table(head, lines)


def _cell(row: Row | None, *columns: str) -> str:
    if row is None or row["lut"] is None:
        return ""
    return " / ".join(f"{row[column]:,}" for column in columns)


def speed() -> Iterator[str]:
    """What this tree and an earlier commit need, by `speed.py`."""
    found = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))
    lines = [
        (row["what"], row["unit"], f"{row['before']:.3g}", f"{row['after']:.3g}")
        for row in found["rows"]
    ]
    return table(("", "in", f"before ({found['before']})", "now"), lines)


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    make.__name__: make
    for make in (
        accuracy,
        codes,
        speed,
        train_step,
        detector,
        post_training,
        accumulators,
        detector_codes,
        cifar_elementwise,
        cost_front,
        cost_peer,
        cost_yosys,
        cost_verify,
        cost_step,
        cost_streaming,
        cost_mnist,
        cost_ideas,
        costs,
    )
} | (COVERAGE | SEQUENCES | PNR | TRAINING)
"""What fills each mark."""


def filled(page: str) -> str:
    """A page with its tables as the results have them now."""
    return _MARKED.sub(lambda m: m[1] + "\n".join(TABLES[m[2]]()).rstrip() + "\n" + m[3], page)


def keep_report(data: str, path: Path) -> Path:
    """What the tables show of a report of `qfx demo`."""
    report = json.loads(path.read_text(encoding="utf-8"))
    codes: dict[str, list[int]] = {}
    for model in report["models"]:
        for entry in model["agreement"]:
            if entry["compared"]:
                total = codes.setdefault(entry["executor"], [0, 0])
                total[0] += entry["compared"]
                total[1] += entry["differing"]
    kept = {"accuracy": {model["name"]: model["accuracy"] for model in report["models"]}}
    return write_results(
        f"demo_{data}", kept | {"codes": codes, "environment": report["environment"]}
    )


def _rows(name: str) -> list[Row]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]


def _demo(data: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"demo_{data}.json").read_text(encoding="utf-8"))


def main() -> None:
    """Print the tables, write them, or keep a report."""
    arguments = parser(__doc__)
    arguments.add_argument("--write", action="store_true", help="into README.md and docs/")
    arguments.add_argument("--report", nargs=2, metavar=("DATA", "FILE"), help="keep its figures")
    options = arguments.parse_args()
    if options.report:
        print(keep_report(options.report[0], Path(options.report[1])))
    for page in PAGES if options.write else []:
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            page.write_text(filled(text), encoding="utf-8")
            print(page.name)
    if options.write:
        PICTURE.write_text(cost_picture(), encoding="utf-8")
    for make in TABLES.values() if not (options.write or options.report) else []:
        print("\n".join(make()), end="\n\n")


if __name__ == "__main__":
    main()
