"""What a build consists of: steps, and what a step is given.

A target is one module, `build/targets/<name>/target.py` or another distribution's, that defines

    ABOUT = "one line for people"
    OPTIONS = MyOptions     # frozen dataclass, each field a `config.setting` with a default
    STEPS = (Step(...), ...)  # in order: the table of contents of the target
    TAKES = {"my target": plan}  # optional: see `flow.Target`
    FAMILIES = FAMILIES     # optional: of boards; without, those with a processor

and has a name: in `flow`, or as an entry point of the group `qfx.targets`. Importing it must be
quick: heavy packages are imported inside the functions that use them. The contract of a step's
`run(context)`:

- It writes files into `context.folder` only: an empty folder that becomes `<out>/<step>/` in one
  rename when `run` has returned. An exception or a kill leaves nothing behind.
- It reads the model from `context.model`, and what earlier steps wrote from
  `context.input("<step>")`, never changing either. `context.facts("<step>")` is what they returned.
- What it writes depends on nothing but the model, the options it names in `options`, the board, the
  versions of its tools in `needs`, and earlier outputs: no times, no absolute paths, no process
  numbers. So a resumed build gives the same bytes.
- It returns facts: a dictionary of plain JSON values, also without times. Keys that reports know
  (`summary.py`): `agreement`: list of {executor, samples, compared, differing}; `resources`:
  {source, used: {lut, ff, carry, dsp, bram36, uram}}; `timing`: {source, and names of
  `report.build_text.TIMING`}; `formats`: {tensor: [ap_fixed types]}; `checks`: list of sentences.
- Throw-away files (compilations) go into `context.scratch`, which is deleted.
- It logs with `context.log.info(...)` into `<out>/logs/<step>.log`, and shows how far it is with
  `context.progress(done, total, note)`.
- Errors of the user are `QfxError`s, in one line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..errors import OptionError

if TYPE_CHECKING:
    from ..boards import Board
    from .options import BuildOptions

T = TypeVar("T")
Facts: TypeAlias = dict[str, Any]
Progress: TypeAlias = Callable[[int, int, str], None]


def no_progress(done: int, total: int, note: str = "") -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class StepContext:
    """What a step is given.

    Attributes:
        model: the QONNX file of this build.
        board: the board built for.
        options: all options; the target's own are `options.settings`.
        folder: where the step writes; empty at the start.
        scratch: a folder for files that nobody needs later; deleted after the step.
        inputs: folders of the steps before, by name.
        known: facts of the steps before, by step.
        log: goes to the step's log file.
        progress: shows (done, total, note) to people.
    """

    model: Path
    board: Board
    options: BuildOptions
    folder: Path
    scratch: Path
    inputs: Mapping[str, Path]
    known: Mapping[str, Facts]
    log: logging.Logger
    progress: Progress = no_progress

    def input(self, step: str) -> Path:
        """Folder of an earlier step; read only."""
        return self._earlier(self.inputs, step)

    def facts(self, step: str) -> Facts:
        """What an earlier step returned."""
        return self._earlier(self.known, step)

    def _earlier(self, table: Mapping[str, T], step: str) -> T:
        if step not in table:
            given = ", ".join(table) or "none"
            raise OptionError(
                f"step must be one that this step comes after ({given}), not {step!r}"
            )
        return table[step]


@dataclass(frozen=True)
class Step:
    """One step of a build.

    Attributes:
        name: lower case, unique for each family of the target; also the name of its folder.
        about: one line for `qfx build --list`.
        run: does it; see the contract at the top of this file.
        needs: tools and packages that must be there, by the names in
            `qfx_plugin.needs.NEEDS`, or Python packages as "scipy>=1.10". Their versions
            decide whether an earlier result is still good.
        options: the options that decide its result: fields of `BuildOptions` or of the target's
            own, by name.
        after: steps whose outputs it may read; `None` for all before it.
        by_vendor: needs a vendor's tool. Without the tool, a build stops in front of this step and
            has succeeded: everything is ready to be continued where the tool is.
        version: raise it whenever the same inputs give another result.
        families: of boards' devices that it is done for; all that its target takes without.
    """

    name: str
    about: str
    run: Callable[[StepContext], Facts | None] = field(repr=False)
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    after: tuple[str, ...] | None = None
    by_vendor: bool = False
    version: int = 1
    families: tuple[str, ...] = ()
