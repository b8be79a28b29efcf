"""`reconstruct`: fixed point close to training with labels, without any; after MREM and BRECQ.

The network is cut where all of it goes through one tensor (behind an addition, a pool, or a module
of a given name). Each piece trains its weights and binary points to give what it would give with
all numbers in floating point, from the inputs that the quantized pieces before it really make
(arXiv 2109.15082, arXiv 2102.05426).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors.proxies import _QFXParameterProxy
from brevitas_quantizers.injectors.ranks import all_sum, rank_count
from brevitas_quantizers.prepare import parameter_groups
from brevitas_quantizers.progress import show_progress

from .inputs import Inputs
from .pieces import Piece, cut
from .rounding import LearnedRounding, learned_rounding
from .teacher import as_float, check_same, traced_network

Progress = Callable[[int, int, str, float], None]
"""Called after each step with (steps done, steps, name of the piece, its relative error)."""

_BATCH = 32
_SAVES = 10  # of a joint reconstruction
_ROUNDING_LR = 0.15  # of what decides a rounding, from -2.4 to 2.4
_PRESSURE = 0.03  # relative error that a layer's weights between codes count as


def reconstruct(
    model: nn.Module,
    float_model: nn.Module,
    loader: Iterable[Any],
    steps: int = 120,
    mode: Literal["sequential", "joint"] = "sequential",
    modules: Sequence[str] | None = None,
    *,
    rounding_steps: int = 0,
    lr: float = 2e-3,
    batch_size: int = _BATCH,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Train weights and binary points, piece by piece, on what the float network computes.

    No labels are needed: a few hundred inputs are enough. Call it after `calibrate`. Where
    `torch.distributed` is initialised, every rank calls with its share of the inputs, and
    gradients are averaged.

    Args:
        model: what `quantize` made of `float_model`, calibrated and not trained; changed in place.
        float_model: the float network.
        loader: batches, as `calibrate` takes them; all of them are kept in memory.
        steps: of training: for each piece, or in all if `mode` is "joint".
        mode: "sequential": one piece after the other, the best results; "joint": all at once, each
            on what the others give at that moment, in less time.
        modules: names of submodules behind which to cut (`["layer1", "layer2.0"]`); by default
            behind additions and pools.
        rounding_steps: further steps, counted as `steps`, in which each weight learns to round up
            or down (AdaRound, arXiv 2004.10568) while its binary points stay.
        lr: first learning rate of weights and biases, a tenth of that of binary points; falls as
            a cosine.
        batch_size: samples of a step.
        seed: of their order.
        checkpoint: file to save the pieces done in, and to go on from if it is there.
        progress: instead of the bar on a terminal.

    Returns:
        The model, in evaluation mode.

    Raises:
        OptionError: an option breaks its rule, or the two networks do not belong together.
        CalibrationError: the loader is empty, or `model` has not been calibrated.
    """
    if mode not in ("sequential", "joint"):
        raise OptionError(f"reconstruct: mode must be 'sequential' or 'joint', not {mode!r}")
    given = {"steps": (steps, 1), "rounding_steps": (rounding_steps, 0)}
    for name, (value, least) in (given | {"batch_size": (batch_size, 1)}).items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionError(f"reconstruct: {name} must be at least {least}, not {value!r}")
    network = traced_network("reconstruct", model)
    network.eval()
    samples = Inputs.of("reconstruct", network, loader)
    teacher = as_float(network)
    check_same("reconstruct", network, teacher, float_model, samples.rows(slice(0, batch_size)))
    pieces = cut(network, modules)
    schedule = Steps(steps, rounding_steps, lr, batch_size, seed)
    run = _Run(network, pieces, cut(teacher, modules), samples, schedule, progress or _bar)
    what = {"mode": mode, "steps": steps, "pieces": [piece.name for piece in pieces]}
    saved = _Saved(checkpoint, what | {"rounding_steps": rounding_steps})
    with _learning(network):
        (run.in_order if mode == "sequential" else run.jointly)(saved)
    return model


@dataclass(frozen=True)
class Steps:
    """How a piece trains.

    Attributes:
        steps: of training.
        rounding: steps in which weights learn their rounding.
        lr: first learning rate.
        batch_size: samples of a step.
        seed: of their order.
    """

    steps: int
    rounding: int
    lr: float
    batch_size: int
    seed: int


