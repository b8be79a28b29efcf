"""`build()`: from a trained model or a QONNX file to a folder that is ready for the board."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from brevitas_quantizers import __version__
from brevitas_quantizers.onnx_files import read_model

from ..config import check_name, is_field
from ..errors import DataError, OptionError, QfxError
from ..qonnx_import.load import MAX_NODES
from ..report.build_html import render_build_html
from .common import CommonOptions
from .flow import find_target
from .manifest import Manifest
from .model_steps import IMPORT
from .options import BuildOptions
from .result import BuildResult
from .runner import Progress, Runner, Span
from .summary import summarize
from .workspace import MODEL, OPTIONS, REPORTS, Workspace, file_digest


def build(
    model: Any,
    *,
    out: str | os.PathLike[str],
    target: str = "hls4ml",
    board: str = "ultra96-v2",
    args: Any = None,
    options: BuildOptions | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    from_step: str | None = None,
    until: str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> BuildResult:
    """Build `model` for a board, step by step, and go on where an earlier build stopped.

    Args:
        model: path of a QONNX file, a loaded ONNX model, or a trained torch model, which is
            exported first (then `args` is needed).
        out: the build folder.
        target: name of a target, see `flow.TARGETS`.
        board: name of a board, or path of its file.
        args: example input of a torch model, (batch, ...).
        options: all options as an object, a table, or a file; then `target` and `board` stand in
            there.
        from_step: do this step again even if its result is good; all before it must be good.
        until: stop after this step. Without, as far as the tools that are installed go.
        progress: who is told what is done.
        settings: other options by name: common ones such as `clock_mhz`, and the target's own.

    Returns:
        What was done. If a vendor's tool is missing, everything for it is ready in the folder, and
        `missing` and `command` say how to go on.

    Raises:
        OptionError: an option that does not exist, or with a value that breaks its rule.
        ToolMissingError: a step needs a tool that is missing.
        VerificationError: a simulation differs from the integer interpreter.
        QfxError: the model cannot be built.
    """
    chosen = _options(options, target, board, settings)
    _check_file(model, chosen)
    workspace = Workspace(out)
    with workspace.locked():
        earlier = _earlier(workspace)
        if earlier.under_way:
            workspace.recover(earlier.under_way, earlier.owned(earlier.under_way))
        workspace.claim(_given(model, chosen, workspace))
        name = _store_model(model, args, workspace)
        if not _holds(workspace, chosen):
            chosen.save(workspace.root / OPTIONS)
        manifest = replace(
            earlier,
            model=file_digest(workspace.model),
            name=name,
            options=chosen.as_table(),
            product=__version__,
            failed={},
            under_way="",
        )
        manifest.write(workspace.root)
        try:
            return Runner(workspace, chosen, manifest, progress).run(Span(from_step, until))
        finally:
            write_report(workspace)


def write_report(workspace: Workspace) -> None:
    """What is known, also after a failure: `report.json` and `report.html`."""
    report = summarize(workspace.root)
    for name, text in zip(REPORTS, (report.to_json(), render_build_html(report)), strict=True):
        workspace.put(name, text)
    workspace.sign()


def _options(
    options: BuildOptions | Mapping[str, Any] | str | os.PathLike[str] | None,
    target: str,
    board: str,
    settings: Mapping[str, Any],
) -> BuildOptions:
    if isinstance(options, BuildOptions | str | os.PathLike):
        if settings:
            raise OptionError(f"options must hold {', '.join(settings)}, not stand beside it")
        return options if isinstance(options, BuildOptions) else BuildOptions.load(options)
    table: dict[str, Any] = {"target": target, "board": board} | dict(options or {})
    own = dict(table.get(table["target"]) or {})
    for name, value in settings.items():
        check_name(find_target(table["target"]).options, name, "option", CommonOptions)
        (table if is_field(CommonOptions, name) else own)[name] = value
    return BuildOptions.parse(table | ({table["target"]: own} if own else {}))


def _earlier(workspace: Workspace) -> Manifest:
    """What an earlier build in this folder did; each step is checked before it is used."""
    try:
        return Manifest.load(workspace.root)
    except DataError:
        return Manifest("", "", {}, __version__)


def _given(model: Any, chosen: BuildOptions, workspace: Workspace) -> set[str]:
    """Files of the folder that this build was told to read."""
    is_model = isinstance(model, str | os.PathLike) and Path(model).absolute() == workspace.model
    return ({MODEL} if is_model else set()) | ({OPTIONS} if _holds(workspace, chosen) else set())


def _holds(workspace: Workspace, chosen: BuildOptions) -> bool:
    """Whether the file of options says the same already, in whatever words."""
    try:
        return BuildOptions.load(workspace.root / OPTIONS) == chosen
    except QfxError:
        return False


def _check_file(model: Any, chosen: BuildOptions) -> None:
    """Refuse a file that is no ONNX network by its own name, before anything is touched."""
    if isinstance(model, str | os.PathLike) and IMPORT in chosen.target.steps:
        read_model(model, MAX_NODES)


def _store_model(model: Any, args: Any, workspace: Workspace) -> str:
    """Put the model into the folder in one move; returns its name."""
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if path.absolute() != workspace.model:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path}: cannot be read: {error.strerror}") from error
            workspace.put(MODEL, content)
        return path.stem
    if hasattr(model, "SerializeToString"):
        workspace.put(MODEL, model.SerializeToString(deterministic=True))
        return model.graph.name or "model"
    if not hasattr(model, "state_dict"):
        raise OptionError(
            f"model must be a path, an ONNX model or a torch module, not {type(model).__name__}"
        )
    if args is None:
        raise OptionError("args must be an example input of the torch model, not None")
    from brevitas_quantizers.qonnx import export_qonnx

    workspace.put(MODEL, export_qonnx(model, args=args).SerializeToString())
    return type(model).__name__
