"""Test-time optimisation as a hook on an unmodified pipeline's denoiser (paper section 3.2).

Letters: B batch, L video tokens, T phrase tokens, P phrases, F x H x W the token grid.

In float16 the loss is scaled for the backward pass, for most of its gradients are too small for these numbers.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from contextlib import ExitStack, nullcontext

import torch

from ..backbones import Backbone
from ..config import GuideConfig
from ..errors import ModelError, VideoError
from .adapter import Adapter, Folded, State, check_fit
from .losses import alignment_loss
from .steering import Attention, Latents, Params, Way
from .steering.latents import MOVE
from .steering.params import adamw
from .tap import Tap, Truncated, phrase_attention
from .targets import Targets
from .thrift import Thrift, restore

FLOAT16_SCALE = 2.0**20  # less, by halves, where gradients overflow
OnIteration = Callable[[int, int, float], None]


class Guide:
    """While `with Guide(...)` is open, a call of the pipeline is guided towards `targets`.

    Before each of the first `guided_steps` denoising steps, the conditional forward is run
    `config.iterations` times up to the last aligned block, and the loss between its attention and the
    targets descends on the adapter's parameters, on the latents, or on both. With `optimise=False` what was
    `stored` is used as it is (a memory hit that skips). `adapter` is entered and left by the caller.

    Targets that depend on the call are a function of the arguments of its first conditional call of the denoiser.

    `losses[step]` lists the loss of each iteration; `latents` are the last that the scheduler returned.
    `on_conditional(step, kwargs)` sees each conditional call before it is made.
    """

    def __init__(
        self,
        pipe,
        backbone: Backbone,
        config: GuideConfig,
        targets: Targets | Callable[[dict], Targets],
        *,
        adapter: Adapter | Folded | None,
        stored: State | None = None,
        optimise: bool = True,
        on_iteration: OnIteration | None = None,
        on_conditional: Callable[[int, dict], None] | None = None,
        truncate: bool = True,
    ):
        self.pipe, self.backbone, self.config, self.targets = pipe, backbone, config, targets
        self.adapter, self.on_iteration = adapter, on_iteration
        self.on_conditional, self.truncate = on_conditional, truncate
        self.denoiser = backbone.denoiser(pipe)
        self.modules = {b: backbone.text_attention(self.denoiser, b) for b in config.blocks}
        self.thrift = Thrift(backbone, self.denoiser, config, self.modules)
        self.losses: list[list[float]] = []
        self.latents: torch.Tensor | None = None
        self.conditional: dict | None = None  # the keyword arguments of the last conditional call
        self._step, self._stepped = -1, 0  # the denoiser's step, and how many the scheduler has done
        self._inside = False
        self.ways = self._ways(stored, optimise)
        self._scale = FLOAT16_SCALE if _dtype(self.denoiser) == torch.float16 else 1.0

    def __enter__(self):
        self._forward = self.denoiser.forward
        self._own_forward = vars(self.denoiser).get("forward")  # an offloading hook's, perhaps
        self.denoiser.forward = self._call
        step = self._scheduler_step = self.pipe.scheduler.step

        @functools.wraps(step)  # pipelines look into its signature
        def after(*args, **kwargs):
            return self._after(inspect.signature(step).bind(*args, **kwargs))

        set_timesteps = self.pipe.scheduler.set_timesteps

        @functools.wraps(set_timesteps)
        def begin(*args, **kwargs):
            self._step, self._stepped = -1, 0
            for way in self.ways:
                way.reset()
            return set_timesteps(*args, **kwargs)

        self.pipe.scheduler.step, self.pipe.scheduler.set_timesteps = after, begin
        return self

    def __exit__(self, *exc):
        restore(self.denoiser, self._own_forward)
        # The instance's attributes; the class's methods are seen again.
        del self.pipe.scheduler.step, self.pipe.scheduler.set_timesteps

    def _ways(self, stored: State | None, optimise: bool) -> list[Way]:
        """Those of the mode, as far as there is something to do; without `optimise`, only what needs no gradients."""
        config, ways = self.config, []
        if "attention" in config.ways:
            ways.append(Attention(self.denoiser, self.backbone, config, lambda: self.targets))
        if "latents" in config.ways and (optimise or stored):
            ways.append(Latents(self.pipe, self.backbone, config, stored=stored, optimise=optimise))
        if self.adapter:
            ways.append(Params(self.adapter, config, optimise=optimise))
        return ways

    def state(self) -> State:
        """What the ways learnt, to be another guide's `stored`: a LoRA, moves of the latents, or both."""
        return {name: tensor for way in self.ways for name, tensor in way.state().items()}

    @property
    def guided_steps(self) -> int:
        """Of the call that has begun."""
        return self.config.guided_of(len(self.pipe.scheduler.timesteps))

    # ------------------------------------------------------------ the two hooks

    def _call(self, *args, **kwargs):
        """In place of the denoiser's forward: optimise on the conditional branch, then switch the adapter."""
        if self._inside:
            return self._forward(*args, **kwargs)
        new_step, self._step = self._step != self._stepped, self._stepped
        branches = self.backbone.branches(self.pipe, kwargs, new_step=new_step)
        guided = self._step < self.guided_steps
        for conditional, part in branches:
            if conditional:
                self._conditional(part, guided)
        calls = [
            (tuple(way.acts(conditional=conditional, guided=guided) for way in self.ways), part)
            for conditional, part in branches
        ]
        if len({acting for acting, _ in calls}) == 1:
            calls = [(calls[0][0], kwargs)]  # nothing tells the branches apart: one call, as it was
        outputs = []
        for acting, part in calls:
            with ExitStack() as steered:
                for way, on in zip(self.ways, acting, strict=True):
                    part = steered.enter_context(way.applied(on, part))
                outputs.append(self._forward(*args, **part))
        return outputs[0] if len(outputs) == 1 else _joined(outputs)

    def _conditional(self, kwargs: dict, guided: bool) -> None:
        if callable(self.targets):
            self.targets = self.targets(kwargs)
        if self.on_conditional:
            self.on_conditional(self._step, kwargs)
        if guided:
            self.conditional = kwargs
            for way in self.ways:
                way.begin(self._step, kwargs)
            if any(way.learns for way in self.ways):
                self._optimise_step(kwargs)
            for way in self.ways:
                way.end()

    def _after(self, call: inspect.BoundArguments):
        """The scheduler's step, from the latents as they were moved, which ends the move."""
        self._stepped += 1
        for way in self.ways:
            call.arguments["sample"] = way.scheduled(call.arguments["sample"])
        output = self._scheduler_step(*call.args, **call.kwargs)
        self.latents = output[0] if isinstance(output, tuple) else output.prev_sample
        return output

    # ------------------------------------------------------------ optimisation

    @torch.enable_grad()
    def _optimise_step(self, kwargs: dict) -> None:
        config = self.config
        self.losses.append([])
        with self.thrift.prefix_kept(), self.thrift.checkpointed():
            for iteration in range(config.iterations):
                tried = kwargs
                for way in self.ways:
                    tried = way.tried(tried)
                loss = self.backward(tried, stop=config.stop_loss)
                self.losses[-1].append(loss)
                if self.on_iteration:
                    self.on_iteration(self._step, iteration, loss)
                if loss < config.stop_loss:
                    break
                for way in self.ways:
                    way.descend()

    def backward(self, kwargs: dict, *, stop: float = 0.0) -> float:
        """The loss of one conditional call, its gradients left on what the ways to steer want them for.

        No gradients below `stop`. Raises VideoError where the loss or a gradient is not finite.
        """
        leaves = [leaf for way in self.ways for leaf in way.leaves()]
        while True:
            loss = self.loss(kwargs)
            value = loss.item()
            if not math.isfinite(value):
                raise self._not_finite("the loss")
            if value < stop:
                return value
            (loss * self._scale).backward()
            gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
            if torch.nn.utils.get_total_norm(gradients).isfinite():
                for gradient in gradients:
                    if gradient.dtype == torch.float32:  # in fewer bits it would be lost; its direction is enough
                        gradient /= self._scale
                return value
            if self._scale <= 1:
                raise self._not_finite("a gradient")
            self._scale /= 2
            for leaf in leaves:
                leaf.grad = None

    def _not_finite(self, what: str) -> VideoError:
        """The likely cause, and what helps against it."""
        where = f"{what} is not finite in guided step {self._step + 1}"
        if not any(self.losses):  # no iteration has been made
            return VideoError(
                f"{where}: the model's own numbers are not finite", "try --dtype bfloat16 or float32; check its weights"
            )
        if self._scale != 1:
            return VideoError(f"{where}: it is too large for float16", "use --dtype bfloat16")
        name = "latent-lr" if self.config.mode == "latents" else "lr"
        rate = self.config.latent_lr if self.config.mode == "latents" else self.config.lr
        return VideoError(f"{where}: the optimisation ran away at a learning rate of {rate:g}", f"lower --{name}")

    def loss(self, kwargs: dict) -> torch.Tensor:
        """Loss of one conditional call, mean over blocks and batch; the forward ends when all is read."""
        grid = self.backbone.grid(self.denoiser, kwargs)
        maps_BPFHW = torch.cat(list(self.attention(kwargs).values())).unflatten(-1, grid)
        self.targets = self.targets.to(maps_BPFHW.device)
        return alignment_loss(maps_BPFHW, self.targets, self.config.loss)

    def attention(self, kwargs: dict, *, heads: bool = False) -> dict[int, torch.Tensor]:
        """Attention of the video tokens on each phrase, mean over its tokens: {block: (B, P, L)}.

        With `heads` that of each head: {block: (B, N, P, L)}.
        """
        sizes = [len(span) for span in self.targets.phrases]
        maps: dict[int, torch.Tensor] = {}

        def read(block, query, key, mask):
            keys = self.backbone.key_columns(self.targets.columns.to(key.device), key.shape[2], kwargs)
            rows = self.backbone.video_rows(key.shape[2], kwargs)
            if mask is not None and mask.shape[2] > 1:
                mask = mask[:, :, rows][:, :, :1]  # all of the video's queries see the same keys
            maps[block] = phrase_attention(query[:, :, rows], key, keys.split(sizes), mask, heads=heads)

        self._inside = True
        self.thrift.forwards += 1
        try:
            with Tap(self.modules, read, which=self.backbone.which, truncate=self.truncate):
                self.denoiser(**kwargs)
        except Truncated:
            pass
        finally:
            self._inside = False
        if len(maps) < len(self.modules):
            raise ModelError(
                f"no attention was seen in blocks {sorted(set(self.modules) - set(maps))}",
                "the tap needs the native attention backend",
            )
        return maps

    # ------------------------------------------------------------ consolidation

    @torch.enable_grad()
    def consolidate(self, iterations: int, *, seed: int, on_iteration: OnIteration | None = None) -> list[float]:
        """Train the adapter on, around the video's own latents, so that it holds for any noise.

        Each iteration draws `consolidate_batch` noises and guided noise levels, noises the final
        latents, and descends the same loss, at a learning rate that falls from twice `config.lr` to zero.
        Returns the losses. Without it, parameters optimised along one noise do not carry over to another.
        """
        config, scheduler = self.config, self.pipe.scheduler
        generator = torch.Generator().manual_seed(seed)
        timesteps = scheduler.timesteps[: self.guided_steps]
        optimizer = adamw(self.adapter, config)
        clean = self.latents.to(self.conditional["hidden_states"].dtype)
        clean = clean.expand(config.consolidate_batch, *clean.shape[1:])
        losses = []
        self.adapter.switch(True)
        with self.thrift.checkpointed():
            for i in range(iterations):
                chosen = timesteps[torch.randint(len(timesteps), (len(clean),), generator=generator)]
                noise = torch.randn(clean.shape, generator=generator).to(clean)
                noisy = self.backbone.add_noise(self.pipe, clean, noise, chosen)
                losses.append(self.backward(self.backbone.batched(self.denoiser, self.conditional, noisy, chosen)))
                optimizer.param_groups[0]["lr"] = 2 * config.lr * (1 - i / iterations)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                if on_iteration:
                    on_iteration(0, i, losses[-1])
        return losses


