"""What a build folder knows about itself: `manifest.json`, written after every step."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import DataError

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
        version: of this layout.
    """

    model: str
    name: str
    options: dict[str, Any]
    product: str
    steps: dict[str, StepRecord] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    version: int = VERSION

    def with_step(self, name: str, record: StepRecord) -> Manifest:
        """The same with one step done."""
        return replace(self, steps={**self.steps, name: record}, failed={})

    def without_step(self, name: str) -> Manifest:
        """The same with one step to be done again."""
        return replace(self, steps={k: v for k, v in self.steps.items() if k != name})

    def write(self, folder: Path) -> None:
        """Replace the file in one move: a reader sees the old one or the new one."""
        write_atomically(folder / NAME, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read the manifest of a build folder.

        Raises:
            DataError: there is none, or it is damaged or of another version.
        """
        path = folder / NAME
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{folder}: is no build folder: it has no {NAME}") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from error
        version = data.get("version") if isinstance(data, dict) else None
        if version != VERSION:
            raise DataError(f"{path}: version must be {VERSION}, not {version!r}")
        try:
            steps = {name: StepRecord(**entry) for name, entry in data["steps"].items()}
            return cls(**data | {"steps": steps})
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: a field is missing or unknown: {error}") from error


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a kill at any time leaves the old one or the new one."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
