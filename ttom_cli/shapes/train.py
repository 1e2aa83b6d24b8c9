"""Train an embedded model from nothing: `python -m ttom_cli.shapes.train --out runs/shapes`.

Three stages, each resumed from its checkpoint when run again: the VAE on rendered clips; the text encoder
and the denoiser together, by flow matching on the VAE's latents; and the VAE's decoder alone, for sharper
frames from the same latents. Each stage leaves a loss curve and a sample sheet in the output folder; the
last two write the diffusers folder `model/`. The denoiser's may run in several processes, which share each batch
among them: `torchrun --nproc-per-node 2 -m ttom_cli.shapes.train ...`.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import os
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from . import networks
from .captions import caption, caption_and_spans
from .sheet import loss_curve, video_sheet
from .world import COLORS, MANY, SHAPES, SIZE, Plans, Scene, held_out, render, sample_scene

STAGES = ("vae", "denoiser", "decoder", "all")
CROP = 32  # pixels a side of the clips, full of edges, that the VAE learns from before whole videos
MUON_LR = 1.5e-3
BINDING = 0.2  # weight of the loss that teaches the text encoder which colour goes with which noun
BIAS_LR = 4e-2  # of the encoder's position biases: at the others' rate it stays a bag of words
LEVELS = 20  # of noise, for which the usual loss is kept
TYPICAL = 0.05  # the loss that evened ones are brought to, so that the binding weighs as beside a plain one
EARLY = 0.3  # of the denoiser's steps: with the first of its two shares of scenes of one kind
# The denoiser's scenes: four kinds of things as well, and now and then one that passes before another.
POOL_PLANS: Plans = {(1,): 0.25, (1, 1): 0.38, (1, 1, 1): 0.1, (1, 1, 1, 1): 0.05, (MANY,): 0.16, (2, 1): 0.06}
POOL_CROSSING = 0.12
DENSE = 0.3  # share of full captions in the first part of the denoiser's training
LOOKS = [(color, shape) for color in COLORS for shape in SHAPES]
app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Checkpoints, curves, sheets and the finished model.")],
    family: Annotated[str, typer.Option(help="wan or cogvideox")] = "wan",
    stage: Annotated[str, typer.Option(help="vae, denoiser, decoder or all")] = "all",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    vae_steps: int = 6000,
    steps: int = 16000,
    decoder_steps: int = 3000,
    batch: int = 16,
    pool: Annotated[int, typer.Option(help="Scenes encoded once for the denoiser.")] = 18000,
    seed: int = 0,
    compile: Annotated[bool, typer.Option(help="torch.compile the denoiser.")] = False,
    start_from: Annotated[Path | None, typer.Option(help="Begin with the weights of this model folder.")] = None,
) -> None:
    """Train a shapes model and save it in diffusers' folder layout."""
    for name, value, known in (("family", family, networks.FAMILIES), ("stage", stage, STAGES)):
        if value not in known:
            raise typer.BadParameter(f"--{name} must be one of {', '.join(known)}, not {value!r}")
    kind = networks.FAMILIES[family]()
    torch.set_flush_denormal(True)
    out.mkdir(parents=True, exist_ok=True)
    if start_from:
        _begin_with(out, start_from)
    if stage in ("vae", "all"):
        train_vae(out, kind, steps=vae_steps, device=device, seed=seed)
    if stage in ("denoiser", "all"):
        train_denoiser(out, kind, steps=steps, batch=batch, pool=pool, device=device, seed=seed, compiled=compile)
    if stage in ("decoder", "all"):
        train_decoder(out, kind, steps=decoder_steps, device=device, seed=seed)


def _begin_with(out: Path, folder: Path) -> None:
    """Write checkpoints at step 0 with the weights of a finished model, where `out` has none yet."""
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(folder)
    vae = pipe.vae.state_dict()
    both = torch.nn.ModuleDict(dict(transformer=pipe.transformer, encoder=pipe.text_encoder)).state_dict()
    for name, weights in (("vae.pt", vae), ("denoiser.pt", both)):
        if not (out / name).exists():
            torch.save(dict(model=weights, ema=weights, losses=[]), out / name)


def to_tensor(videos_BFHWC: np.ndarray) -> torch.Tensor:
    """uint8 frames -> (B, 3, F, H, W) in [-1, 1]."""
    return torch.from_numpy(videos_BFHWC).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


# ---------------------------------------------------------------- VAE


