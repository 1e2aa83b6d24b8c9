"""Wan2.1 and Wan2.2 (and the embedded shapes model): text enters by cross-attention, `attn2`."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import GuideConfig
from ..errors import ModelError

PROJECTIONS = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}


@dataclass(frozen=True)
class Wan:
    family: str = "wan"

    def denoiser(self, pipe):
        return pipe.transformer

    def blocks(self, denoiser) -> int:
        return len(denoiser.blocks)

    def text_attention(self, denoiser, block: int):
        if block >= self.blocks(denoiser):
            raise ModelError(f"there is no block {block}", f"the model has blocks 0 to {self.blocks(denoiser) - 1}")
        return denoiser.blocks[block].attn2

    def lora_targets(self, denoiser, config: GuideConfig) -> list[str]:
        """Values and outputs of the last aligned block come after its map, and are left out."""
        last = max(config.blocks)
        names = []
        for block in (last, *config.adapted):
            self.text_attention(denoiser, block)
        for block in config.adapted:
            for p in config.projections:
                if config.self_attention:
                    names.append(f"blocks.{block}.attn1.{PROJECTIONS[p]}")
                if block < last or (block == last and p in ("q", "k")) or config.keep_on:
                    names.append(f"blocks.{block}.attn2.{PROJECTIONS[p]}")
        return names

    def grid(self, denoiser, latents_shape):
        patch = denoiser.config.patch_size
        return tuple(n // p for n, p in zip(latents_shape[-3:], patch, strict=True))

    def token_grid(self, pipe, height: int, width: int) -> tuple[int, int]:
        _, *patch = self.denoiser(pipe).config.patch_size
        cells = [pipe.vae_scale_factor_spatial * p for p in patch]
        if height % cells[0] or width % cells[1]:
            near = [max(1, round(n / c)) * c for n, c in zip((width, height), cells[::-1], strict=True)]
            raise ModelError(
                f"the model cannot make {width}x{height} pixels", f"the nearest size that it can is {near[0]}x{near[1]}"
            )
        return height // cells[0], width // cells[1]

    def latent_times(self, pipe, frames: int) -> list[float]:
        """The first frame alone, then groups: latent frame k stands for the middle of its group."""
        group = pipe.vae_scale_factor_temporal
        if (frames - 1) % group:
            near = max(0, round((frames - 1) / group)) * group + 1
            raise ModelError(f"the model cannot make {frames} frames", f"the nearest number that it can is {near}")
        last = max(frames - 1, 1)
        middles = [0.0] + [group * k - (group - 1) / 2 for k in range(1, (frames - 1) // group + 1)]
        return [m / last for m in middles]

    def video_queries(self, query, key, columns, kwargs):
        return query, key, columns

    def clean(self, prompt: str) -> str:
        from diffusers.pipelines.wan.pipeline_wan import prompt_clean

        return prompt_clean(prompt)

    def tokenizer(self, pipe):
        return pipe.tokenizer

    def noise_level(self, pipe, step: int) -> float:
        return float(pipe.scheduler.sigmas[step])

    def add_noise(self, pipe, clean, noise, timesteps):
        """Rectified flow: x_t = (1 - s) x + s noise, with s = t / 1000."""
        s = (timesteps / pipe.scheduler.config.num_train_timesteps).view(-1, 1, 1, 1, 1).to(clean)
        return (1 - s) * clean + s * noise

    def batched(self, kwargs, latents, timesteps):
        text = kwargs["encoder_hidden_states"]
        return {
            **kwargs,
            "hidden_states": latents,
            "timestep": timesteps.to(latents.device),
            "encoder_hidden_states": text.expand(len(latents), *text.shape[1:]),
        }
