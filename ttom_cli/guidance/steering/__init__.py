"""The ways to steer a guided step, one file each; they can be combined.

`params` (paper section 3.2) optimises an inserted LoRA, `latents` the noisy latents themselves, and `attention` adds a
bias to the scores of the attention, without any optimisation. Only `params` is the paper's.
"""

from .attention import Attention
from .latents import Latents
from .params import Params
from .way import Way

__all__ = ["Attention", "Latents", "Params", "Way"]