def _dtype(denoiser: torch.nn.Module) -> torch.dtype:
    return next(p.dtype for p in denoiser.parameters() if p.is_floating_point())


def _joined(outputs: list):
    """The branches' outputs as of one call: tuples, or diffusers' output of one tensor."""
    if isinstance(outputs[0], tuple):
        return tuple(map(torch.cat, zip(*outputs, strict=True)))
    return type(outputs[0])(sample=torch.cat([output.sample for output in outputs]))


def attach(pipe, backbone: Backbone, config: GuideConfig, *, seed: int, stored: State | None = None, optimise=True):
    """The adapter that `config` asks for, not yet entered; a null context where it needs none.

    It starts as the `stored` one, if given; with `optimise` off, and on a CPU, where it would slow the forwards, it
    is folded into the weights. Raises BankError where the stored one does not fit.
    """
    if "params" not in config.ways:
        return nullcontext()
    denoiser = backbone.denoiser(pipe)
    targets = backbone.lora_targets(denoiser, config)
    lora = {name: tensor for name, tensor in (stored or {}).items() if not name.startswith(MOVE)}
    if stored:
        check_fit(denoiser, targets, config.rank, lora)
        if not optimise and _foldable(pipe, denoiser, targets):
            return Folded(denoiser, targets, lora)
    return Adapter(denoiser, targets, rank=config.rank, seed=seed, stored=lora)


def _foldable(pipe, denoiser, targets: list[str]) -> bool:
    """Not where a GPU is: weights are offloaded there, and a LoRA costs next to nothing."""
    weights = [denoiser.get_submodule(name).weight for name in targets]
    return pipe._execution_device.type == "cpu" and all(w.dtype == torch.float32 for w in weights)
