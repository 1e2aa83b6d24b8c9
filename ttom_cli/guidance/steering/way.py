"""What the guide asks of a way to steer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


class Way:
    """One way to steer; by itself it does nothing.

    In each guided step the guide calls `begin`, then, where one of the ways `learns`, for each iteration `tried`, a
    backward pass, and `descend`, then `end`. Each real call of the denoiser is made within `applied`.
    """

    learns = False
    """Whether it descends the loss between the attention and the targets."""

    def reset(self) -> None:
        """A call of the pipeline begins."""

    def leaves(self) -> list[torch.Tensor]:
        """What gets gradients in an iteration."""
        return []

    def begin(self, step: int, kwargs: dict) -> None:
        """A guided step, with the arguments of its conditional call."""

    def tried(self, kwargs: dict) -> dict:
        """The arguments of the conditional call whose loss is taken, with what wants gradients in them."""
        return kwargs

    def descend(self) -> None:
        """Take a step down the gradients."""

    def end(self) -> None:
        """The iterations of the step are done."""

    def state(self) -> dict[str, torch.Tensor]:
        """What it learnt, for another video to begin with."""
        return {}

    def acts(self, *, conditional: bool, guided: bool) -> bool:
        """Whether it changes this branch of a step, so that the branches must be called apart."""
        return False

    def applied(self, acting: bool, kwargs: dict) -> AbstractContextManager[dict]:
        """Within it the call is steered, if it is `acting` on the branch; gives the call's arguments."""
        return nullcontext(kwargs)

    def scheduled(self, sample: torch.Tensor) -> torch.Tensor:
        """The latents that the scheduler steps from, in place of those that the pipeline gave it; ends the step."""
        return sample
