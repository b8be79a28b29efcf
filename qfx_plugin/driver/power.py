"""Power that the board measures: rails that PYNQ knows, or the kernel's hwmon sensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import NoPowerSensor

HWMON = Path("/sys/class/hwmon")
MICRO = 1e-6


def rail_watts(rails: dict[str, Any]) -> dict[str, float]:
    """Power of PYNQ's rails in W: the power sensor, else voltage times current.

    Args:
        rails: what `pynq.get_rails()` returns.
    """
    found = {}
    for name, rail in rails.items():
        if rail.power is not None:
            found[name] = float(rail.power.value)
        elif rail.voltage is not None and rail.current is not None:
            found[name] = float(rail.voltage.value) * float(rail.current.value)
    return found


def hwmon_watts(folder: Path = HWMON) -> dict[str, float]:
    """Power of the kernel's sensors (INA226, PMBus, ...) in W; empty without any.

    Source: the kernel's `Documentation/hwmon/sysfs-interface`: power in microwatts, beside it a
    label.
    """
    found = {}
    for path in sorted(folder.glob("hwmon*/power*_input")):
        chip = _text(path.with_name("name")) or path.parent.name
        label = _text(path.with_name(path.name.replace("_input", "_label")))
        value = _text(path)
        if value.lstrip("-").isdigit():
            found[f"{chip} {label}".strip()] = int(value) * MICRO
    return found


def measured(rails: dict[str, Any], folder: Path = HWMON) -> dict[str, float]:
    """Power of each rail in W, from PYNQ if it knows rails, else from the kernel.

    Raises:
        NoPowerSensor: there is neither.
    """
    found = rail_watts(rails) or hwmon_watts(folder)
    if not found:
        raise NoPowerSensor(
            f"this board measures no power: PYNQ knows no rails, and {folder} has no power sensor"
        )
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
