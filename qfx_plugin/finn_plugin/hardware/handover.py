"""A Zynq project as a folder that can be moved: own names, relative paths, all sources inside.

FINN's scripts name files by absolute paths, in folders with random names. Here each folder gets the
name of what is in it, and each script finds the others from where it lies itself:

    units/<unit>/      generated Verilog, memories, HLS sources
    lib/               what is shared: finn-rtllib, our SystemVerilog
    ip/<part>/         make_project.tcl: packages an IP
    system/            ip_config.tcl: block design and bitstream
    driver/            settings of FINN's Python driver
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ...errors import TargetError
from .zynq import ZynqProject

ROOT = "QFX_ROOT"
_SUFFIX = re.compile(r"_[a-z0-9_]{8}$")
_RTLLIB = re.compile(r"\$::env\(FINN_RTLLIB\)/([\w./-]+)")
_ABSOLUTE = re.compile(r"(?<![\w)}.])/[\w.+-]+(?:/[\w.+-]+)+")
_KEPT = (".tcl", ".v", ".sv", ".vh", ".svh", ".mem", ".dat", ".cpp", ".hpp", ".h", ".json", ".mdd")


@dataclass(frozen=True)
class Handover:
    """The folder's scripts, in the order in which they are to run.

    Attributes:
        hls: for Vitis HLS.
        ips: for Vivado: one IP each.
        system: for Vivado: system and bitstream.
    """

    hls: tuple[Path, ...]
    ips: tuple[Path, ...]
    system: Path


def collect(project: ZynqProject, folder: Path) -> Handover:
    """Copy a project into `folder`, with names and paths of its own.

    Raises:
        TargetError: a script names a file that is not there.
    """
    names = _names(project)
    for source, name in names.items():
        _copy_folder(source, folder / name)
    moved = {str(source): name for source, name in names.items()}
    for script in sorted(folder.rglob("*.tcl")):
        if script.parent.name != "data":
            _rewrite(script, folder, moved)
    place = {source: folder / name for source, name in names.items()}
    # FINN's folders have random names: the order is that of ours.
    return Handover(
        hls=tuple(sorted(place[path.parent] / path.name for path in project.hls)),
        ips=tuple(sorted(place[path.parent] / path.name for path in project.ips)),
        system=place[project.system.parent] / project.system.name,
    )


def _names(project: ZynqProject) -> dict[Path, str]:
    """Where each of FINN's folders goes."""
    found: dict[Path, str] = {project.system.parent: "system", project.driver: "driver"}
    for path in sorted(project.build.iterdir()):
        name = _SUFFIX.sub("", path.name)
        if name.startswith("code_gen_ipgen_"):
            found[path] = f"units/{name.removeprefix('code_gen_ipgen_')}"
    for script in project.ips:
        (design,) = re.findall(r'create_bd_design "(\w+)"', script.read_text(encoding="utf-8"))
        found[script.parent] = f"ip/{design}"
    return found


def _copy_folder(source: Path, target: Path) -> None:
    """Sources and scripts, without what only the stand-ins made."""
    target.mkdir(parents=True)
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        made = any(part.startswith(("project_", "finn_", "ip")) for part in relative.parts[:-1])
        if path.is_file() and path.suffix in _KEPT and not made:
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / relative)


def _rewrite(script: Path, folder: Path, moved: dict[str, str]) -> None:
    text = script.read_text(encoding="utf-8")
    for source, name in sorted(moved.items(), key=lambda item: -len(item[0])):
        text = text.replace(source, f"${ROOT}/{name}")
    text = text.replace("$::env(FINN_CUSTOM_HLS)", f"${ROOT}/lib/custom_hls")
    text = re.sub(r"/[^\s\"]*/deps/", f"${ROOT}/lib/", text)
    # (Not where the line before has already put it there.)
    text = re.sub(r"(?<![\w}])/[^\s\"]*/(board_files)\"", rf'${ROOT}/lib/\1"', text)
    for name in sorted(set(_RTLLIB.findall(text))):
        _copy_library(_library() / name, folder / "lib" / "finn-rtllib" / name)
    text = text.replace("$::env(FINN_RTLLIB)", f"${ROOT}/lib/finn-rtllib")
    for found in sorted(set(_ABSOLUTE.findall(text)), key=len, reverse=True):
        path = Path(found)
        if not path.is_file():
            continue
        parts = path.parts
        at = parts.index("finn-rtllib") if "finn-rtllib" in parts else -1
        name = "/".join(parts[at:]) if at >= 0 else f"qfx/{path.name}"
        _copy_library(path, folder / "lib" / name)
        text = text.replace(found, f"${ROOT}/lib/{name}")
    up = " ".join([".."] * len(script.parent.relative_to(folder).parts))
    head = f"set {ROOT} [file normalize [file join [file dirname [info script]] {up}]]\n"
    script.write_text(head + text, encoding="utf-8")


def _copy_library(source: Path, target: Path) -> None:
    """A file or a folder that scripts share.

    Raises:
        TargetError: it is not there.
    """
    if not source.exists():
        raise TargetError(f"the scripts name {source.name!r}, which FINN's library has not")
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.read_bytes() != source.read_bytes():
        raise TargetError(f"two different files are called {target.name!r}")
    shutil.copyfile(source, target)


def _library() -> Path:
    from .. import adapter

    settings = adapter.module("finn.util.settings").get_settings()
    return Path(settings.finn_rtllib)