class _Saved:
    """The file that a reconstruction goes on from."""

    def __init__(self, path: str | Path | None, what: dict[str, Any]) -> None:
        self.path, self.what = None if path is None else Path(path), what

    def load(self) -> dict[str, Any] | None:
        """What was saved.

        Raises:
            OptionError: by another reconstruction.
        """
        if self.path is None or not self.path.exists():
            return None
        found: dict[str, Any] = torch.load(self.path, weights_only=True)
        for key, value in self.what.items():
            if (before := found.get(key, 0)) != value:
                raise OptionError(
                    f"reconstruct: checkpoint {self.path} was made with {key}={before!r}, "
                    f"not {value!r}; give another file"
                )
        return found

    def save(self, **state: Any) -> None:
        """Write it whole, or not at all."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.tmp")
        torch.save(self.what | state, beside)
        beside.replace(self.path)


class _Run:
    def __init__(
        self,
        model: fx.GraphModule,
        pieces: list[Piece],
        teachers: list[Piece],
        samples: Inputs,
        schedule: Steps,
        progress: Progress,
    ) -> None:
        self.model, self.pieces, self.teachers = model, pieces, teachers
        self.samples, self.schedule, self.progress = samples, schedule, progress

    def in_order(self, saved: _Saved) -> None:
        """One piece after the other."""
        state = saved.load() or {"done": 0}
        if state["done"]:
            self.model.load_state_dict(state["model"])
        student = teacher = self.samples
        batch, steps = self.schedule.batch_size, self.schedule.steps + self.schedule.rounding
        for place, (piece, float_piece) in enumerate(zip(self.pieces, self.teachers, strict=True)):
            teacher = teacher.through(float_piece.module, batch)
            if place >= state["done"]:
                train = _Training([piece], [teacher], self.schedule)
                for step, error in enumerate(self._steps(train, student), place * steps):
                    self.progress(step + 1, steps * len(self.pieces), piece.name, error)
                saved.save(done=place + 1, model=self.model.state_dict())
            student = student.through(piece.module, batch)

    def _steps(self, train: _Training, inputs: Inputs, done: int = 0) -> Iterator[float]:
        """Errors of the steps behind `done`, in which weights learn their rounding last."""
        for _ in range(done, self.schedule.steps):
            yield train.step(inputs)
        if self.schedule.rounding:
            with learned_rounding(*(piece.module for piece in train.pieces)) as roundings:
                train = _Training(train.pieces, train.targets, self.schedule, roundings)
                for _ in range(self.schedule.rounding):
                    yield train.step(inputs)

    def jointly(self, saved: _Saved) -> None:
        """All pieces in each step, none of them answerable for what comes after it."""
        targets, teacher = [], self.samples
        for float_piece in self.teachers:
            teacher = teacher.through(float_piece.module, self.schedule.batch_size)
            targets.append(teacher)
        train, steps = _Training(self.pieces, targets, self.schedule), self.schedule.steps
        done, total = 0, steps + self.schedule.rounding
        if (state := saved.load()) is not None:
            self.model.load_state_dict(state["model"])
            train.load(state["training"])
            done = state["done"]
        for step, error in enumerate(self._steps(train, self.samples, done), done + 1):
            self.progress(step, total, "all", error)
            if step == steps or step < steps and step % max(1, steps // _SAVES) == 0:
                saved.save(done=step, model=self.model.state_dict(), training=train.state())


class _Training:
    """Adam with a cosine on some pieces that follow each other."""

    def __init__(
        self,
        pieces: list[Piece],
        targets: list[Inputs],
        schedule: Steps,
        roundings: Sequence[LearnedRounding] = (),
    ) -> None:
        self.pieces, self.targets, self.schedule = pieces, targets, schedule
        self.roundings, self.done = roundings, 0
        self.steps = schedule.rounding if roundings else schedule.steps
        trained = nn.ModuleList([piece.module for piece in pieces])
        held = {id(parameter) for rounding in roundings for parameter in rounding.held}
        groups = parameter_groups(trained, schedule.lr)
        for group in groups:
            group["params"] = [p for p in group["params"] if id(p) not in held]
        groups.append({"params": [r.logits for r in roundings], "lr": _ROUNDING_LR})
        groups = [group for group in groups if group["params"]]
        self.parameters = [p for g in groups for p in g["params"]]
        self.optimizer = torch.optim.Adam(groups) if groups else None
        self.scheduler = self.optimizer and torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, self.steps
        )
        self.generator = torch.Generator().manual_seed(schedule.seed)
        self.scales = [[_spread(v) for v in target.values] for target in targets]

    def step(self, inputs: Inputs) -> float:
        """One step; returns the mean relative error of the pieces before it."""
        index = torch.randint(
            0, inputs.count, (self.schedule.batch_size,), generator=self.generator
        )
        values, losses = inputs.rows(index), []
        for piece, target, scales in zip(self.pieces, self.targets, self.scales, strict=True):
            results = tree_leaves(piece.module(*values))
            for result, wanted, scale in zip(results, target.rows(index), scales, strict=True):
                losses.append((result - wanted).square().mean() / scale)
            values = tuple(result.detach() for result in results)
        loss = error = torch.stack(losses).sum()
        self.done += 1
        for rounding in self.roundings:
            loss = loss + _PRESSURE * rounding.pressure(self.done / self.steps)
        if self.optimizer is not None and self.scheduler is not None and loss.requires_grad:
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call] # of torch
            self._average()
            self.optimizer.step()
            self.scheduler.step()
        return float(error.detach()) / len(losses)

    def _average(self) -> None:
        if rank_count() > 1:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad.copy_(all_sum(parameter.grad) / rank_count())

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on."""
        assert self.optimizer is not None and self.scheduler is not None
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        assert self.optimizer is not None and self.scheduler is not None
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.generator.set_state(state["generator"])


def _spread(values: Tensor) -> Tensor:
    """Mean square, never 0."""
    return values.double().square().mean().clamp(min=1e-12).to(values.dtype)


class _learning:  # noqa: N801 - a context manager
    """Quantizers of parameters train, all else stays as in evaluation."""

    def __init__(self, model: nn.Module) -> None:
        self.proxies = [m for m in model.modules() if isinstance(m, _QFXParameterProxy)]

    def __enter__(self) -> None:
        for proxy in self.proxies:
            proxy.train()

    def __exit__(self, *_: object) -> None:
        for proxy in self.proxies:
            proxy.eval()


def _bar(done: int, steps: int, piece: str, error: float) -> None:
    show_progress(done, steps, f"{piece:.32} error {100 * error:.2f} %")
