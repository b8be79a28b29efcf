"""hls4ml's own tests with "QFX" in place of "Vitis"; those that fail, with `Vitis` too.

    python benchmarks/hls4ml_own_tests.py CHECKOUT [--zoo QONNX_MODEL_ZOO] [--limit 4]

CHECKOUT is a checkout of hls4ml at the installed version (for the QONNX tests with its submodule
`example-models`); it is only read. Tests that use Keras need TensorFlow 2.14 and qkeras: `--python`
names an interpreter that has them, this package and hls4ml. `--limit` takes that many of each test
function's parameters, from the first to the last. What fails with `QFX` runs with `Vitis` too, with
the same random numbers, to tell whose failure it is. A test that takes longer than `--seconds`, or
that ends the process, has failed.
With `--groups` or `--files`, the results of all others stay as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from common import RESULTS, environment, parser, print_table, write_results

STOCK, OURS = "Vitis", "QFX"
BACKENDS = [STOCK, OURS, "Vivado", "VivadoAccelerator", "Quartus", "Catapult", "oneAPI", "Libero"]

FILES: dict[str, tuple[str, ...]] = {
    "QONNX": ("test_qonnx", "test_multiout_onnx"),
    "PyTorch": (
        "test_pytorch_api", "test_batchnorm_pytorch", "test_merge_pytorch",
        "test_upsampling_pytorch", "test_layernorm_pytorch", "test_extensions_pytorch",
        "test_recurrent_pytorch",
    ),
    "batch norm": ("test_batchnorm",),
    "merge": ("test_merge", "test_transpose_concat"),
    "pooling": ("test_pooling", "test_globalpooling"),
    "convolution": (
        "test_conv1d", "test_pointwiseconv", "test_depthconv1d", "test_depthconv2d",
        "test_sepconv1d", "test_sepconv2d", "test_zeropadding", "test_upsampling",
        "test_causalpadding",
    ),
    "activations": ("test_activations", "test_softmax", "test_softsign"),
    "backend": ("test_backend_config", "test_repack_stream", "test_stream_clone"),
}  # fmt: skip
"""Test files of hls4ml by what they are about."""


def copy_of(checkout: Path, folder: Path, backend: str) -> Path:
    """The tests with `backend` in place of `Vitis`; returns their folder."""
    tests = folder / backend / "test" / "pytest"
    shutil.copytree(checkout / "test" / "pytest", tests)
    for path in tests.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f"'{STOCK}'", f"'{backend}'"), encoding="utf-8")
    models = checkout / "example-models"
    if models.is_dir():
        (folder / backend / models.name).symlink_to(models.resolve())
    return tests


def run(
    tests: Path, file: str, backend: str, options: argparse.Namespace, only: list[str] | None
) -> dict[str, Any]:
    """Outcome of each test in one file, or of some, by its name without the backend."""
    notes = tests / f"{file}.jsonl"
    settings = {
        "backend": backend,
        "backends": BACKENDS,
        "limit": options.limit,
        "only": only,
        "seconds": options.seconds,
        "notes": str(notes),
        "zoo": None if options.zoo is None else str(options.zoo.resolve()),
    }
    command = [options.python, "-m", "pytest", "-q", "-p", "hls4ml_own_plugin"]
    command += ["-p", "no:cacheprovider", "-p", "no:randomly", f"{file}.py"]
    variables = {
        **os.environ,
        "QFX_OWN": json.dumps(settings),
        "PYTHONPATH": str(Path(__file__).parent),
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    while True:
        result = subprocess.run(
            command, cwd=tests, env=variables, capture_output=True, text=True, check=False
        )
        outcomes, open_test = read_notes(notes)
        if open_test is None:
            break
        with notes.open("a", encoding="utf-8") as stream:  # the test ended the process
            why = f"the process ends: {last_line(result.stderr)}"
            line = {"test": open_test, "outcome": "crashed", "seconds": 0, "why": why}
            stream.write(json.dumps(line) + "\n")
    if not outcomes and result.returncode not in (0, 5):
        return {file: {"outcome": "not collected", "seconds": 0, "why": missing(result.stdout)}}
    return {name.replace(backend, "*"): line for name, line in outcomes.items()}


def read_notes(notes: Path) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Outcomes by test, and the test that was begun and not ended."""
    outcomes: dict[str, dict[str, Any]] = {}
    begun = None
    lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
    for line in map(json.loads, lines):
        begun = line["test"]
        if "outcome" in line:
            outcomes[line.pop("test")] = line
    return outcomes, None if begun in outcomes else begun


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "no message"


