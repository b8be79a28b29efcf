"""Runs the steps of a build, and leaves out those whose earlier result is still good.

A step is done again when something that decides its result has changed: the model, its options,
its version, the version of this package or of its tools, the outputs of the steps it reads; or when
its own files are missing or altered. Other files in its folder change nothing, and stay.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from brevitas_quantizers.fixed_point.errors import QfxError

from ..errors import OptionError, TargetError, ToolMissingError
from ..needs import find_need
from .manifest import Manifest, StepRecord
from .options import BuildOptions
from .result import DONE, LEFT, REUSED, WAITING, BuildResult, StepResult
from .steps import Facts, Step, StepContext
from .workspace import Workspace, digests


class Progress(Protocol):
    """Listens to a build."""

    def stage(self, name: str) -> None:
        """A step begins; the one before is finished."""

    def step(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` parts of the step are finished."""


class SilentProgress:
    """Listens and says nothing."""

    def stage(self, name: str) -> None:
        """Ignored."""

    def step(self, done: int, total: int, note: str = "") -> None:
        """Ignored."""


@dataclass(frozen=True)
class Span:
    """Which steps are asked for.

    Attributes:
        first: done again even if its result is good; all before it must be good.
        last: the last step; without, as far as the tools go.
    """

    first: str | None = None
    last: str | None = None


