"""The drivers of overlays: what goes onto the board beside the bitstream."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from .render import render

DRIVER, FINN_DRIVER = "qfx_driver", "qfx_finn"

_FIXED_POINT = (
    ("brevitas_quantizers", "brevitas_quantizers", ("__init__",)),
    ("brevitas_quantizers.fixed_point", "brevitas_quantizers/fixed_point", ()),
)


def write_run_script(overlay: Path, top: str) -> None:
    """`run_on_board.py`: compares every code with `expected_*.npy`, and measures."""
    text = render("overlay/run_on_board.py.in", TOP=top)
    (overlay / "run_on_board.py").write_text(text, encoding="utf-8")


def list_overlay(overlay: Path) -> str:
    """Files and folders for the script of the block design, which copies them."""
    return " ".join(sorted(path.name for path in overlay.iterdir()))


def copy_driver(overlay: Path) -> None:
    """The driver as `qfx_driver`, and what it needs of `brevitas_quantizers`: NumPy only."""
    _copy(overlay, (("qfx_plugin.driver", DRIVER, ()), *_FIXED_POINT))


def write_finn_driver(overlay: Path) -> None:
    """`run_on_board.py` for FINN's driver, and as `qfx_finn` what codes its streams mean."""
    text = render("finn/run_on_board.py.in")
    (overlay / "run_on_board.py").write_text(text, encoding="utf-8")
    packages = (
        ("qfx_plugin", FINN_DRIVER, ("errors",)),
        ("qfx_plugin.finn_plugin", f"{FINN_DRIVER}/streams", ("contract",)),
        ("qfx_plugin.driver", f"{FINN_DRIVER}/driver", ("errors", "overlay")),
    )
    _copy(overlay, (*packages, *_FIXED_POINT))
    for _, target, _ in packages:
        (overlay / target / "__init__.py").write_text("", encoding="utf-8")


def _copy(overlay: Path, packages: tuple[tuple[str, str, tuple[str, ...]], ...]) -> None:
    """Modules of packages, all of them or the named ones."""
    for package, target, only in packages:
        (overlay / target).mkdir()
        for entry in sorted(files(package).iterdir(), key=lambda one: one.name):
            name, _, kind = entry.name.partition(".")
            if kind == "py" and (not only or name in only):
                text = entry.read_text(encoding="utf-8")
                (overlay / target / entry.name).write_text(text, encoding="utf-8")
