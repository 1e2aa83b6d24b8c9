"""The detector of the real world: transformers' classes at toy size, and hand-made answers where the numbers matter."""

import json
import math
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VisionConfig,
    SwinConfig,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoObjectDetectionOutput
from transformers.models.sam2.modeling_sam2 import Sam2ImageSegmentationOutput

from ttom_cli.config import CheckConfig
from ttom_cli.errors import ModelError
from ttom_cli.seeing import grounded_sam2
from ttom_cli.seeing.detector import make_detector
from ttom_cli.seeing.grounded_sam2 import Detection, GroundedSam2, awarded, caption, distinct

SIDE = 64  # of the toy SAM 2's square
PROMPTS = dict(hidden_size=32, image_size=SIDE, patch_size=16, mask_input_channels=8)
MASKS = dict(hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16)


def _dino() -> GroundingDinoForObjectDetection:
    return GroundingDinoForObjectDetection(GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=32, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=2, mlp_ratio=2.0,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=1030, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        ),
        num_queries=6, d_model=32, encoder_layers=1, encoder_ffn_dim=32, encoder_attention_heads=2, decoder_layers=2,
        decoder_ffn_dim=32, decoder_attention_heads=2,
    ))  # fmt: skip


def _tokenizer() -> BertTokenizerFast:
    """A few words, and the marks with the ids that they have in BERT's vocabulary, which GroundingDINO relies on."""
    words = dict(zip("a red ball blue cube".split(), range(200, 205), strict=True))
    words |= {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
    unused = {f"[unused{i}]": i for i in set(range(1030)) - set(words.values())}
    return BertTokenizerFast(vocab=unused | words)


def _vision() -> Sam2VisionConfig:
    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[SIDE, SIDE], blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 1, 1], window_size_per_stage=[4, 2, 2, 2], global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    return Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """dino (as transformers 5 saves), dino-hub (as the hub has it), sam, sam-hub (SAM 2 for videos) and bert."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("models")
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    _dino().save_pretrained(root / "dino")
    GroundingDinoProcessor(images, _tokenizer()).save_pretrained(root / "dino")

    shutil.copytree(root / "dino", root / "dino-hub")
    (root / "dino-hub" / "processor_config.json").unlink()
    settings = {**images.to_dict(), "image_processor_type": "GroundingDinoImageProcessor"}
    (root / "dino-hub" / "preprocessor_config.json").write_text(json.dumps(settings))

    config = Sam2Config(vision_config=_vision(), prompt_encoder_config=PROMPTS, mask_decoder_config=MASKS)
    Sam2Model(config).save_pretrained(root / "sam")
    Sam2VideoModel(Sam2VideoConfig(
        vision_config=_vision(), prompt_encoder_config=PROMPTS, mask_decoder_config=MASKS, image_size=SIDE,
        memory_attention_hidden_size=32, memory_attention_feed_forward_hidden_size=32, memory_attention_num_layers=1,
        memory_attention_rope_feat_sizes=[4, 4], memory_encoder_hidden_size=32, memory_encoder_output_channels=16,
        mask_downsampler_embed_dim=32, memory_fuser_embed_dim=32, memory_fuser_intermediate_dim=32,
    )).save_pretrained(root / "sam-hub")  # fmt: skip
    settings = {"image_processor_type": "Sam2ImageProcessorFast", "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (root / "sam-hub" / "preprocessor_config.json").write_text(json.dumps(settings))

    tiny = dict(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(BertConfig(**tiny)).save_pretrained(root / "bert")
    return root


def _load(folders, dino="dino", sam="sam") -> GroundedSam2:
    return GroundedSam2.load(str(folders / dino), str(folders / sam))


@pytest.fixture(scope="module")
def loaded(folders):
    return _load(folders)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (10, 48, 80, 3), dtype=np.uint8)


def _grey(count: int) -> np.ndarray:
    """Frames whose shade, ten times their number, tells which they are."""
    return np.full((count, 32, 48, 3), 10, np.uint8) * np.arange(count, dtype=np.uint8)[:, None, None, None]


@pytest.fixture
def answer(loaded, monkeypatch):
    """Let GroundingDINO answer by hand: answer({caption: {frame: [(box, {token: probability})]}}) for grey frames."""

    def install(script):
        def forward(pixel_values, input_ids, **_):
            logits = torch.full((len(input_ids), 9, 256), -math.inf)
            boxes = torch.full((len(input_ids), 9, 4), 0.5)
            shades = (pixel_values[:, 0, 0, 0] * IMAGENET_DEFAULT_STD[0] + IMAGENET_DEFAULT_MEAN[0]) * 255
            for b, ids in enumerate(input_ids):
                tokens = loaded.processor.tokenizer.convert_ids_to_tokens(ids)
                words = " ".join(tokens[1:-2]) + "."
                for q, (box, scores) in enumerate(script.get(words, {}).get(round(shades[b].item() / 10), [])):
                    x0, y0, x1, y1 = box
                    boxes[b, q] = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
                    for token, p in scores.items():
                        logits[b, q, tokens.index(token)] = math.log(p / (1 - p))
            return GroundingDinoObjectDetectionOutput(logits=logits, pred_boxes=boxes)

        monkeypatch.setattr(loaded.detector, "forward", forward)
        return loaded

    return install


def test_captions_are_lower_case_with_one_full_stop():
    assert caption("A Red Ball.") == "a red ball."
    assert caption("  red   ball ") == "red ball."
    assert caption("St. Bernard? ...") == "st bernard."
    assert caption("") == "."


def test_sightings_are_as_the_protocol_says(loaded, noise):
    seen = loaded.see(noise, ["red ball", "a blue cube"])
    assert len(seen) == 2 and all(seen)
    for sightings in seen:
        assert all(a.frames >= b.frames for a, b in pairwise(sightings))
        for s in sightings:
            assert len(s.boxes) == len(s.confidence) == len(noise) and s.frames
            assert s.masks.shape == (10, 48, 80) and s.masks.dtype == bool
            for box, confidence, mask in zip(s.boxes, s.confidence, s.masks, strict=True):
                if box is None:
                    assert confidence == 0 and not mask.any()
                else:
                    x0, y0, x1, y1 = box
                    assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 and 0.35 < confidence <= 1
    assert any(s.masks.any() for sightings in seen for s in sightings)


def test_nothing_to_look_for_or_at(loaded, noise):
    assert loaded.see(noise, []) == []
    assert loaded.see(noise[:0], ["ball", "cube"]) == [[], []]


def _close(one, other):
    for a, b in zip(one, other, strict=True):
        for s, t in zip(a, b, strict=True):
            assert [box is None for box in s.boxes] == [box is None for box in t.boxes]
            boxes = [(p, q) for p, q in zip(s.boxes, t.boxes, strict=True) if p]
            np.testing.assert_allclose(*zip(*boxes, strict=True), atol=1e-4)
            np.testing.assert_allclose(s.confidence, t.confidence, atol=1e-4)
            assert (s.masks == t.masks).mean() > 0.999


def test_frames_give_the_same_in_batches_as_one_by_one_and_again(loaded, noise, monkeypatch):
    seen = loaded.see(noise, ["red ball", "cube"])
    _close(seen, loaded.see(noise, ["red ball", "cube"]))
    for size in (1, 3):
        monkeypatch.setattr(grounded_sam2, "BATCH", size)
        _close(seen, loaded.see(noise, ["red ball", "cube"]))


def test_models_are_frozen_and_move_together(folders):
    models = dict(detector_model=str(folders / "dino"), segmenter_model=str(folders / "sam"))
    detector = make_detector(CheckConfig(detector="grounded-sam2", **models))
    assert detector.name == "grounded-sam2"
    for model in (detector.detector, detector.segmenter):
        assert not any(m.training for m in model.modules())
        assert not any(p.requires_grad for p in model.parameters())
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    detector.to("meta")
    assert detector.detector.device.type == detector.segmenter.device.type == "meta"


def test_folders_as_the_hub_has_them(folders, loaded, noise):
    hub = _load(folders, "dino-hub", "sam-hub")
    assert type(hub.processor.image_processor) is GroundingDinoImageProcessorPil
    _close(loaded.see(noise[:2], ["ball"]), _load(folders, "dino-hub").see(noise[:2], ["ball"]))
    # SAM 2 for videos: its weights are those that were saved, and its settings those of its folder.
    assert type(hub.segmenter) is Sam2Model
    saved = load_file(folders / "sam-hub" / "model.safetensors")
    assert all(torch.equal(saved[name], weight) for name, weight in hub.segmenter.state_dict().items())
    assert (hub.mean, hub.std) == ([0.5] * 3, [0.25] * 3)
    assert (loaded.mean, loaded.std) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    assert hub._pixels(_grey(1) + 255)[0, 0, 0, 0] == pytest.approx((1 - 0.5) / 0.25)


def test_a_box_must_be_above_the_threshold(answer):
    box = (0.1, 0.2, 0.5, 0.6)
    detector = answer({"ball.": {0: [(box, {"ball": 0.36})], 1: [(box, {"ball": 0.34})]}})
    [[seen]] = detector.see(_grey(2), ["ball"])
    assert seen.boxes == (pytest.approx(box), None)
    assert seen.confidence == pytest.approx((0.36, 0))


def test_the_text_threshold_acts(answer):
    """The full stop is above the box threshold each time; .26 for a word makes the box its own, .24 does not."""
    box = (0.1, 0.2, 0.5, 0.6)
    scores = [{".": 0.9, "ball": 0.26}, {".": 0.9, "ball": 0.24}, {"[SEP]": 0.9}, {"[CLS]": 0.9}, {"red": 0.5}]
    detector = answer({"red ball.": {f: [(box, s)] for f, s in enumerate(scores)}})
    [[seen]] = detector.see(_grey(5), ["red ball"])
    assert [b is not None for b in seen.boxes] == [True, False, False, False, True]
    assert seen.confidence == pytest.approx((0.9, 0, 0, 0, 0.5))


def test_boxes_are_cut_at_the_frame(answer):
    detector = answer({"ball.": {0: [((-0.2, 0.5, 0.3, 1.1), {"ball": 0.9})]}})
    [[seen]] = detector.see(_grey(1), ["ball"])
    assert seen.boxes[0] == pytest.approx((0, 0.5, 0.3, 1))


def test_overlapping_boxes_of_a_phrase_are_one_thing():
    """In boxes of one width the IoU is the ratio of heights: .4 / .5 = .8 is one thing, .3 / .5 = .6 is two."""
    tall, lower, low = (Detection((0, 0, 0.5, h), score) for h, score in ((0.5, 0.5), (0.4, 0.9), (0.3, 0.7)))
    assert distinct([tall, lower]) == [lower]
    assert distinct([tall, low]) == [low, tall]
    # .3 / .4 = .75: what is left out for `lower` leaves nothing out itself.
    assert distinct([low, tall, lower]) == [lower]


def test_of_two_phrases_for_a_box_the_better_has_it():
    """.46 / .5 = .92 is the same box, .44 / .5 = .88 is not."""
    ball, same, other = (Detection((0, 0, 0.5, h), score) for h, score in ((0.5, 0.6), (0.46, 0.5), (0.44, 0.5)))
    assert awarded([[ball], [same]]) == [[ball], []]
    assert awarded([[same], [ball]]) == [[], [ball]]
    assert awarded([[ball], [other]]) == [[ball], [other]]
    assert awarded([[ball], [Detection(ball.box, 0.6)]]) == [[ball], []]
    assert awarded([[ball, same]]) == [[ball, same]]


def test_a_phrase_that_loses_its_box_does_not_get_a_looser_one(answer):
    """The cube's second box (IoU .4 / .5 = .8 with the ball) is one thing with its first, which is the ball's."""
    box, looser = (0, 0, 0.5, 0.4), (0, 0, 0.5, 0.5)
    detector = answer({
        "ball.": {0: [(box, {"ball": 0.8})]},
        "cube.": {0: [(box, {"cube": 0.7}), (looser, {"cube": 0.6}), ((0.6, 0.6, 0.9, 0.9), {"cube": 0.5})]},
    })  # fmt: skip
    [ball], [cube] = detector.see(_grey(1), ["ball", "cube"])
    assert ball.boxes[0] == pytest.approx(box)
    assert cube.boxes[0] == pytest.approx((0.6, 0.6, 0.9, 0.9))


def test_detections_are_linked_through_the_frames(answer):
    """A ball goes .05 a frame, unseen in frame 2; another is seen in frame 1 only. Ten frames are two batches."""
    path = {f: [((0.05 * f, 0, 0.05 * f + 0.2, 0.2), {"ball": 0.5 + 0.01 * f})] for f in range(10) if f != 2}
    path[1].insert(0, ((0.5, 0.5, 0.7, 0.7), {"ball": 0.95}))
    [[ball, other]] = answer({"a ball.": path}).see(_grey(10), ["a ball"])
    assert ball.frames == 9 and ball.boxes[2] is None and ball.confidence[2] == 0
    assert ball.boxes[9] == pytest.approx((0.45, 0, 0.65, 0.2)) and ball.confidence[9] == pytest.approx(0.59)
    assert [b is not None for b in other.boxes] == [f == 1 for f in range(10)]


@pytest.mark.parametrize("jump, things", [(0.24, 1), (0.26, 2)])
def test_what_jumps_is_another_thing(answer, jump, things):
    boxes = [(0.1, 0.1, 0.3, 0.3), (0.1 + jump, 0.1, 0.3 + jump, 0.3)]
    [seen] = answer({"ball.": {f: [(box, {"ball": 0.9})] for f, box in enumerate(boxes)}}).see(_grey(2), ["ball"])
    assert len(seen) == things


def test_phrases_with_the_same_caption_share_their_sightings(answer):
    detector = answer({"red ball.": {0: [((0, 0, 0.5, 0.5), {"ball": 0.9})]}})
    [one], [other], nothing = detector.see(_grey(1), ["red ball", "Red ball.", "cube"])
    assert one is other and nothing == []


def test_a_long_phrase_is_cut(loaded, noise, monkeypatch):
    lengths, forward = [], loaded.detector.forward
    monkeypatch.setattr(
        loaded.detector, "forward", lambda **inputs: lengths.append(inputs["input_ids"].shape[1]) or forward(**inputs)
    )
    assert len(loaded.see(noise[:1], ["a red ball " * 300])) == 1
    assert lengths == [256]


def test_frames_are_prepared_for_sam_as_pillow_would(loaded, noise):
    """Within one shade of 255, as rounding may differ."""
    pixels = loaded._pixels(noise[:1])[0].permute(1, 2, 0).numpy()
    square = np.asarray(Image.fromarray(noise[0]).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    shades = (pixels * IMAGENET_DEFAULT_STD + IMAGENET_DEFAULT_MEAN) * 255
    assert np.abs(shades - square).max() < 1.01


def test_masks_are_those_of_the_whole_model(answer, loaded):
    """Embeddings made once for a batch, and boxes of several phrases at once, change nothing. Frame 0 has no boxes."""
    a, b = (0.1, 0.2, 0.5, 0.6), (0.5, 0.1, 1.0, 0.9)
    detector = answer({"ball.": {1: [(a, {"ball": 0.9})]}, "cube.": {1: [(b, {"cube": 0.9})], 2: [(a, {"cube": 0.9})]}})
    frames = _grey(3)
    [ball], [cube, cube_later] = detector.see(frames, ["ball", "cube"])
    for seen, f, box in ((ball, 1, a), (cube, 1, b), (cube_later, 2, a)):
        prompt = torch.tensor([[box]]) * SIDE
        with torch.no_grad():
            out = loaded.segmenter(loaded._pixels(frames[f : f + 1]), input_boxes=prompt, multimask_output=False)
        whole = torch.nn.functional.interpolate(out.pred_masks[0], (32, 48), mode="bilinear")[0, 0] > 0
        assert (seen.masks[f] == whole.numpy()).mean() > 0.999
        assert not np.delete(seen.masks, f, axis=0).any()


def test_sam_is_asked_with_boxes_in_its_square_and_its_masks_are_resized_before_they_are_cut(answer, monkeypatch):
    """Columns of 3 and -1 over eight columns: between their centres, at 1.5 and 5.5, they fall by 1 a column.

    So column 4 is at .5 and column 5 at -.5, and five columns are in the mask; cut first it would be four.
    """
    detector = answer({"ball.": {1: [((0.25, 0.5, 0.75, 1), {"ball": 0.9})]}})
    asked, embedded, embed = [], [], detector.segmenter.get_image_embeddings

    def forward(image_embeddings, input_boxes, multimask_output):
        asked.append((input_boxes.tolist(), multimask_output, [len(level) for level in image_embeddings]))
        return Sam2ImageSegmentationOutput(pred_masks=torch.tensor([[3.0, -1.0]]).repeat(2, 1)[None, None, None])

    monkeypatch.setattr(detector.segmenter, "forward", forward)
    monkeypatch.setattr(
        detector.segmenter, "get_image_embeddings", lambda pixels: embedded.append(len(pixels)) or embed(pixels)
    )
    [[ball], []] = detector.see(_grey(3)[:, :4, :8], ["ball", "cube"])
    assert ball.masks[1].tolist() == [[True] * 5 + [False] * 3] * 4 and not ball.masks[[0, 2]].any()
    assert asked == [([[[16, 32, 48, 64]]], False, [1, 1, 1])]
    assert embedded == [1]


def _fails(dino, sam, words, option):
    with pytest.raises(ModelError) as caught:
        GroundedSam2.load(str(dino), str(sam))
    assert words in caught.value.message and "\n" not in caught.value.message
    assert option in caught.value.hint


def test_what_cannot_be_loaded_is_said_in_a_line(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    _fails("/no/such", folders / "sam", "cannot load /no/such: there is no such folder", "--detector-model")
    _fails("~/no/such", folders / "sam", "no such folder", "--detector-model")
    _fails(folders / "dino", "./nowhere", "cannot load ./nowhere: there is no such folder", "--segmenter-model")
    _fails("some-one/some-model", folders / "sam", "cannot load some-one/some-model: We couldn't", "--detector-model")
    _fails(folders / "bert", folders / "sam", "it is of type bert, not a GroundingDINO", "--detector-model")
    _fails(folders / "dino", folders / "bert", "it is of type bert, not a SAM 2", "--segmenter-model")
    _fails(tmp_path / "empty", folders / "sam", "it is no model", "--detector-model")


@pytest.mark.parametrize("change", [{}, {"model.level_embed": torch.zeros(2, 32)}], ids=["missing", "misshapen"])
def test_weights_that_are_not_there_are_not_made_up(folders, tmp_path, change):
    shutil.copytree(folders / "dino", tmp_path / "dino")
    weights = load_file(folders / "dino" / "model.safetensors")
    del weights["model.level_embed"]
    save_file(weights | change, tmp_path / "dino" / "model.safetensors", metadata={"format": "pt"})
    words = "1 of its weights are missing or of another size, such as model.level_embed"
    _fails(tmp_path / "dino", folders / "sam", words, "--detector-model")


def test_broken_files_are_said_in_a_line(folders, tmp_path):
    for name, change, words in [
        ("cut", lambda d: (d / "model.safetensors").write_bytes(b"<html>"), "cannot load"),
        ("config", lambda d: (d / "config.json").write_text("{"), "not a valid JSON file"),
        ("images", lambda d: (d / "processor_config.json").unlink(), "image processor"),
        ("words", lambda d: [(d / f"tokenizer{end}.json").unlink() for end in ("", "_config")], "it has no tokenizer"),
    ]:
        shutil.copytree(folders / "dino", tmp_path / name)
        change(tmp_path / name)
        _fails(tmp_path / name, folders / "sam", words, "--detector-model")


def test_loading_is_quiet(folders, capfd):
    _load(folders, "dino-hub", "sam-hub")
    assert capfd.readouterr() == ("", "")
