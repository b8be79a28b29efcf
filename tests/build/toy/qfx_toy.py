"""A target and an executor of one's own: the example of `docs/build.md`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qfx_plugin import interpret
from qfx_plugin.build import Step, StepContext
from qfx_plugin.build.model_steps import IMPORT
from qfx_plugin.config import setting
from qfx_plugin.errors import TargetError
from qfx_plugin.executors import Executor
from qfx_plugin.ir import Concat, Graph

ABOUT = "spells codes"


@dataclass(frozen=True)
class OPTIONS:
    """The options of this target."""

    letter: str = setting("a", "What is written.")


def takes(graph: Graph) -> None:
    """Refuse what cannot be spelt."""
    if any(isinstance(op, Concat) for op in graph.ops):
        raise TargetError("toy: takes no Concat")


def spell(context: StepContext) -> dict[str, int]:
    """Write how many codes are expected."""
    codes = np.load(context.input("import") / "expected_0.npy")
    text = f"{3 * context.options.settings.letter} {codes.size}\n"
    (context.folder / "codes.txt").write_text(text)
    return {"codes": int(codes.size)}


STEPS = (IMPORT, Step("spell", "write the codes", spell, ("numpy>=1",), options=("letter",)))
TAKES = {"toy": takes}
EXECUTOR = Executor(
    "toy", "qfx-toy", lambda job: lambda inputs: interpret(job.graph, inputs), lambda job: None
)
