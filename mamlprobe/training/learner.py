"""What changes in a training: parameters, optimizer, running moments, and the sums of the log."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import from_dict
from mamlprobe.learn.outer import Readings
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Outer
from mamlprobe.nets.net import Moments, Net, Params
from mamlprobe.nets.params import head_names

MOMENTUM = 0.1
"""Weight of the newest batch in the running moments, as in ``nn.BatchNorm``."""

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}

STATES = {"adam": ("step", "exp_avg", "exp_avg_sq"), "sgd": ()}
"""What each optimizer keeps of a parameter once it has taken a step."""

ADVICE = "delete that checkpoint: the training goes on from the one before"


class Learner:
    """Theta and its optimizer, which writes into the learner's own copies of the tensors."""

    def __init__(self, net: Net, theta: Theta, method: Method, *, capturable: bool = False) -> None:
        copy = theta.map_tensors(_copy)
        self.theta = copy
        """The live tensors: they change with the next step."""
        self.outer: Outer = method.outer
        self.zeroed = head_names(net) if method.head == "zero_each_update" else ()
        self.leaves: Params = copy.learned
        leaves = list(self.leaves.values())
        how: dict[str, Any] = {"lr": method.outer.lr}
        if leaves and all(leaf.is_cuda and leaf.is_floating_point() for leaf in leaves):
            how["fused"] = True  # all parameters in one launch
        self.optimizer = OPTIMIZERS[method.outer.optimizer](leaves, **how)
        for group in self.optimizer.param_groups:
            if "capturable" in group:  # then the step counter is on the device, where a CUDA graph can change it
                group["capturable"] = capturable

    def step(self, gradients: Params, moments: Moments, *, lr: float | None = None) -> None:
        """Take one update: clamp gradients, step the optimizer, zero the head if the method says so, average moments.

        `lr` is the rate from here on, if it changes.
        """
        if lr is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
        for name, leaf in self.leaves.items():
            gradient = gradients[name]
            gradient = gradient if self.outer.clip is None else gradient.clamp(-self.outer.clip, self.outer.clip)
            leaf.grad = gradient.contiguous()
        with _on_cpu():
            self.optimizer.step()
        for name in self.zeroed:
            self.leaves[name].zero_()
        for name, seen in moments.items():
            self.theta.moments[name].lerp_(seen, MOMENTUM)

    def snapshot(self) -> Theta:
        """Return a copy of theta as it is now."""
        return self.theta.map_tensors(_copy)

    def optimizer_state(self) -> Params:
        """Return the optimizer's tensors, ``<parameter>.<quantity>``."""
        names = list(self.leaves)
        states = self.optimizer.state_dict()["state"]
        return {
            f"{names[index]}.{word}": value
            for index, state in states.items()
            for word, value in state.items()
            if isinstance(value, Tensor)
        }

    def restore(self, tensors: Params) -> None:
        """Load the tensors of `optimizer_state`.

        Raises:
            UserError: they are not all, or others.
        """
        wanted = {f"{name}.{word}" for name in self.leaves for word in STATES[self.outer.optimizer]}
        odd = sorted(wanted ^ tensors.keys()) if tensors else []
        if odd:
            must = f"the checkpoint must hold the whole state of {self.outer.optimizer}"
            raise UserError("train", must, f"a difference in {odd[0]!r}", ADVICE)
        places = {name: index for index, name in enumerate(self.leaves)}
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            parameter, _, word = name.rpartition(".")
            states.setdefault(places[parameter], {})[word] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})


def _on_cpu() -> AbstractContextManager[object]:
    """Make tensors without a device on the CPU inside: the optimizer's step counter is such a tensor."""
    return nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")


def _copy(value: Tensor) -> Tensor:
    return value.detach().clone()


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """The fields of a tally's state."""

    updates: int
    loss: str
    accuracy: str


class Tally:
    """Sums of training loss and accuracy since the last point of the log, in float64, in the order of updates."""

    def __init__(self, state: object = None) -> None:
        """Begin at zero, or with the sums of `state`.

        Raises:
            UserError: something else than what `state` returns.
        """
        self.updates, self.loss, self.accuracy = 0, 0.0, 0.0
        self.pending: list[tuple[Tensor, Tensor]] = []
        if state is not None:
            sums = from_dict(_Sums, state, "tally of the checkpoint")
            self.updates = sums.updates
            try:
                self.loss, self.accuracy = float.fromhex(sums.loss), float.fromhex(sums.accuracy)
            except (ValueError, OverflowError) as error:
                raise UserError("train", "the sums in the checkpoint must be numbers", error, ADVICE) from None

    def add(self, readings: Readings) -> None:
        """Take the readings of one update without waiting for the device."""
        self.pending.append((readings.loss, readings.accuracy))

    def read(self) -> int | None:
        """Add what is pending; return how many updates ago a loss was not finite, 1 for the last, else None."""
        if not self.pending:
            return None
        losses, accuracies = (torch.stack(column).tolist() for column in zip(*self.pending, strict=True))
        self.pending.clear()
        for place, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True)):
            if not math.isfinite(loss):
                return len(losses) - place
            self.loss += loss
            self.accuracy += accuracy
            self.updates += 1
        return None

    def means(self) -> dict[str, float]:
        """Return mean loss and accuracy; the loss alone if targets are real numbers."""
        sums = {"loss": self.loss, "accuracy": self.accuracy}
        return {name: value / self.updates for name, value in sums.items() if not math.isnan(value)}

    def state(self) -> dict[str, Any]:
        """Return the sums to the last bit, as JSON values."""
        return {"updates": self.updates, "loss": self.loss.hex(), "accuracy": self.accuracy.hex()}
