"""How numbers are written in every report, terminal or HTML."""

from __future__ import annotations

from qfx_plugin.report.model import DemoReport, ExecutorAgreement, ModelResult

NOTHING = "–"


def percent(value: float) -> str:
    """`97.78 %`."""
    return f"{value:.2f} %"


def points(value: float | None) -> str:
    """Accuracy lost, in points: `0.22`, `−0.10` for a gain."""
    if value is None:
        return NOTHING
    rounded = round(value, 2) or 0.0
    return f"{rounded:.2f}".replace("-", "−")


def count(value: int) -> str:
    """`12,345`."""
    return f"{value:,}"


def seconds(value: float) -> str:
    """`0.42 s`, `12.3 s`, `3 min 05 s`."""
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s"


def size(bits: int) -> str:
    """`512 bit`, `12.3 kbit`, `1.23 Mbit`."""
    for unit, factor in (("Mbit", 1_000_000), ("kbit", 1_000)):
        if bits >= factor:
            return f"{bits / factor:.3g} {unit}"
    return f"{bits} bit"


def bits(model: ModelResult) -> str:
    """`8 / 8` (weights / activations), or `float`."""
    return "float" if model.is_float else f"{model.weight_bits} / {model.act_bits or NOTHING}"


def k_hot(model: ModelResult) -> str:
    """K, or nothing."""
    return NOTHING if model.k is None else str(model.k)


def agreement(entry: ExecutorAgreement) -> str:
    """`450 × 10 codes equal`, or what differs, or that nothing was compared."""
    if entry.compared == 0:
        return "not compared"
    if entry.differing:
        return f"{count(entry.differing)} of {count(entry.compared)} codes differ"
    return f"{count(entry.compared)} codes equal"


def verdict(report: DemoReport) -> str:
    """What was proven, what differs, and what was left out."""
    entries = [entry for model in report.models for entry in model.agreement]
    left_out = sum(entry.compared == 0 for entry in entries)
    if report.compared == 0:
        return "No executor was compared: nothing is proven."
    if report.differing:
        return f"{count(report.differing)} of {count(report.compared)} integer codes differ."
    if not report.proven:
        return "No executor was compared on some of the networks: these are not proven."
    names = dict.fromkeys(entry.executor for entry in entries if entry.compared)
    sentence = (
        f"{count(report.compared)} integer codes compared with the interpreter, 0 differ "
        f"({', '.join(names)})."
    )
    return sentence if not left_out else f"{sentence} Not compared: {left_out} of {len(entries)}."


def left_out(report: DemoReport) -> list[str]:
    """Why executors were not compared, or not on all, each reason once: `finn: not installed`."""
    reasons: dict[str, list[str]] = {}
    for model in report.models:
        for entry in model.agreement:
            if entry.compared == 0 or entry.note:
                reason = f"{entry.executor}: {entry.note or 'no reason was given'}"
                reasons.setdefault(reason, []).append(model.name)
    with_quantizers = sum(bool(model.agreement) for model in report.models)
    return [
        reason if len(names) == with_quantizers else f"{reason} ({', '.join(names)})"
        for reason, names in reasons.items()
    ]


def executors(report: DemoReport) -> list[str]:
    """Names of all executors of all models, in order of appearance."""
    return list(
        dict.fromkeys(entry.executor for model in report.models for entry in model.agreement)
    )


def groups(report: DemoReport) -> list[list[ModelResult]]:
    """Models in runs that each begin with a float row."""
    runs: list[list[ModelResult]] = []
    for model in report.models:
        if model.is_float or not runs:
            runs.append([])
        runs[-1].append(model)
    return runs


def stages(report: DemoReport) -> list[str]:
    """Names of all stages of all models, in order of appearance."""
    return list(dict.fromkeys(stage for model in report.models for stage in model.stages))