def train_vae(out: Path, kind: networks.Family, *, steps: int, device: str, seed: int) -> None:
    """L1 + MSE + a little KL: on cropped single frames, then on cropped clips, at last on whole videos."""
    torch.manual_seed(seed)
    vae = kind.vae().to(device)
    ema = copy.deepcopy(vae).requires_grad_(False)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)
    run = Run(out / "vae.pt", steps, dict(model=vae, ema=ema, optimizer=optimizer))
    for step in run:
        rng = np.random.default_rng([seed, 1, step])
        single = step < 0.45 * steps
        x = _crops(rng, 16, kind.frames, frames=1) if single else _clips(rng, kind, step < 0.85 * steps)
        x = x.to(device)
        set_lr(cosine(step, steps, warmup=200), optimizer)
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample()).sample
        error = y - x
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        loss = error.abs().mean() + error.square().mean() + 5e-4 * kl
        descend(loss, vae.parameters(), optimizer)
        update_ema(ema, vae, 0.995 if step > 200 else 0.9)
        run.log(loss.item())
        if step % 500 == 499 or step == steps - 1:
            video_sheet(out / "vae_samples.png", _reconstructions(kind, ema, seed, device))
    loss_curve(out / "vae_loss.png", run.losses, "VAE: L1 + MSE + KL")


def train_decoder(out: Path, kind: networks.Family, *, steps: int, device: str, seed: int) -> None:
    """The decoder alone, the encoder fixed, so that the latents that the denoiser learns stay what they are."""
    torch.manual_seed(seed + 2)
    vae = load_vae(out, kind).to(device)
    vae.encoder.requires_grad_(False)
    if vae.quant_conv is not None:
        vae.quant_conv.requires_grad_(False)
    trained = [p for p in vae.parameters() if p.requires_grad]
    ema = copy.deepcopy(vae).requires_grad_(False)
    optimizer = torch.optim.AdamW(trained, lr=1.5e-3, betas=(0.9, 0.98), weight_decay=0.0)
    run = Run(out / "decoder.pt", steps, dict(model=vae, ema=ema, optimizer=optimizer))
    for step in run:
        rng = np.random.default_rng([seed, 6, step])
        x = _clips(rng, kind, step < 0.6 * steps).to(device)
        set_lr(cosine(step, steps, warmup=200), optimizer)
        with torch.no_grad():
            latents = vae.encode(x).latent_dist.sample()
        error = vae.decode(latents).sample - x
        loss = error.abs().mean() + error.square().mean()
        descend(loss, trained, optimizer)
        update_ema(ema, vae, 0.995 if step > 200 else 0.9)
        run.log(loss.item())
        if step % 500 == 499 or step == steps - 1:
            video_sheet(out / "decoder_samples.png", _reconstructions(kind, ema, seed, device))
    loss_curve(out / "decoder_loss.png", run.losses, "Decoder: L1 + MSE")
    if (out / "denoiser.pt").exists():
        finish(out, kind, seed)


def load_vae(out: Path, kind: networks.Family):
    """The VAE as far as it is trained."""
    path = out / "decoder.pt" if (out / "decoder.pt").exists() else out / "vae.pt"
    vae = kind.vae()
    vae.load_state_dict(torch.load(path, weights_only=True, map_location="cpu")["ema"])
    return vae


def _clips(rng, kind: networks.Family, cropped: bool) -> torch.Tensor:
    """A batch of clips of the whole length: cropped, or, which are fewer, of the whole frame."""
    return _crops(rng, 6, kind.frames, kind.frames) if cropped else _videos(rng, 4, kind.frames)


def _videos(rng, count: int, frames: int) -> torch.Tensor:
    return to_tensor(np.stack([render(sample_scene(rng), frames=frames) for _ in range(count)]))


def _crops(rng, count: int, length: int, frames: int) -> torch.Tensor:
    """Clips of `frames` x CROP x CROP around one of the things of a scene of `length` frames."""
    clips = []
    for _ in range(count):
        scene = sample_scene(rng)
        video = render(scene, frames=length)
        first = int(rng.integers(0, length - frames + 1))
        thing = scene.things[rng.integers(len(scene.things))]
        center = thing.centers(np.array([(first + frames / 2) / length]))[0] * SIZE
        corner = np.clip(center - CROP / 2 + rng.normal(0, 6, 2), 0, SIZE - CROP).astype(int)
        x, y = corner
        clips.append(video[first : first + frames, y : y + CROP, x : x + CROP])
    return to_tensor(np.stack(clips))


