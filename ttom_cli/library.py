"""The guide for a pipeline that is loaded already: what notebooks and servers use, and the commands as well."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .backbones import Backbone, family_of
from .catalog import card_like
from .config import GuideConfig, meant
from .errors import TTOMError, unknown
from .files import parse_data
from .guidance.adapter import State
from .guidance.guide import Guide, OnIteration, attach
from .guidance.spans import phrase_spans
from .guidance.targets import Targets, gaussian_targets
from .layout import Layout, layout_from_json, read_layout
from .options import options_of
from .text import plain


@contextmanager
def guided(
    pipe,
    layout: Layout | dict | str | Path,
    *,
    guide: GuideConfig | str | None = None,
    seed: int = 0,
    stored: State | None = None,
    optimise: bool = True,
    targets: Targets | None = None,
    on_iteration: OnIteration | None = None,
    **settings,
) -> Iterator[Guide | None]:
    """Within it a call of a diffusers pipeline puts the objects of `layout` into their places; it leaves no trace.

    Call the pipeline as always, with the layout's `text` as the prompt; a second call goes on with what the first
    learnt. `layout` is one, or its JSON (a dict or text), or its file; `guide` is the one of the listed model that the
    pipeline is like, or a way to steer by it (`guide="latents"`), and `settings` change fields of it, by their names or
    those of the options (`blocks=(3,), guided_steps=5`). `seed` is of the adapter. What
    was `stored` is begun with; with `optimise=False` it is used as it is. `targets` are made of the call without any.
    `on_iteration(step, iteration, loss)` is called in each iteration.

    Gives the `Guide`: its `losses`, and its `state()`, which is another's `stored`; None in mode off. Raises
    TTOMError for a pipeline or a setting that cannot be, and in the call for another prompt than the layout's, and
    LayoutError for a phrase that the prompt has not.
    """
    backbone = backbone_of(pipe)
    settings = _fields(settings)
    if isinstance(guide, str):
        guide, settings = None, settings | {"mode": guide}
    if guide is None:
        card = card_like(type(pipe).__name__, dict(pipe.config), dict(backbone.denoiser(pipe).config))
        guide = card.guide_in(settings.get("mode", card.guide.mode))
    guide = replace(guide, **meant(settings))
    if guide.mode == "off":
        yield None
        return
    if isinstance(layout, str) and layout.lstrip().startswith("{"):
        layout = parse_data(layout, "layout")
    if isinstance(layout, dict):
        layout = layout_from_json(layout)
    elif not isinstance(layout, Layout):
        layout = read_layout(Path(layout))
    with (
        _prompts_of(pipe) as prompts,
        attach(pipe, backbone, guide, seed=seed, stored=stored, optimise=optimise) as adapter,
        Guide(
            pipe, backbone, guide, targets or _of_the_call(pipe, backbone, layout, prompts), adapter=adapter,
            stored=stored, optimise=optimise, on_iteration=on_iteration,
        ) as hooks,
    ):  # fmt: skip
        yield hooks


def _fields(settings: dict) -> dict:
    """Settings of the guide by its fields' names. Raises TTOMError for a name that is none."""
    known = {option.name.replace("-", "_"): option.field for option in options_of(GuideConfig)}
    known = {name: field for name, field in known.items() if name not in GuideConfig.__dataclass_fields__}
    fields = {known.get(name, name): value for name, value in settings.items()}
    if wrong := next((name for name in fields if name not in GuideConfig.__dataclass_fields__), ""):
        names = [*GuideConfig.__dataclass_fields__, *known]
        raise unknown("setting of the guide", wrong, names, f"known: {', '.join(names)}")
    return fields


@contextmanager
def _prompts_of(pipe) -> Iterator[list[str]]:
    """The prompts that the pipeline encodes within it."""
    encode, own, prompts = pipe.encode_prompt, vars(pipe).get("encode_prompt"), []

    @functools.wraps(encode)
    def encoded(*args, **kwargs):
        given = inspect.signature(encode).bind_partial(*args, **kwargs).arguments.get("prompt")
        prompts.extend([given] if isinstance(given, str) else given or ())
        return encode(*args, **kwargs)

    pipe.encode_prompt = encoded
    try:
        yield prompts
    finally:
        del pipe.encode_prompt  # the class's is seen again
        if own is not None:
            pipe.encode_prompt = own


def backbone_of(pipe) -> Backbone:
    """Raises ModelError for a pipeline of an unknown family."""
    return family_of(type(pipe).__name__)


def targets_on(
    pipe, backbone: Backbone, layout: Layout, *, times: list[float], grid: tuple[int, int], max_length: int
) -> Targets:
    """The layout at the latent frames' times on a token grid (H, W). Raises LayoutError for a phrase not found."""
    spans = phrase_spans(layout, *backbone.tokens(pipe, layout.text, max_length))
    return gaussian_targets(layout, spans, times, grid)


def _of_the_call(pipe, backbone: Backbone, layout: Layout, prompts: list[str]) -> Callable[[dict], Targets]:
    """The targets, once a call of the denoiser shows how large the video is and how many tokens the prompt has."""

    def made(kwargs: dict) -> Targets:
        if prompts and plain(layout.text) not in map(plain, prompts):
            raise TTOMError(
                f"the pipeline's prompt is {prompts[0][:80]!r}, the layout's is {layout.text[:80]!r}",
                "call it with the layout's, or make a layout of that prompt",
            )
        frames, *grid = backbone.grid(backbone.denoiser(pipe), kwargs)
        return targets_on(
            pipe, backbone, layout, times=backbone.times_of(pipe, frames), grid=tuple(grid),
            max_length=kwargs["encoder_hidden_states"].shape[1],
        )  # fmt: skip

    return made
