"""What a build folder knows about itself: `manifest.json`, written after every step."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DataError
from ..files import parse_json, write_file

VERSION = 1
NAME = "manifest.json"


@dataclass(frozen=True)
class StepRecord:
    """One step that was done.

    Attributes:
        key: digest of everything that decides its result.
        outputs: sha256 of every file, by its path within the step's folder.
        facts: what the step returned.
        seconds: how long it took.
        versions: of the tools it needs.
    """

    key: str
    outputs: dict[str, str]
    facts: dict[str, Any]
    seconds: float
    versions: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """All of a build folder.

    Attributes:
        model: sha256 of the model file.
        name: name of the model, for people.
        options: as `BuildOptions.as_table` gives them.
        product: version of this package.
        steps: steps that are done, by name.
        failed: the step that failed last, and its message; empty if none did.
        left: digests of files of steps that are to be done again; the build may replace them.
        under_way: the step that is at work, or was when the build was killed.
        version: of this layout.
    """

    model: str
    name: str
    options: dict[str, Any]
    product: str
    steps: dict[str, StepRecord] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    left: dict[str, dict[str, str]] = field(default_factory=dict)
    under_way: str = ""
    version: int = VERSION

    def with_step(self, name: str, record: StepRecord) -> Manifest:
        """The same with one step done."""
        left = {key: files for key, files in self.left.items() if key != name}
        steps = {**self.steps, name: record}
        return replace(self, steps=steps, left=left, under_way="")

    def at_work(self, name: str) -> Manifest:
        """The same with one step under way, and so not done; its files remain the build's."""
        steps = {key: record for key, record in self.steps.items() if key != name}
        left = {**self.left, name: self.owned(name)}
        return replace(self, steps=steps, left=left, under_way=name)

    def owned(self, name: str) -> dict[str, str]:
        """Digests of the files of a step that the build has written, whether it is done or not."""
        return self.steps[name].outputs if name in self.steps else self.left.get(name, {})

    def write(self, folder: Path) -> None:
        """Replace the file in one move: a reader sees the old one or the new one."""
        write_file(folder / NAME, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read the manifest of a build folder.

        Raises:
            DataError: there is none, or it is damaged or of another version.
        """
        path = folder / NAME
        try:
            data = parse_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{folder}: is no build folder: it has no {NAME}") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"no JSON: {error}"
            raise DataError(f"{path}: cannot be read: {reason}") from error
        version = data.get("version") if isinstance(data, dict) else None
        if version != VERSION:
            raise DataError(f"{path}: version must be {VERSION}, not {version!r}")
        try:
            steps = {name: StepRecord(**entry) for name, entry in data["steps"].items()}
            return cls(**data | {"steps": steps})._checked()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(f"{path}: a field is missing, unknown or wrong: {error}") from error

    def _checked(self) -> Manifest:
        """The file may have been edited; what is written and removed goes by it."""
        tables = [self.options, self.failed, *(record.facts for record in self.steps.values())]
        texts = [self.model, self.name, self.product, self.under_way]
        texts += [record.key for record in self.steps.values()]
        for value in tables:
            _expect(isinstance(value, dict), "a table", value)
        for text in texts:
            _expect(isinstance(text, str), "a text", text)
        if self.failed:
            _expect({"step", "message"} <= set(self.failed), "a step and its message", self.failed)
        for name in (*self.steps, *self.left, *filter(None, [self.under_way])):
            _expect(re.fullmatch(r"[a-z0-9_-]+", name) is not None, "the name of a step", name)
        for record in self.steps.values():
            number = isinstance(record.seconds, int | float) and record.seconds >= 0
            _expect(number, "seconds", record.seconds)
        versions = [record.versions for record in self.steps.values()]
        for owned in (*self.left.values(), *(r.outputs for r in self.steps.values()), *versions):
            _expect(isinstance(owned, dict), "a table of texts", owned)
            _expect(all(isinstance(text, str) for text in owned.values()), "texts", owned)
        for owned in (*self.left.values(), *(r.outputs for r in self.steps.values())):
            for path in map(PurePosixPath, owned):
                _expect(not path.is_absolute() and ".." not in path.parts, "a path inside", path)
        return self


def _expect(holds: bool, what: str, value: Any) -> None:
    if not holds:
        raise ValueError(f"must be {what}, not {str(value)[:60]!r}")