@torch.no_grad()
def _reconstructions(kind: networks.Family, vae, seed: int, device: str) -> list[np.ndarray]:
    """Six unseen videos, each followed by its reconstruction."""
    x = _videos(np.random.default_rng([seed, 2]), 6, kind.frames).to(device)
    y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
    psnr = -10 * math.log10(((y - x) / 2).square().mean().item())
    typer.echo(f"reconstruction of unseen videos: {psnr:.1f} dB", err=True)
    pairs = torch.stack([x, y], 1).flatten(0, 1)
    return list(((pairs.permute(0, 2, 3, 4, 1) + 1) * 127.5).round().byte().cpu().numpy())


# ---------------------------------------------------------------- denoiser


def train_denoiser(
    out: Path,
    kind: networks.Family,
    *,
    steps: int,
    batch: int,
    pool: int,
    device: str,
    seed: int,
    compiled: bool,
) -> None:
    """The text encoder and the denoiser together, on noised latents, as the family does it."""
    rank, processes = _processes()
    torch.manual_seed(seed + 1)
    if rank:
        torch.distributed.barrier()  # until the first one has made the pool
    scenes, latents = _latent_pool(out, kind, pool, seed, device)
    if processes > 1 and not rank:
        torch.distributed.barrier()
    tokenizer = networks.build_tokenizer()
    both = _text_and_denoiser(kind, tokenizer).to(device)
    transformer, encoder = both["transformer"], both["encoder"]
    ema = copy.deepcopy(both).requires_grad_(False)
    head = torch.nn.Linear(networks.TEXT_DIM, len(LOOKS)).to(device)
    evened = Evened().to(device)
    muon, adamw = _optimizers(both, head)
    half = torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or torch.cpu._is_avx512_bf16_supported())
    transformer.set_attention_backend("_native_math")  # for so few tokens the fastest on a CPU
    forward = functools.partial(kind.predict, transformer)
    forward = torch.compile(forward, dynamic=False) if compiled else forward
    alone = np.array([float(len(scene.groups) == 1) for scene in scenes])
    parts = dict(model=both, ema=ema, head=head, evened=evened, muon=muon, adamw=adamw)
    run = Run(out / "denoiser.pt", steps, parts, keeps=rank == 0)
    torch.manual_seed(1000 * (seed + 1) + rank + processes * len(run.losses))  # of the noises
    mine = slice(rank * batch // processes, (rank + 1) * batch // processes)
    for step in run:
        rng = np.random.default_rng([seed, 3, step])
        share = kind.alone[step >= EARLY * steps]
        chances = share * alone / max(1, alone.sum()) + (1 - share) * (1 - alone) / max(1, (1 - alone).sum())
        chosen = rng.choice(len(scenes), batch, p=chances / chances.sum())
        # Full captions at first: they leave less to chance, and the words are learnt sooner. The binding of
        # places and motions to objects is unlearnt from the others later.
        dense = DENSE if step < 0.6 * steps else 0.0
        captions = [caption_and_spans(scenes[i], rng, dense=rng.random() < dense) for i in chosen]
        captions = [("", []) if rng.random() < 0.1 else c for c in captions]
        # Now and then the pipelines' default length, so that a plain call works as well.
        length = kind.text_length if rng.random() < 0.05 else networks.TEXT_TOKENS
        levels = rng.normal(*kind.levels, batch)
        chosen, captions, levels = chosen[mine], captions[mine], levels[mine]
        x = latents[torch.from_numpy(chosen)].to(device)
        sigma = torch.sigmoid(torch.from_numpy(levels).float()).to(device)
        noise = torch.randn_like(x)
        noisy, timesteps, wanted = kind.noised(x, noise, sigma)
        set_lr(trapezoid(step, steps, warmup=300), muon, adamw)
        with half:
            context = kind.encode_text(encoder, tokenizer, [text for text, _ in captions], length)
            prediction = forward(noisy, timesteps, context)
        each = (prediction.float() - wanted).square().flatten(1).mean(1)
        loss = evened(each, sigma) if kind.evened else each.mean()
        words = words_of(tokenizer, captions, context.shape[1]).to(device)
        shown = [scenes[i] for i in chosen]
        bound = BINDING * binding(head, context, words, shown)
        descend(loss + bound, [*both.parameters(), *head.parameters()], muon, adamw)
        update_ema(ema, both, min(0.999, (step + 1) / (step + 10)))
        run.log(each.mean().item())
        if step % 4000 == 3999 and step < steps - 1 and rank == 0:
            run.save()
            finish(out, kind, seed)
    if rank:
        return
    loss_curve(out / "denoiser_loss.png", run.losses, "Denoiser: mean square error")
    finish(out, kind, seed)


def _processes() -> tuple[int, int]:
    """Which of how many processes this is, that train together, as torchrun starts them."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", timeout=timedelta(hours=3))  # the first one may finish a model
    return int(os.environ.get("RANK", 0)), processes


class Evened(torch.nn.Module):
    """The mean loss of a batch, each divided by what is usual at its noise level, so that all levels count alike.

    As with EDM2's weights by uncertainty (Karras et al., 2312.02696), but kept by running means.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("usual", torch.zeros(LEVELS))

    def forward(self, losses_B: torch.Tensor, sigma_B: torch.Tensor) -> torch.Tensor:
        bins = (sigma_B * LEVELS).long().clamp_max(LEVELS - 1)
        for level, loss in zip(bins.tolist(), losses_B.tolist(), strict=True):
            usual = self.usual[level].item() or loss
            self.usual[level] = usual + 0.01 * (loss - usual)
        return TYPICAL * (losses_B / self.usual[bins]).mean()


def words_of(tokenizer, captions, length: int) -> torch.Tensor:
    """Which tokens are the colour and which the noun of each group: 0 or 1, (B, groups, 2, length)."""
    texts = [text for text, _ in captions]
    offsets = tokenizer(texts, truncation=True, max_length=length, return_offsets_mapping=True).offset_mapping
    words = torch.zeros(len(captions), max(1, *(len(spans) for _, spans in captions)), 2, length)
    for i, (_, spans) in enumerate(captions):
        for j, pair in enumerate(spans):
            for k, (begin, end) in enumerate(pair):
                words[i, j, k, [n for n, (a, b) in enumerate(offsets[i]) if a < end and b > begin]] = 1
    return words


def binding(head, context: torch.Tensor, words: torch.Tensor, scenes: list[Scene]) -> torch.Tensor:
    """Cross-entropy of telling an object's colour and shape from the encoding of either of its two words.

    A large text encoder knows which adjective goes with which noun; this is how a small one learns it. From the
    denoising loss alone it does not: a square takes the other object's shape in a quarter of the videos.
    """
    encoded = torch.einsum("bnkl,blc->bnkc", words, context.float())
    named = words.any(-1)
    looks = torch.zeros(named.shape, dtype=torch.long, device=words.device)
    for i, scene in enumerate(scenes):
        if named[i].any():
            for j, group in enumerate(scene.groups):
                looks[i, j] = LOOKS.index((group[0].color, group[0].shape))
    total = torch.nn.functional.cross_entropy(head(encoded[named]), looks[named], reduction="sum")
    return total / named.sum().clamp_min(1)  # all captions may be empty


def _optimizers(both, head) -> tuple[torch.optim.Muon, torch.optim.AdamW]:
    """Muon for the matrices of the blocks, AdamW for embeddings, norms, biases and the two ends."""
    named = dict(both.named_parameters())
    biases = [named.pop(n) for n in list(named) if "relative_attention_bias" in n]
    matrices = [n for n, p in named.items() if re.search(r"blocks?\.\d", n) and p.ndim == 2]
    muon = torch.optim.Muon(
        [named.pop(n) for n in matrices], lr=MUON_LR, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    groups = [dict(params=[*named.values(), *head.parameters()], lr=1.2e-3), dict(params=biases, lr=BIAS_LR)]
    return muon, torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)


def _text_and_denoiser(kind: networks.Family, tokenizer) -> torch.nn.ModuleDict:
    return torch.nn.ModuleDict(dict(transformer=kind.transformer(), encoder=kind.text_encoder(len(tokenizer))))


def finish(out: Path, kind: networks.Family, seed: int) -> None:
    """Write the diffusers folder from the checkpoints' averaged weights, and a sheet of its samples."""
    tokenizer, vae = networks.build_tokenizer(), load_vae(out, kind)
    both = _text_and_denoiser(kind, tokenizer)
    both.load_state_dict(torch.load(out / "denoiser.pt", weights_only=True, map_location="cpu")["ema"])
    kind.normalise(vae, torch.load(next(out.glob("pool-*.pt")), weights_only=True))
    kind.save(
        out / "model", vae=vae, tokenizer=tokenizer, transformer=both["transformer"], text_encoder=both["encoder"]
    )
    video_sheet(out / "samples.png", *_samples(out / "model", kind, seed))


@torch.no_grad()
def _latent_pool(
    out: Path, kind: networks.Family, count: int, seed: int, device: str
) -> tuple[list[Scene], torch.Tensor]:
    """Scenes, none of them held out, and their latents as the denoiser sees them: (N, C, F, H, W)."""
    rng = np.random.default_rng([seed, 4])
    drawn = (sample_scene(rng, POOL_CROSSING, plans=POOL_PLANS) for _ in itertools.count())
    scenes = list(itertools.islice((scene for scene in drawn if not held_out(scene)), count))
    path, vae = out / f"pool-{count}-{seed}.pt", load_vae(out, kind).to(device)
    if not path.exists():
        chunks = []
        with progress() as bar:
            task = bar.add_task("encoding the pool", total=count, note="")
            for i in range(0, count, 16):
                frames = to_tensor(np.stack([render(s, frames=kind.frames) for s in scenes[i : i + 16]])).to(device)
                chunks.append(vae.encode(frames).latent_dist.mode().cpu())
                bar.advance(task, len(frames))
        torch.save(torch.cat(chunks), path)
    return scenes, kind.normalise(vae, torch.load(path, weights_only=True))


def _samples(folder: Path, kind: networks.Family, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Sixteen videos of unseen captions, made as a user would: (videos, captions)."""
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    rng = np.random.default_rng([seed, 5])
    prompts = [caption(sample_scene(rng), rng) for _ in range(16)]
    videos = pipe(
        prompts, height=SIZE, width=SIZE, num_frames=kind.frames, num_inference_steps=25, guidance_scale=4.0,
        max_sequence_length=networks.TEXT_TOKENS, generator=torch.Generator().manual_seed(seed), output_type="np",
    ).frames  # fmt: skip
    return list((videos * 255).round().astype(np.uint8)), prompts


# ---------------------------------------------------------------- the loop's small parts


class Run:
    """Iterates over the steps that are left, with a progress bar and a checkpoint every 500 steps.

    `parts` are the modules and the optimiser whose states make up the checkpoint at `path`; one of several processes
    keeps it.
    """

    def __init__(self, path: Path, steps: int, parts: dict, every: int = 500, keeps: bool = True):
        self.path, self.steps, self.parts, self.every, self.keeps = path, steps, parts, every, keeps
        self.losses: list[float] = []
        if path.exists():
            saved = torch.load(path, weights_only=True)
            for name, part in parts.items():
                if name in saved:  # a start from a finished model has no optimiser
                    part.load_state_dict(saved[name])
            self.losses = saved["losses"]

    def __iter__(self):
        done = len(self.losses)
        with progress() as bar:
            task = bar.add_task(self.path.stem, total=self.steps, completed=done, note="")
            began = time.monotonic()
            for step in range(done, self.steps):
                yield step
                bar.update(task, completed=step + 1, note=f"loss {np.mean(self.losses[-100:]):.4f}")
                if (step + 1) % self.every == 0 or step + 1 == self.steps:
                    self.save()
                    pace = (time.monotonic() - began) / (step + 1 - done)
                    mean = np.mean(self.losses[-self.every :])
                    bar.console.print(f"{self.path.stem} step {step + 1}: loss {mean:.4f}, {pace:.2f} s a step")

    def log(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} at step {len(self.losses)}")
        self.losses.append(loss)

    def save(self) -> None:
        if not self.keeps:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()}
        partial = self.path.with_suffix(".partial")
        torch.save({**state, "losses": self.losses}, partial)
        os.replace(partial, self.path)


def progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip


def descend(loss: torch.Tensor, parameters, *optimizers) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = list(parameters)
    if torch.distributed.is_initialized():
        _average([parameter.grad for parameter in parameters if parameter.grad is not None])
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
        optimizer.step()


def _average(gradients: list[torch.Tensor]) -> None:
    """Make the gradients of all processes their mean."""
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


@torch.no_grad()
def update_ema(ema, model, decay: float) -> None:
    for average, value in zip(ema.parameters(), model.parameters(), strict=True):
        average.lerp_(value, 1 - decay)


def set_lr(factor: float, *optimizers) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group.setdefault("peak_lr", group["lr"])


def cosine(step: int, steps: int, warmup: int) -> float:
    """Learning-rate factor: linear warm-up, then half a cosine to zero."""
    return min(step / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)))


def trapezoid(step: int, steps: int, warmup: int) -> float:
    """Learning-rate factor: linear warm-up, a plateau, linear to zero over the last half."""
    return min(step / warmup, 1.0, 2 * (1 - step / steps) + 0.01)


if __name__ == "__main__":
    app()
