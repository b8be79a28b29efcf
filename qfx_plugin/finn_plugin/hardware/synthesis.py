"""What a unit costs, synthesised by Yosys from the Verilog that was generated for it.

FINN's library is meant for Vivado. What Yosys does not read of it is changed in copies, without
changing hardware.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from ...synthesis.estimate import ResourceEstimate, estimate
from .rtlsim import repaired
from .uniform import under_one_name

_DIRECTIVE = re.compile(r"^\s*`default_nettype \w+", re.MULTILINE)
_LATE = re.compile(r"^\s*parameter (IN_WIDTH_PADDED|OUT_WIDTH_PADDED) = (\d+);", re.MULTILINE)
_CHECKS = re.compile(
    r"^\t+assert\([^;]*?\belse begin\n.*?^\t+end\n|^\tinitial begin\n.*?^\tend\n",
    re.MULTILINE | re.DOTALL,
)


def yosys_counts(op: Any, *, timeout_s: float = 900) -> ResourceEstimate:
    """Yosys' counts for a unit whose Verilog has been generated.

    Args:
        op: operation of a specialised node.
        timeout_s: limit in seconds.

    Raises:
        ToolMissingError: Yosys is not installed.
        TargetError: Yosys does not read the sources, or a limit was exceeded.
    """
    files = [Path(path) for path in dict.fromkeys(map(str, op.get_rtl_file_list(abspath=True)))]
    files = [path for path in files if path.name != "fifo_gauge.sv"]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        files, top = under_one_name(files, op.get_nodeattr("gen_top_module"), folder / "alike")
        memories = [path for path in files if path.suffix == ".mem"]
        sources = [path for path in files if path.suffix in (".v", ".sv")]
        readable = [_readable(path, folder) for path in sources]
        return estimate(readable, top, memories=memories, timeout_s=timeout_s)


def _readable(source: Path, folder: Path) -> Path:
    """The file, or a copy in `folder` that Yosys reads."""
    source = repaired(source, folder)
    text = source.read_text(encoding="utf-8")
    changed = _DIRECTIVE.sub("", text).replace("(* RAM_STYLE =", "(* ram_style =")
    for name, value in _LATE.findall(changed):
        changed = changed.replace(f"[{name}-1:0]", f"[{value}-1:0]")
    if "finn-rtllib" in source.parts or source.parent == folder:
        changed = _CHECKS.sub("", changed)
    if changed == text:
        return source
    copy = folder / source.name
    copy.write_text(changed, encoding="utf-8")
    return copy