def missing(text: str) -> str:
    """Why pytest could not collect a file."""
    errors = [line for line in text.splitlines() if line.startswith("E  ")]
    return errors[-1][1:].strip() if errors else last_line(text)


def compare(tests: dict[str, Path], file: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each test of a file: what became of it, and with `Vitis` if it failed."""
    ours = run(tests[OURS], file, OURS, options, None)
    failed = [test for test, line in ours.items() if line["outcome"] != "passed"]
    asked = list(ours) if options.both else failed
    stock = run(tests[STOCK], file, STOCK, options, asked) if asked else {}
    rows = []
    for test, line in ours.items():
        row = {"test": test, "seconds": line["seconds"], OURS: line["outcome"]}
        if line["outcome"] != "passed":
            row["why"] = line["why"]
        if test in stock:
            row |= {STOCK: stock[test]["outcome"], f"{STOCK}, s": stock[test]["seconds"]}
            if stock[test]["outcome"] != "passed":
                row[f"{STOCK}, why"] = stock[test]["why"]
        rows.append(row)
    return rows


def summary(group: str, file: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table."""
    failed = [row for row in rows if row[OURS] != "passed"]
    return {
        "about": group,
        "file": file,
        "tests": len(rows),
        "passed": len(rows) - len(failed),
        "failed with both": sum(row.get(STOCK) != "passed" for row in failed),
        "failed with QFX only": sum(row.get(STOCK) == "passed" for row in failed),
    }


def asked_for(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Groups and files to run."""
    files = [(group, file) for group in options.groups for file in FILES[group]]
    return [(group, file) for group, file in files if file in (options.files or [file])]


def earlier(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The last results of the files that are not run now."""
    path = RESULTS / f"{options.name}.json"
    if not path.exists():
        return {"files": [], "tests": []}
    last = json.loads(path.read_text(encoding="utf-8"))
    now = [file for _, file in asked_for(options)]
    files = [row for row in last["files"] if row["file"] not in now]
    names = tuple(row["file"] for row in files)
    return {"files": files, "tests": [row for row in last["tests"] if file_of(row) in names]}


def file_of(row: dict[str, Any]) -> str:
    """The file that a test is in."""
    return row["test"].partition(".py")[0]


def main() -> None:
    """Run all, print the table, write `benchmarks/results/hls4ml_own_tests.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("checkout", type=Path)
    arguments.add_argument("--zoo", type=Path, help="checkout of QONNX_model_zoo, for downloads")
    arguments.add_argument("--python", default=sys.executable)
    arguments.add_argument("--limit", type=int, help="parameters of each test function; all")
    arguments.add_argument("--both", action="store_true", help="all tests with Vitis, too")
    arguments.add_argument("--seconds", type=int, default=300, help="for one test")
    arguments.add_argument("--groups", nargs="+", default=list(FILES), choices=list(FILES))
    every = [file for files in FILES.values() for file in files]
    arguments.add_argument("--files", nargs="+", choices=every, help="of the groups; all")
    arguments.add_argument("--name", default="hls4ml_own_tests", help="of the result")
    options = arguments.parse_args()
    kept = earlier(options)
    table, all_rows = kept["files"], kept["tests"]
    with tempfile.TemporaryDirectory() as temporary:
        tests = {name: copy_of(options.checkout, Path(temporary), name) for name in (STOCK, OURS)}
        for group, file in asked_for(options):
            rows = compare(tests, file, options)
            table.append(summary(group, file, rows) | {"limit": options.limit})
            all_rows += rows
            print(table[-1], flush=True)
            results = {
                "environment": environment(),
                "hls4ml": metadata.version("hls4ml"),
                "files": table,
                "tests": all_rows,
            }
            write_results(options.name, results)
    print_table(table)
    for row in all_rows:
        if row[OURS] != "passed":
            print(f"{row['test']}: {row['why']} ({STOCK}: {row.get(STOCK, 'not run')})")


if __name__ == "__main__":
    main()
