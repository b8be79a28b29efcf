"""pytest plugin of `hls4ml_own_tests.py`: one backend's tests, seeded, timed, each noted in a file.

Settings come as `QFX_OWN`, a JSON object: backend, backends, limit, only, seconds, notes, zoo.
"""

from __future__ import annotations

import inspect
import json
import os
import random
import signal
import sys
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SETTINGS = json.loads(os.environ["QFX_OWN"])
NOTES = Path(SETTINGS["notes"])


def pytest_configure() -> None:
    """Downloads of the public model zoo come from a folder, if one was given."""
    if SETTINGS["zoo"] is not None:
        urllib.request.urlretrieve = _from_folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the backend's tests, at most `limit` of each function, less those noted already."""
    chosen: dict[str, list[pytest.Item]] = {}
    for item in items:
        if _is_for(item, SETTINGS["backend"]):
            chosen.setdefault(f"{item.fspath}::{item.originalname}", []).append(item)
    kept = [item for same in chosen.values() for item in _spread(same, SETTINGS["limit"])]
    if SETTINGS["only"] is not None:
        kept = [item for item in kept if _name(item) in SETTINGS["only"]]
    done = {line["test"] for line in _noted() if "outcome" in line}
    kept = [item for item in kept if item.nodeid not in done]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Seed alike for every backend, and end a test that takes too long."""
    _note({"test": item.nodeid})
    _seed(zlib.crc32(_name(item).encode()))
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, SETTINGS["seconds"])
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note an outcome: of the call, or of a setup that failed."""
    if report.when == "call" or report.outcome != "passed":
        outcome = {"outcome": report.outcome, "seconds": round(report.duration, 2)}
        _note({"test": report.nodeid, **outcome, "why": _why(report)})


def _is_for(item: pytest.Item, backend: str) -> bool:
    values = getattr(item, "callspec", None)
    named = [
        value
        for value in (values.params.values() if values else ())
        if isinstance(value, str) and value in SETTINGS["backends"]
    ]
    if named:
        return backend in named
    others = [name.lower() for name in SETTINGS["backends"] if name != backend]
    if any(name in item.name.lower() for name in others):
        return False
    return f"'{backend}'" in inspect.getsource(item.function)


def _name(item: pytest.Item) -> str:
    """Of the test, whatever the backend is."""
    return item.nodeid.replace(SETTINGS["backend"], "*")


def _spread(items: list[pytest.Item], limit: int | None) -> list[pytest.Item]:
    """At most `limit` of them, from the first to the last."""
    if limit is None or len(items) <= limit:
        return items
    if limit == 1:
        return items[:1]
    return [items[round(i * (len(items) - 1) / (limit - 1))] for i in range(limit)]


def _seed(seed: int) -> None:
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].keras.utils.set_random_seed(seed)


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"longer than {SETTINGS['seconds']} s")


def _from_folder(url: str, filename: str) -> None:
    path = Path(SETTINGS["zoo"]) / url.partition("/main/")[2]
    Path(filename).write_bytes(path.read_bytes())


def _why(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    return " ".join(text.split())[:300]


def _note(line: dict[str, Any]) -> None:
    with NOTES.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _noted() -> list[dict[str, Any]]:
    if not NOTES.exists():
        return []
    return [json.loads(line) for line in NOTES.read_text(encoding="utf-8").splitlines()]
