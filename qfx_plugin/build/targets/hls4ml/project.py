"""Steps `convert`, `simulate` and `estimate`: the HLS project that hls4ml writes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import fields
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from ....driver import Description
from ....errors import TargetError
from ....hls4ml_backend.options import HlsDesignOptions
from ...compare import Comparison
from ...inputs import count_of, load_inputs, part_of
from ...model_steps import expected_codes
from ...steps import Facts, StepContext
from ...workspace import digests
from .pace import interval

PROJECT = "project"
CHUNK = 64
MULTIPLIER_FREE = ("khot", "da")
_STAMP = re.compile(r"^Stamp: ['\"]?(\w+)['\"]?$", re.MULTILINE)
"""A random number, in quotes if YAML would read it as one."""


def convert(context: StepContext) -> Facts:
    """Write the project, and how its arrays are ordered."""
    model = _convert(context, context.folder / PROJECT)
    plan = model.plan
    layout = {
        "project": model.config["ProjectName"],
        "io_type": model.config["IOType"],
        "input_index": np.asarray(plan.inputs[0].index).reshape(-1).tolist(),
        "output_index": np.asarray(plan.outputs[0].index).reshape(-1).tolist(),
        "output_shape": list(np.asarray(plan.outputs[0].index).shape),
        "input_type": str(plan.inputs[0].layer.precision["result"]),
        "output_type": str(plan.outputs[0].layer.precision["result"]),
    }
    config = _config(context)
    (context.folder / "config.txt").write_text(f"{_table(config)}\n", encoding="utf-8")
    (context.folder / "layout.json").write_text(json.dumps(layout, indent=2) + "\n")
    context.log.info("project %(project)s, %(io_type)s", layout)
    return {
        "project": layout["project"],
        "io_type": layout["io_type"],
        "part": context.board.part,
        "clock_mhz": context.options.clock_mhz,
        "reuse_factors": model.reuse_factors,
        "strategies": _strategies(config),
    }


def simulate(context: StepContext) -> Facts:
    """Compile the project and compare its output with the interpreter's.

    Raises:
        VerificationError: a code differs.
    """
    model = _convert(context, context.scratch / PROJECT)
    _check_same(context)
    context.progress(0, 1, "compiling")
    model.compile()
    source = context.input("import")
    inputs, expected = load_inputs(source), expected_codes(context, source)
    points = {
        output["name"]: np.reshape(output["frac_bits"], (-1, *[1] * (len(output["shape"]) - 1)))
        for output in context.facts("import")["outputs"]
    }
    comparison, samples = Comparison("hls4ml C simulation", context.log), count_of(inputs)
    for start in range(0, samples, CHUNK):
        part = slice(start, start + CHUNK)
        values = model.values(part_of(inputs, part))
        codes = {name: np.ldexp(found, points[name]) for name, found in values.items()}
        comparison.add_codes(codes, {name: codes[part] for name, codes in expected.items()})
        context.progress(min(start + CHUNK, samples), samples, "samples")
    entry = comparison.entry()
    (context.folder / "simulation.json").write_text(json.dumps(entry, indent=2) + "\n")
    return {"agreement": [entry]}


def estimate(context: StepContext) -> Facts:
    """Count multipliers (or constant products) and weight memory; nothing is synthesised here.

    Cycles are the least that reuse factors and streams allow.
    """
    factors = context.facts("convert")["reuse_factors"]
    strategies = context.facts("convert")["strategies"]
    rows: list[dict[str, Any]] = []
    for layer in context.facts("import")["layers"]:
        if "macs" not in layer:
            continue
        name = layer["name"]
        reuse = int(factors.get(name, 1))
        positions = layer["macs"] // layer["weights"]
        bits = layer["weights"] * layer["weight_bits"]
        rows.append(
            {
                "name": name,
                "macs": layer["macs"],
                "nonzero_weights": layer["weights"] - layer["zeros"],
                "reuse_factor": reuse,
                "strategy": strategies.get(name, ""),
                "multipliers": 0
                if strategies.get(name) in MULTIPLIER_FREE
                else ceil((layer["weights"] - layer["zeros"]) / reuse),
                "weight_memory_bits": bits,
                "least_cycles": positions * reuse,
            }
        )
    stream = context.facts("convert")["io_type"] == "io_stream"
    description = Description.load(context.input("shell") / "accelerator.json")
    wires = (description.input_layout, description.output_layout)
    transfers = [wire.values if stream else wire.beats for wire in wires]
    slowest = max(rows, key=lambda row: int(row["least_cycles"]))
    network = int(slowest["least_cycles"])
    least = interval([transfers[0], network, transfers[1]])
    paces = {
        f"layer {slowest['name']}, {network:,} cycles": network,
        f"the input bus, {transfers[0]:,} cycles": transfers[0],
        f"the output bus, {transfers[1]:,} cycles": transfers[1],
    }
    total = {
        "source": "counted, not synthesised; expected, not measured",
        "macs": sum(row["macs"] for row in rows),
        "multipliers": sum(row["multipliers"] for row in rows),
        "weight_memory_bits": sum(row["weight_memory_bits"] for row in rows),
        "least_cycles_per_sample": least,
        "most_samples_per_second": description.clock_mhz * 1e6 / least,
        "limited_by": max(paces, key=lambda name: paces[name]),
    }
    facts = {"work": rows, "work_total": total}
    (context.folder / "estimate.json").write_text(json.dumps(facts, indent=2) + "\n")
    return facts


def _convert(context: StepContext, folder: Path) -> Any:
    """Convert into `folder`; the project then says nothing about where it was made."""
    from ....hls4ml_backend import convert as convert_model

    context.log.info("hls4ml: %s", context.options.settings)
    model = convert_model(context.model, folder, **_hls4ml_options(context))
    _forget_this_run(folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and str(folder).encode() in path.read_bytes():
            raise TargetError(f"hls4ml wrote the absolute path of its folder into {path.name}")
    return model


def _config(context: StepContext) -> dict[str, Any]:
    """hls4ml's configuration, with what was chosen for every layer."""
    from ....hls4ml_backend import config_from_qonnx

    return config_from_qonnx(context.model, **_hls4ml_options(context))


