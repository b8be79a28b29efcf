"""The options of a build that do not depend on its target."""

from __future__ import annotations

from ..config import options, setting

VERSION = 1


@options
class CommonOptions:
    """The options that every target has."""

    version: int = setting(VERSION, "Version of this layout.", choices=(VERSION,))
    target: str = setting(
        "hls4ml",
        "What is made of the model: the name of a target. Each target has steps and options of its "
        "own, which stand in a table under its name.",
    )
    board: str = setting(
        "ultra96-v2",
        "The board: a name that `qfx boards` lists, or the path of a board's .toml file. It "
        "decides part, clock pins, memory ports, and the resources that counts are compared with.",
    )
    clock_mhz: float | None = setting(
        None,
        "Clock of the logic in MHz. Without, the board's default. The nearest frequency that the "
        "processor's dividers reach is set (`qfx boards BOARD` lists exact ones); target finn's "
        "comes from a PLL of its own.",
        minimum=1,
    )
    samples: int = setting(
        256,
        "How many inputs are simulated and compared with the integer interpreter, code by code. "
        "They are random and reach every code of the input, ties and values out of range included.",
        minimum=1,
    )
    seed: int = setting(0, "Seed of the random inputs.", minimum=0)
    inputs: str = setting(
        "",
        "Inputs instead of random ones, the first `samples` of them: a .npy file; for networks "
        "with several inputs a .npz file with an array for each, by name, or "
        "NAME=FILE.npy,NAME=FILE.npy.",
    )
