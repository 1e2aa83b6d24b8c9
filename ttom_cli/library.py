"""The guide for a pipeline that is loaded already: what notebooks and servers use, and the commands as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .backbones import Backbone, family_of
from .catalog import card_like
from .config import GuideConfig, meant
from .errors import ModelError
from .files import parse_data
from .guidance.adapter import State
from .guidance.guide import Guide, OnIteration, attach
from .guidance.spans import phrase_spans
from .guidance.targets import Targets, gaussian_targets
from .layout import Layout, layout_from_json, read_layout


@contextmanager
def guided(
    pipe,
    layout: Layout | dict | str | Path,
    *,
    guide: GuideConfig | None = None,
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
    pipeline is like, and `settings` change fields of it (`blocks=(3,), mode="latents"`). `seed` is of the adapter. What
    was `stored` is begun with; with `optimise=False` it is used as it is. `targets` are made of the call without any.
    `on_iteration(step, iteration, loss)` is called in each iteration.

    Gives the `Guide`: its `losses`, and its `state()`, which is another's `stored`; None in mode off. Raises
    TTOMError for a pipeline or a setting that cannot be, and LayoutError for a phrase that the prompt has not.
    """
    backbone = backbone_of(pipe)
    if guide is None:
        card = card_like(type(pipe).__name__, dict(pipe.config), dict(backbone.denoiser(pipe).config))
        guide = card.guide_in(settings.get("mode", card.guide.mode))
    try:
        guide = replace(guide, **meant(settings))
    except TypeError:
        known = ", ".join(GuideConfig.__dataclass_fields__)
        raise ModelError(f"no settings of the guide: {', '.join(settings)}", f"known: {known}") from None
    if guide.mode == "off":
        yield None
        return
    if isinstance(layout, str) and layout.lstrip().startswith("{"):
        layout = parse_data(layout, "layout")
    if isinstance(layout, dict):
        layout = layout_from_json(layout)
    elif not isinstance(layout, Layout):
        layout = read_layout(Path(layout))
    targets = targets or _of_the_call(pipe, backbone, layout)
    with (
        attach(pipe, backbone, guide, seed=seed, stored=stored, optimise=optimise) as adapter,
        Guide(
            pipe, backbone, guide, targets, adapter=adapter, stored=stored, optimise=optimise, on_iteration=on_iteration
        ) as hooks,
    ):  # fmt: skip
        yield hooks


def backbone_of(pipe) -> Backbone:
    """Raises ModelError for a pipeline of an unknown family."""
    return family_of(type(pipe).__name__)


def targets_on(
    pipe, backbone: Backbone, layout: Layout, *, times: list[float], grid: tuple[int, int], max_length: int
) -> Targets:
    """The layout at the latent frames' times on a token grid (H, W). Raises LayoutError for a phrase not found."""
    spans = phrase_spans(layout, *backbone.tokens(pipe, layout.text, max_length))
    return gaussian_targets(layout, spans, times, grid)


def _of_the_call(pipe, backbone: Backbone, layout: Layout) -> Callable[[dict], Targets]:
    """The targets, once a call of the denoiser shows how large the video is and how many tokens the prompt has."""

    def made(kwargs: dict) -> Targets:
        frames, *grid = backbone.grid(backbone.denoiser(pipe), kwargs)
        return targets_on(
            pipe, backbone, layout, times=backbone.times_of(pipe, frames), grid=tuple(grid),
            max_length=kwargs["encoder_hidden_states"].shape[1],
        )  # fmt: skip

    return made