def _table(config: dict[str, Any]) -> str:
    """Types, strategy and reuse factor of every layer, for people."""
    from ....hls4ml_backend import format_config

    return format_config(config)


def _strategies(config: dict[str, Any]) -> dict[str, str]:
    """Strategy of every layer that has one."""
    layers = config.get("LayerName", {})
    return {
        name: str(entry["Strategy"]).lower()
        for name, entry in layers.items()
        if "Strategy" in entry
    }


def _hls4ml_options(context: StepContext) -> dict[str, Any]:
    """The options of `qfx_plugin.hls4ml_backend.convert`."""
    settings = context.options.settings
    return {
        **{field.name: getattr(settings, field.name) for field in fields(HlsDesignOptions)},
        "part": context.board.part,
        "clock_period": 1000.0 / context.options.clock_mhz,
    }


def _forget_this_run(folder: Path) -> None:
    """Take folder and random stamp of this run out of what hls4ml wrote."""
    config, script = folder / "hls4ml_config.yml", folder / "build_lib.sh"
    text = config.read_text().replace(str(folder), ".")
    stamp = _STAMP.search(text)
    config.write_text(_STAMP.sub("Stamp: qfx", text))
    text = script.read_text().replace(str(folder), ".")
    script.write_text(text.replace(stamp[1], "qfx") if stamp else text)


def _check_same(context: StepContext) -> None:
    """What is simulated must be what is handed over."""
    given = digests(context.input("convert") / PROJECT)
    made = digests(context.scratch / PROJECT)
    if given != made:
        names = sorted(name for name, digest in given.items() if made.get(name) != digest)
        raise TargetError(f"hls4ml did not write the same project twice: {', '.join(names[:3])}")


def copy_sources(context: StepContext, folder: Path) -> None:
    """The project's C++ and weights, for hand-over: `folder/firmware`."""
    shutil.copytree(context.input("convert") / PROJECT / "firmware", folder / "firmware")
