"""`qfx build m.onnx --target hls4ml`: from a model to a folder that is ready for the board."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfx_plugin.cli.help import InstalledHelp

if TYPE_CHECKING:
    from rich.console import Console

    from qfx_plugin.build import BuildOptions, BuildResult

_DESCRIPTION = """\
Builds a QONNX file for a board, step by step, into a folder. Run it again, and only what has
changed is done again; kill it, and the next run goes on with the same bytes. Where a vendor's tool
is missing, the build ends in front of it: everything is generated and checked, and the last line
says how to go on."""

_EPILOG = """\
examples:
  qfx build m.onnx -o build/                          hls4ml, Ultra96-V2
  qfx build m.onnx -o build/ --board pynq-z2 -O io_type=io_stream
  qfx build m.onnx -o build/ --config build/options.yaml
  qfx build --target hls4ml --list                    its steps and options"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "build",
        parents=[common],
        help="from a model to a folder that is ready for the board",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument(
        "-h", "--help", action=InstalledHelp, names={"target": _targets},
        help="show this help message and exit",
    )  # fmt: skip
    parser.add_argument("model", type=Path, nargs="?", help="QONNX file")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("build"), metavar="DIR",
        help="the build folder (default: %(default)s)",
    )  # fmt: skip
    options = parser.add_argument_group("options of the build (each can stand in --config instead)")
    options.add_argument(
        "--target",
        help="what is made of it: {names} (default: hls4ml). Here finn is QFX's plugin of FINN; in "
        "`qfx export` it is stock FINN",
    )
    options.add_argument("--board", help="a name of `qfx boards`, or a file (default: ultra96-v2)")
    options.add_argument("--clock-mhz", type=float, metavar="MHZ", help="default: the board's")
    options.add_argument(
        "--samples", type=int, metavar="N", help="inputs simulated and compared (default: 256)"
    )
    options.add_argument("--seed", type=int, metavar="N", help="of random inputs (default: 0)")
    options.add_argument(
        "--inputs", metavar="FILE",
        help="inputs instead of random ones: X.npy; for several inputs X.npz with arrays by their "
        "names, or NAME=X.npy,NAME=Y.npy; the first N of --samples",
    )  # fmt: skip
    options.add_argument(
        "--seeds", type=int, nargs="+", metavar="N",
        help="of place and route, for boards without a processor; the fastest result is kept",
    )  # fmt: skip
    options.add_argument(
        "-O", "--option", action="append", default=[], metavar="NAME=VALUE",
        help="an option of the target, as --list shows them; may be repeated",
    )  # fmt: skip
    options.add_argument(
        "--config", type=Path, metavar="FILE",
        help="options from a .yaml, .json or .toml file, such as DIR/options.yaml of an earlier "
        "build; flags win over it",
    )  # fmt: skip
    steps = parser.add_argument_group("steps")
    steps.add_argument("--from", dest="from_step", metavar="STEP", help="do this step again")
    steps.add_argument("--until", metavar="STEP", help="stop after this step")
    steps.add_argument("--list", action="store_true", help="show steps and options, do nothing")
    parser.add_argument(
        "--report-from", type=Path, metavar="FOLDER",
        help="build nothing: read what a machine with the vendor's tools, or a board, has sent "
        "back (the folder `first_run` of continue.sh, board.json) into the report of DIR",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    parser.set_defaults(run=run)


def _targets() -> tuple[str, ...]:
    from qfx_plugin.build.flow import TARGETS

    return TARGETS.names()


def run(options: argparse.Namespace) -> int:
    """Build, with a line for each step."""
    from rich.console import Console

    from qfx_plugin.errors import OptionError

    if options.report_from is not None:
        return _report_from(options)
    chosen = chosen_options(options)
    if options.list:
        print_choices(chosen, Console())
        return 0
    if options.model is None:
        raise OptionError("model is missing: name a QONNX file, as in `qfx build m.onnx`")
    console = Console(stderr=options.json)
    try:
        result = _build(options, chosen, console)
    except KeyboardInterrupt:
        kept = f"finished steps are kept in {options.out}; the same command goes on from there"
        raise KeyboardInterrupt(kept) from None
    if options.json:
        sys.stdout.write(result.to_json())
    else:
        _print_result(result, console)
    return 0


def _report_from(options: argparse.Namespace) -> int:
    import json

    from qfx_plugin.build.first_run import report_from
    from qfx_plugin.build.summary import summarize
    from qfx_plugin.report import print_build

    found = report_from(options.out, options.report_from)
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        print_build(summarize(options.out))
    return 0 if summarize(options.out).proven else 1


def chosen_options(options: argparse.Namespace) -> BuildOptions:
    """The file's options, with the flags in their place.

    Raises:
        OptionError: an unknown name, or a value that breaks its rule.
    """
    from qfx_plugin.build.options import BuildOptions, parse_assignment
    from qfx_plugin.config import load

    table = {} if options.config is None else load(options.config)
    for name in ("target", "board", "clock_mhz", "samples", "seed", "inputs"):
        value = getattr(options, name)
        if value is not None:
            table[name] = value
    target = table.setdefault("target", "hls4ml")
    own = [parse_assignment(target, text) for text in options.option]
    if options.seeds:
        own.append(parse_assignment(target, f"seeds={' '.join(map(str, options.seeds))}"))
    if own:
        table[target] = dict(table.get(target) or {}) | dict(own)
    return BuildOptions.parse(table, str(options.config or "options"))


def _build(options: argparse.Namespace, chosen: BuildOptions, console: Console) -> BuildResult:
    from qfx_plugin.build import build
    from qfx_plugin.cli.hosts import silence_hosts
    from qfx_plugin.cli.progress import ConsoleProgress

    silence_hosts()
    with ConsoleProgress(console) as progress:
        return build(
            options.model,
            out=options.out,
            options=chosen,
            from_step=options.from_step,
            until=options.until,
            progress=progress,
        )


def _print_result(result: BuildResult, console: Console) -> None:
    from qfx_plugin.build.summary import summarize
    from qfx_plugin.report.build_model import verdict
    from qfx_plugin.report.build_text import closing

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    report = summarize(result.folder)
    for line in (*closing(report), verdict(report)):
        say(line)
    say(f"Built for {result.board}: {result.folder} (report.html, report.json)")
    if result.kept:
        say(f"Set aside, for it was not the build's: {', '.join(result.kept)}", "yellow")
    if result.missing:
        say(f"Stopped there: {result.missing}", "yellow")
        say(f"To go on where it is installed: {result.command}", "yellow")
    elif result.complete:
        say("Complete.", "green")


def print_choices(chosen: BuildOptions, console: Console) -> None:
    """Steps and options of a target, with the values that this command line gives."""
    import dataclasses

    from rich.table import Table
    from rich.text import Text

    target = chosen.target
    steps = Table(title=f"Steps of {target.name}: {target.about}", title_justify="left")
    for column in ("step", "what it does", "needs"):
        steps.add_column(column)
    for step in target.steps:
        steps.add_row(step.name, step.about, ", ".join(step.needs))
    options = Table(title="Options", title_justify="left")
    for column in ("option", "value", "meaning"):
        options.add_column(column)
    for part, prefix in ((chosen.common, ""), (chosen.settings, "-O ")):
        for field in dataclasses.fields(part):
            if field.name == "version":
                continue
            name = prefix + (field.name if prefix else "--" + field.name.replace("_", "-"))
            choices = field.metadata["choices"]
            about = field.metadata["about"]
            meaning = f"{about} One of: {', '.join(map(str, choices))}." if choices else about
            value = getattr(part, field.name)
            options.add_row(Text(name), Text("" if value is None else str(value)), Text(meaning))
    console.print(steps)
    console.print(options)
