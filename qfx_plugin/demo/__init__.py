"""The main job on real data: `qfx demo`, behind `make demo`."""

from .run import run_demo

__all__ = ["run_demo"]
