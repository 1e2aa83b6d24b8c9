"""Find anything by the words for it: GroundingDINO gives boxes for a phrase, SAM 2 the pixels in each box.

Both are transformers' own classes, and torchvision is not needed. As in the reference's probe, a box must score above
.35 and its text above .25, and a box has the one mask that SAM 2 gives for it.

Letters: B frames of a batch, F frames, H x W pixels. Frames are (F, H, W, 3) uint8, boxes are frame fractions.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch.nn.functional import interpolate
from transformers import (
    AutoTokenizer,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Sam2Model,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from transformers.models.auto.image_processing_auto import get_image_processor_config
from transformers.models.grounding_dino.modeling_grounding_dino import SPECIAL_TOKENS
from transformers.utils import logging

from ..errors import ModelError
from ..layout.model import Box, iou
from .detector import Sighting, distance, link

BOX_THRESHOLD = 0.35  # least score of a box
TEXT_THRESHOLD = 0.25  # least score of a word for the box to be of it
SAME_THING = 0.7  # IoU above which two boxes of one phrase are one thing
SAME_BOX = 0.9  # IoU above which boxes of two phrases are the same box
REACH = 0.25  # of the frame; farthest that a thing moves from one frame to the next
BATCH = 8  # frames at a time

DETECTORS = ("grounding-dino",)  # model types in a config.json
SEGMENTERS = ("sam2", "sam2_video")  # SAM 2 on the hub is saved whole, for videos; Sam2Model takes its part of it


@dataclass(frozen=True)
class Detection:
    """A thing in one frame, with its mask (H, W) bool once that is known."""

    box: Box
    score: float
    mask: np.ndarray | None = None


class GroundedSam2:
    """The detector for videos of the real world."""

    name = "grounded-sam2"

    def __init__(
        self,
        processor: GroundingDinoProcessor,
        detector: GroundingDinoForObjectDetection,
        segmenter: Sam2Model,
        mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
        std: Sequence[float] = IMAGENET_DEFAULT_STD,
    ):
        """`mean` and `std` are of SAM 2's input, for colours in [0, 1]."""
        self.processor, self.detector, self.segmenter = processor, detector, segmenter
        self.mean, self.std = mean, std

    @classmethod
    def load(cls, detector_model: str, segmenter_model: str) -> GroundedSam2:
        """From hub ids or folders, on the CPU in float32. Raises ModelError where the models cannot be had."""
        with _loading(detector_model, "a GroundingDINO", "--detector-model", DETECTORS) as source:
            detector = _weights(GroundingDinoForObjectDetection, source)
            images = GroundingDinoImageProcessorPil.from_pretrained(source)
            processor = GroundingDinoProcessor(images, _tokenizer(source))
        with _loading(segmenter_model, "a SAM 2", "--segmenter-model", SEGMENTERS) as source:
            segmenter = _weights(Sam2Model, source)
            config = get_image_processor_config(source)
        mean, std = config.get("image_mean", IMAGENET_DEFAULT_MEAN), config.get("image_std", IMAGENET_DEFAULT_STD)
        return cls(processor, detector, segmenter, mean, std)

    def to(self, device: str) -> None:
        self.detector.to(device)
        self.segmenter.to(device)

    @torch.no_grad()
    def see(self, frames_FHWC: np.ndarray, phrases: Sequence[str]) -> list[list[Sighting]]:
        """Each phrase is a caption of its own. Phrases with the same caption share their sightings.

        GroundingDINO answers every caption with something. So of the phrases that claim a box the one with the highest
        score has it, see `awarded`; and overlapping boxes of a phrase are one thing, see `distinct`.
        """
        captions = list(dict.fromkeys(map(caption, phrases)))
        seen = {words: [] for words in captions}
        for start in range(0, len(frames_FHWC), BATCH):
            frames_BHWC = frames_FHWC[start : start + BATCH]
            answers = self._boxes(frames_BHWC, captions)
            found = [awarded([distinct(boxes) for boxes in answer]) for answer in answers]
            for frame in self._with_masks(frames_BHWC, found):
                for words, detections in zip(captions, frame, strict=True):
                    seen[words].append(detections)
        size = frames_FHWC.shape[1:3]
        things = {words: [_sighting(track, size) for track in link(seen[words], _cost, REACH)] for words in captions}
        return [things[caption(phrase)] for phrase in phrases]

    def _boxes(self, frames_BHWC: np.ndarray, captions: list[str]) -> list[tuple[list[Detection], ...]]:
        """For each frame and caption what GroundingDINO finds; it reads `max_text_len` tokens and fails on more."""
        tokens = dict(truncation=True, max_length=self.detector.config.max_text_len, return_tensors="pt")
        images = self.processor.image_processor(
            list(frames_BHWC), input_data_format="channels_last", return_tensors="pt"
        ).to(self.detector.device)
        found = []
        for words in captions:
            text = self.processor.tokenizer([words] * len(frames_BHWC), **tokens).to(self.detector.device)
            found.append(self._kept(self.detector(**images, **text), text.input_ids))
        return list(zip(*found, strict=True))

    def _kept(self, outputs, input_ids: torch.Tensor) -> list[list[Detection]]:
        """For each frame the boxes above the box threshold for which a word of the caption is above the text threshold.

        In `GroundingDinoProcessor.post_process_grounded_object_detection` a box's score is that of its best token, and
        its label is all tokens above the text threshold. The best token may be the full stop or [SEP]: then, if no
        word is above the text threshold, the label is of those alone, and names nothing. A frame without boxes has
        one label all the same, an empty one.
        """
        results = self.processor.post_process_grounded_object_detection(
            outputs, input_ids, threshold=BOX_THRESHOLD, text_threshold=TEXT_THRESHOLD
        )
        rows = [(r["boxes"].clamp(0, 1).tolist(), r["scores"].tolist(), r["text_labels"]) for r in results]
        return [
            [Detection(tuple(box), score) for box, score, label in zip(*row, strict=False) if self._names(label)]
            for row in rows
        ]

    def _names(self, label: str) -> bool:
        """Whether a label has a word."""
        tokenizer = self.processor.tokenizer
        for mark in (tokenizer.cls_token, tokenizer.sep_token, "."):
            label = label.replace(mark, "")
        return bool(label.strip())

    def _with_masks(self, frames_BHWC: np.ndarray, found: list[list[list[Detection]]]) -> list[list[list[Detection]]]:
        """The same detections (frames, captions, things) with their masks; a frame is embedded once for all of them."""
        named = [f for f, frame in enumerate(found) if any(frame)]
        if not named:
            return found
        levels = self.segmenter.get_image_embeddings(self._pixels(frames_BHWC[named]))
        done = list(found)
        for i, f in enumerate(named):
            boxes = [d.box for detections in found[f] for d in detections]
            masks = iter(self._masks([level[i : i + 1] for level in levels], boxes, frames_BHWC.shape[1:3]))
            done[f] = [[replace(d, mask=next(masks)) for d in detections] for detections in found[f]]
        return done

    @property
    def _side(self) -> int:
        """Of the square that SAM 2 sees, in which it measures boxes."""
        return self.segmenter.config.prompt_encoder_config.image_size

    def _pixels(self, frames_BHWC: np.ndarray) -> torch.Tensor:
        """Frames as `Sam2ImageProcessor` has them: a square whatever their shape, antialiased, whole colours."""
        frames_BCHW = torch.from_numpy(frames_BHWC).to(self.segmenter.device).permute(0, 3, 1, 2).float()
        square = interpolate(frames_BCHW, (self._side, self._side), mode="bilinear", antialias=True).round() / 255
        mean, std = (square.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (square - mean) / std

    def _masks(self, levels: list[torch.Tensor], boxes: list[Box], size: tuple[int, int]) -> np.ndarray:
        """The mask of each box of a frame with these embeddings: (boxes, H, W) bool.

        The model gives (1, boxes, 1, h, w) logits at low resolution; they are brought to the frame's size as in
        `Sam2ImageProcessor.post_process_masks`, and then cut at 0.
        """
        prompts = torch.tensor([boxes], device=self.segmenter.device) * self._side
        logits = self.segmenter(image_embeddings=levels, input_boxes=prompts, multimask_output=False).pred_masks[0]
        return (interpolate(logits, size, mode="bilinear", align_corners=False)[:, 0] > 0).cpu().numpy()


def caption(phrase: str) -> str:
    """A phrase as GroundingDINO was taught: in lower case and closed by its only full stop, which divides captions."""
    return re.sub(r"[.?\s]+", " ", phrase.lower()).strip() + "."


def distinct(found: list[Detection]) -> list[Detection]:
    """What is found for a phrase in a frame, best first; of two boxes that overlap by more than .7 the better one."""
    kept = []
    for d in sorted(found, key=lambda d: -d.score):
        if all(iou(d.box, other.box) <= SAME_THING for other in kept):
            kept.append(d)
    return kept


def awarded(found: Sequence[list[Detection]]) -> list[list[Detection]]:
    """What is found for each phrase in a frame, each box to the phrase with the highest score for it.

    Boxes that overlap by more than .9 are the same. Of equal scores the phrase that comes first has it.
    """
    kept = [[] for _ in found]
    claims = ((p, d) for p, detections in enumerate(found) for d in detections)
    for p, d in sorted(claims, key=lambda claim: -claim[1].score):
        others = (other for q, detections in enumerate(kept) if q != p for other in detections)
        if all(iou(d.box, other.box) <= SAME_BOX for other in others):
            kept[p].append(d)
    return kept


def _cost(past: list[Detection | None], new: Detection) -> float:
    return distance([d and d.box for d in past], new.box)


def _sighting(track: list[Detection | None], size: tuple[int, int]) -> Sighting:
    masks = np.zeros((len(track), *size), bool)
    for f, d in enumerate(track):
        if d:
            masks[f] = d.mask
    return Sighting(
        boxes=tuple(d and d.box for d in track), confidence=tuple(d.score if d else 0.0 for d in track), masks=masks
    )


@contextmanager
def _loading(model: str, kind: str, option: str, types: tuple[str, ...]) -> Iterator[str]:
    """Where to load a model from, once its config.json says that it is one of `types`; quiet while open.

    Without the look at its config transformers would fill a model of another type with random weights. Raises
    ModelError, also for what fails inside.
    """
    hint = f"give the folder of {kind} with {option}"
    folder = Path(model).expanduser()
    if not folder.is_dir() and (folder.is_absolute() or model.startswith(".")):
        raise ModelError(f"cannot load {model}: there is no such folder", hint)
    source = str(folder) if folder.is_dir() else model
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = PreTrainedConfig.get_config_dict(source)[0].get("model_type")
            if found not in types:
                raise ValueError(f"it is {f'of type {found}' if found else 'no model'}, not {kind}")
            yield source
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError, StrictDataclassError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"cannot load {model}: {reason[:300]}", hint) from None
    finally:
        logging.set_verbosity(verbosity)


def _weights(kind: type[PreTrainedModel], source: str) -> PreTrainedModel:
    """A frozen model in float32. Raises ValueError for one that lacks weights, which would else be random."""
    model, info = kind.from_pretrained(
        source, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
    )
    lacking = sorted([*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])])
    if lacking:
        raise ValueError(f"{len(lacking)} of its weights are missing or of another size, such as {lacking[0]}")
    return model.eval().requires_grad_(False)


def _tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Raises ValueError where its marks are not those that the model divides captions at.

    So for a folder without a tokenizer, for which transformers makes one that knows no words.
    """
    tokenizer = AutoTokenizer.from_pretrained(source)
    if tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"]) != SPECIAL_TOKENS:
        raise ValueError("it has no tokenizer, or not BERT's")
    return tokenizer
