"""What an adapter was made with, beside its scene: a stored one is used under the same alone."""

from __future__ import annotations

from ..config import GuideConfig, SampleConfig
from ..pictures import digest_of

# The guide's settings that shape an adapter: with others it is of no use.
SHAPING = ("blocks", "projections", "self_attention", "rank", "steps", "conditional_only", "keep_on", "loss")
# Those names of a signature that are not the options'.
OPTION_OF = {
    "steps": "guided-steps", "sampling_steps": "steps", "mode": "guide", "adapted": "adapt", "image_sha256": "image",
    "size": "width, height, frames", "lora_sha256": "the file of lora", "transformer_bytes": "the size of transformer",
    "any_objects": "use for any objects",
}  # fmt: skip


def signature_of(guide: GuideConfig, sample: SampleConfig, parts: dict) -> dict:
    """The settings, the picture's hash and the user's own `parts` of the model (`parts.key_of`): an entry's `guide`.

    Raises TTOMError for a picture that cannot be read.
    """
    signature = {name: getattr(guide, name) for name in SHAPING} | {"adapted": guide.adapted}
    if guide.mode != "params":
        signature["mode"] = guide.mode
    if "attention" in guide.ways:  # beside the bias, what is learnt is of use to other objects (measured: see the log)
        signature["any_objects"] = True
    signature |= {"steps": guide.guided_of(sample.steps), "sampling_steps": sample.steps}
    signature |= {"size": (sample.width, sample.height, sample.frames)}
    if sample.image:
        signature["image_sha256"] = digest_of(sample.image)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in signature.items()} | parts
