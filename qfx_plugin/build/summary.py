"""A build folder as a report."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from brevitas_quantizers.fixed_point import FixedPointFormat

from ..errors import DataError, QfxError
from ..files import parse_json
from ..needs import find_need
from ..report.build_model import BuildReport, ResourceUse, StepRow
from ..report.model import ExecutorAgreement, LearnedFormat
from .manifest import NAME, Manifest
from .options import BuildOptions
from .steps import Facts, Step
from .workspace import FIRST_RUN

FIRST_RUN_VERSION = 1
"""Of `first_run.json`."""


def summarize(folder: str | os.PathLike[str]) -> BuildReport:
    """Everything that the steps of a build have found out.

    Raises:
        DataError: the folder is no build folder, or its manifest is damaged.
        OptionError: its options are of another version.
    """
    manifest = Manifest.load(Path(folder))
    options = BuildOptions.parse(manifest.options, f"{folder}: options")
    try:
        return _report(manifest, options, _told(Path(folder)))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder}: the facts of a step in {NAME} are damaged: {error}") from error


def _report(manifest: Manifest, options: BuildOptions, told: Facts) -> BuildReport:
    board, steps = options.load_board(), options.target.steps
    done = [step for step in steps if step.name in manifest.steps]
    facts = [*(manifest.steps[step.name].facts for step in done), told]
    failed = manifest.failed
    return BuildReport(
        model=manifest.name,
        target=options.target.name,
        board=board.name,
        part=board.part,
        clock_mhz=options.clock_mhz,
        capacity=board.resources.counts(),
        steps=tuple(_row(step, manifest) for step in steps),
        agreement=tuple(_agreement(facts)),
        formats=tuple(_formats(facts)),
        resources=tuple(
            ResourceUse(entry["source"], _pieces(entry["used"]))
            for entry in _each(facts, "resources")
        ),
        timing=tuple(
            entry for key in ("work_total", "timing", "power") for entry in _each(facts, key)
        ),
        checks=tuple(line for one in facts for line in one.get("checks", ())),
        missing=tuple(_missing(steps, manifest)),
        failed=f"step {failed['step']}: {failed['message']}" if failed else "",
    )


def _told(folder: Path) -> dict[str, Any]:
    """The facts of `first_run.json`; empty without.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FIRST_RUN
    if not path.is_file():
        return {}
    try:
        table = parse_json(path.read_bytes())
        if table["version"] != FIRST_RUN_VERSION:
            raise DataError(
                f"{path}: version must be {FIRST_RUN_VERSION}, not {table['version']!r}"
            )
        return dict(table["facts"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, QfxError):
            raise
        raise DataError(f"{path}: is damaged: {error}") from error


def _pieces(used: dict[str, float]) -> dict[str, float]:
    """Pieces by our names, also where a tool calls its carry cells CARRY8."""
    return {
        "carry" if name.upper().startswith("CARRY") else name.lower(): count
        for name, count in used.items()
    }


def _row(step: Step, manifest: Manifest) -> StepRow:
    record = manifest.steps.get(step.name)
    if record is None:
        return StepRow(step.name, step.about, done=False)
    return StepRow(step.name, step.about, True, record.seconds, record.versions)


def _each(facts: list[Facts], key: str) -> Iterable[dict[str, Any]]:
    """A fact of every step that has it; one entry or a list of them."""
    for one in facts:
        entry = one.get(key)
        if isinstance(entry, dict):
            yield entry
        else:
            yield from entry or ()


def _agreement(facts: list[Facts]) -> Iterable[ExecutorAgreement]:
    for entry in _each(facts, "agreement"):
        known = {"executor", "samples", "compared", "differing", "note"}
        yield ExecutorAgreement(seconds=0.0, **{k: v for k, v in entry.items() if k in known})


def _formats(facts: list[Facts]) -> Iterable[LearnedFormat]:
    for one in facts:
        largest = one.get("largest", {})
        for tensor, formats in one.get("formats", {}).items():
            parsed = tuple(FixedPointFormat.parse(text) for text in formats)
            yield LearnedFormat(tensor, parsed, largest.get(tensor))


def _missing(steps: tuple[Step, ...], manifest: Manifest) -> Iterable[str]:
    """What steps wait for, and how to go on where a vendor's tools are."""
    found = [
        (step, tool.missing(step.name))
        for step in steps
        if step.name not in manifest.steps
        for tool in map(find_need, step.needs)
        if not tool.available()
    ]
    yield from (line for _, line in found)
    last = [step.name for step in steps if not step.by_vendor][-1]
    if found and last in manifest.steps and all(step.by_vendor for step, _ in found):
        yield f"to go on where that is installed, from this folder: bash {last}/continue.sh"
