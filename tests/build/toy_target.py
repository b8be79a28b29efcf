"""A target of four quick steps, to test the machinery apart from any tool.

It is another distribution's: QFX finds it by its entry point.

`TOY_SECONDS` makes every step last, so that a test can kill it; `TOY_COUNT` names a file to which
every step that runs appends its name.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qfx_plugin.build.steps import Facts, Step, StepContext
from qfx_plugin.config import setting
from qfx_plugin.errors import DataError
from tests.distributions import install as install_distribution

ABOUT = "a target for tests"
FILES = 20


@dataclass(frozen=True)
class ToyOptions:
    letter: str = setting("a", "What is written.")
    fail: str = setting("", "A step that fails.")
    unused: int = setting(0, "What no step reads.")


OPTIONS = ToyOptions


def _work(context: StepContext, name: str, *earlier: str) -> Facts:
    """Many small files, so that a kill lands between two of them."""
    if "TOY_COUNT" in os.environ:
        with Path(os.environ["TOY_COUNT"]).open("a") as file:
            file.write(f"{name}\n")
    digest = hashlib.sha256(context.model.read_bytes())
    for step in earlier:
        for path in sorted(context.input(step).rglob("*.txt")):
            digest.update(path.read_bytes())
    for index in range(FILES):
        text = f"{name} {index} {context.options.settings.letter} {digest.hexdigest()}\n"
        (context.folder / f"{index}.txt").write_text(text * 50)
        (context.scratch / f"{index}.tmp").write_text(text)
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")) / FILES)
        context.progress(index + 1, FILES)
    if context.options.settings.fail == name:
        raise DataError(f"{name}: told to fail")
    context.log.info("%s done", name)
    return {"digest": digest.hexdigest(), "files": FILES}


STEPS = (
    Step("first", "one", lambda c: _work(c, "first"), options=("letter", "fail")),
    Step("second", "two", lambda c: _work(c, "second", "first"), options=("fail",)),
    Step("third", "apart", lambda c: _work(c, "third"), options=("board",), after=()),
    Step("last", "all", lambda c: _work(c, "last", "first", "second", "third")),
)


@cache
def distribution() -> str:
    """A folder with what pip would write of a distribution that has this target."""
    folder = Path(tempfile.mkdtemp(prefix="qfx-toy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    install_distribution(folder, "qfx_toy", "", {"qfx.targets": {"toy": "tests.build.toy_target"}})
    return str(folder)


def install(monkeypatch=None) -> None:
    """Make it known under the name `toy`."""
    if monkeypatch is None:
        sys.path.insert(0, distribution())
    else:
        monkeypatch.syspath_prepend(distribution())


if __name__ == "__main__":
    from qfx_plugin.build import build

    install()
    build(sys.argv[1], out=sys.argv[2], target="toy")