class Runner:
    """One run of a build in its folder.

    Args:
        workspace: locked by the caller.
        options: of the build.
        manifest: what is known so far; model and options are this run's.
        progress: who listens.
    """

    def __init__(
        self,
        workspace: Workspace,
        options: BuildOptions,
        manifest: Manifest,
        progress: Progress | None = None,
    ) -> None:
        self.workspace = workspace
        self.options = options
        self.manifest = manifest
        self.progress = progress or SilentProgress()

    def run(self, span: Span) -> BuildResult:
        """Do the steps of `span`.

        Raises:
            OptionError: a step of `span` does not exist, or a step before its first is not good.
            ToolMissingError: a tool is missing, and the step needs it or was asked for by name.
            QfxError: whatever a step says to the user.
        """
        steps = self.options.target.steps
        first, last = self._bounds(span)
        began, results, missing = time.monotonic(), [], ""
        for index, step in enumerate(steps):
            status = LEFT
            if index <= last and not missing:
                missing = self._missing(steps[index : last + 1], asked=span.last is not None)
                status = WAITING if missing else self._do(step, index, first)
            elif missing:
                status = WAITING
            record = self.manifest.steps.get(step.name) if status in (DONE, REUSED) else None
            results.append(
                StepResult(step.name, status, record.seconds if record else 0.0, step.about)
            )
        script = self.workspace.root / self._hand_over() / "continue.sh"
        command = shlex.join(["bash", str(script)])
        return BuildResult(
            folder=str(self.workspace.root),
            target=self.options.target.name,
            board=self.options.load_board().name,
            steps=tuple(results),
            missing=missing,
            command=command if missing else "",
            seconds=time.monotonic() - began,
            kept=tuple(self.workspace.kept),
        )

    def _bounds(self, span: Span) -> tuple[int | None, int]:
        target = self.options.target
        first = None if span.first is None else target.position(span.first)
        last = len(target.steps) - 1 if span.last is None else target.position(span.last)
        if first is not None and first > last:
            raise OptionError(
                f"first step must not come after the last, not {span.first!r} after {span.last!r}"
            )
        return first, last

    def _missing(self, steps: tuple[Step, ...], *, asked: bool) -> str:
        """What the first of `steps` waits for, and the others after it; empty if it can begin.

        Raises:
            ToolMissingError: the step is not a vendor's, or was asked for.
        """
        if self._is_good(steps[0]) or not _absent(steps[0]):
            return ""
        if not steps[0].by_vendor:
            raise ToolMissingError(_absent(steps[0])[0])
        text = "; ".join(line for step in steps for line in _absent(step))
        if asked:
            ready = self.workspace.root / self._hand_over()
            raise ToolMissingError(f"{text}; everything up to there is ready in {ready}")
        return text

    def _hand_over(self) -> str:
        """Folder of the last step that needs no vendor's tool."""
        return [step.name for step in self.options.target.steps if not step.by_vendor][-1]

    def _do(self, step: Step, index: int, first: int | None) -> str:
        forced = first is not None and index == first
        if not forced and self._is_good(step):
            self.progress.stage(f"{step.name} (earlier result)")
            return REUSED
        if first is not None and index < first:
            raise OptionError(
                f"step {step.name} must be done before {self.options.target.steps[first].name}: "
                "its result is missing or no longer good"
            )
        self.progress.stage(step.name)
        self._perform(step)
        return DONE

    def _perform(self, step: Step) -> None:
        """A killed step must not look done: its record goes before its files change."""
        self.manifest = self.manifest.at_work(step.name)
        self.manifest.write(self.workspace.root)
        began = time.monotonic()
        with self._log(step) as log:
            try:
                outputs, facts = self._outputs(step, log)
            except BaseException as error:
                self._remember_failure(step, error, log)
                raise
        record = StepRecord(
            self._key(step),
            outputs,
            facts,
            round(time.monotonic() - began, 3),
            self._versions(step),
        )
        self.manifest = self.manifest.with_step(step.name, record)
        self.manifest.write(self.workspace.root)

    def _outputs(self, step: Step, log: logging.Logger) -> tuple[dict[str, str], Facts]:
        """Do a step; the digests of its files, and its facts."""
        with self.workspace.fresh() as (folder, scratch):
            facts = _plain(step, step.run(self._context(step, folder, scratch, log)) or {})
            outputs = digests(folder)
            self.workspace.keep(folder, step.name, self.manifest.owned(step.name))
        return outputs, facts

    def _remember_failure(self, step: Step, error: BaseException, log: logging.Logger) -> None:
        log.error("failed: %s", error, exc_info=not isinstance(error, QfxError))
        message = str(error) or type(error).__name__
        failed = {"step": step.name, "message": message}
        self.manifest = replace(self.manifest, failed=failed, under_way="")
        self.manifest.write(self.workspace.root)

    def _context(self, step: Step, folder: Path, scratch: Path, log: logging.Logger) -> StepContext:
        names = [one.name for one in self._before(step)]
        return StepContext(
            model=self.workspace.model,
            board=self.options.load_board(),
            options=self.options,
            folder=folder,
            scratch=scratch,
            inputs={
                name: self.workspace.input(name, self.manifest.steps[name].outputs)
                for name in names
            },
            known={name: self.manifest.steps[name].facts for name in names},
            log=log,
            progress=self.progress.step,
        )

    def _before(self, step: Step) -> tuple[Step, ...]:
        """The steps that `step` may read."""
        steps = self.options.target.steps
        earlier = steps[: steps.index(step)]
        if step.after is None:
            return earlier
        return tuple(one for one in earlier if one.name in step.after)

    def _is_good(self, step: Step) -> bool:
        record = self.manifest.steps.get(step.name)
        if record is None or any(one.name not in self.manifest.steps for one in self._before(step)):
            return False
        if record.key != self._key(step):
            return False
        folder = self.workspace.step(step.name)
        return digests(folder, record.outputs) == record.outputs

    def _key(self, step: Step) -> str:
        """Digest of everything that decides the result of a step."""
        deciding = {
            "product": self.manifest.product,
            "step": [step.name, step.version],
            "model": self.manifest.model,
            "options": {name: self.options.value(name) for name in step.options},
            "tools": self._versions(step),
            "before": {
                one.name: [self.manifest.steps[one.name].outputs,
                           self.manifest.steps[one.name].facts]
                for one in self._before(step)
            },
        }  # fmt: skip
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def _versions(self, step: Step) -> dict[str, str]:
        """Versions of the step's tools; of one that is missing here, that of the earlier result."""
        record = self.manifest.steps.get(step.name)
        versions = dict(record.versions) if record else {}
        for tool in map(find_need, step.needs):
            if tool.available():
                versions[tool.name] = tool.version()
        return versions

    @contextmanager
    def _log(self, step: Step) -> Iterator[logging.Logger]:
        """A logger that writes the step's log file and nothing else."""
        handler = logging.FileHandler(
            self.workspace.open_log(step.name), mode="w", encoding="utf-8"
        )
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log = logging.Logger(f"qfx.build.{step.name}", logging.INFO)
        log.addHandler(handler)
        try:
            yield log
        finally:
            handler.close()


def _absent(step: Step) -> list[str]:
    """A sentence for each tool that the step needs and that is missing."""
    tools = [find_need(name) for name in step.needs]
    return [tool.missing(step.name) for tool in tools if not tool.available()]


def _plain(step: Step, facts: Facts) -> Any:
    """Facts as they will be read from the manifest."""
    try:
        return json.loads(json.dumps(facts, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TargetError(f"step {step.name}: facts must be plain JSON values: {error}") from error
