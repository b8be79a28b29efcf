"""`qfx bundle build/`: what a bug report needs of a build, in one file, without paths and names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "bundle",
        parents=[common],
        help="what a bug report needs of a build, in one file",
        description="Packs reports, logs, options, scripts and versions of a build folder into a "
        ".zip file. Names of folders, of the user and of the machine are taken out; model, "
        "weights and samples stay where they are, unless --with-model is given. Look into it "
        "before you send it.",
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build"),
                        help="the build folder (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("qfx_bundle.zip"), metavar="FILE",
        help="the file to write (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--with-model", action="store_true", help="also model.onnx")
    parser.add_argument("--json", action="store_true", help="names of the files in it as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the file, and say what is in it."""
    import json
    from dataclasses import asdict

    from qfx_plugin.build.bundle import bundle
    from qfx_plugin.cli.doctor import examine

    doctor = [asdict(finding) for finding in examine()]
    names = bundle(options.folder, options.out, doctor=doctor, with_model=options.with_model)
    if options.json:
        sys.stdout.write(json.dumps({"file": str(options.out), "names": names}, indent=2) + "\n")
    else:
        sys.stdout.write(f"{options.out}: {len(names)} files; look into it before you send it\n")
    return 0
