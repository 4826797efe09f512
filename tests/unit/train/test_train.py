"""Training: labels in, views that keep keypoints on the animal, a network that learns, a file that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import msgspec
import numpy as np
import pytest
import yaml
from support.places import ROOT

torch = pytest.importorskip("torch", reason="torch is not installed: training needs the train extra")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: training needs the train extra")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the cpu extra brings it")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: training needs the train extra")

from realtime_cropzoom.errors import ConfigError, DataError, ModelError  # noqa: E402
from realtime_cropzoom.inference.crop import cut, fill_input  # noqa: E402
from realtime_cropzoom.inference.geometries.view import View  # noqa: E402
from realtime_cropzoom.inference.heatmaps import decode  # noqa: E402
from realtime_cropzoom.inference.manifest import LitposeHeatmaps, Role, read_manifest  # noqa: E402
from realtime_cropzoom.inference.model import Model  # noqa: E402
from realtime_cropzoom.inference.normalise import IMAGENET, values_of  # noqa: E402
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings  # noqa: E402
from realtime_cropzoom.train import Epoch, Step, train  # noqa: E402
from realtime_cropzoom.train.augmentation import ViewRule, Views, frame_to_model  # noqa: E402
from realtime_cropzoom.train.config import load_config  # noqa: E402
from realtime_cropzoom.train.dataset import (  # noqa: E402
    LabelledFrame,
    arena_frames,
    mirror_order,
    read_frames,
    with_backgrounds,
)
from realtime_cropzoom.train.evaluate import predict, predict_frames  # noqa: E402
from realtime_cropzoom.train.export import export_onnx, load_checkpoint, new_manifest  # noqa: E402
from realtime_cropzoom.train.network import CropzoomSmall, Heatmaps, targets  # noqa: E402
from realtime_cropzoom.train.occlusion import occlude  # noqa: E402
from realtime_cropzoom.train.photometric import Photometric  # noqa: E402
from realtime_cropzoom.train.trainer import heatmap_loss  # noqa: E402
from realtime_cropzoom.types import Box  # noqa: E402

NAMES = ["snout", "leftear", "rightear", "tailbase"]
NAN = float("nan")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine wait for each other at every layer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_config(folder: Path, **sections: dict[str, Any]) -> Path:
    tree: dict[str, Any] = {
        "data": {"image_resize_dims": {"height": 64, "width": 64}, "csv_file": "labels.csv", "keypoint_names": NAMES},
        "training": {"max_epochs": 3},
        "model": {"backbone": "cropzoom_small", "model_type": "heatmap"},
        "callbacks": {"anneal_weight": {"init_val": 0.0}},
    }
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_config_reads_what_it_needs_and_carries_the_rest(tmp_path: Path) -> None:
    config, tree = load_config(write_config(tmp_path), [])
    assert config.size == (64, 64)
    assert config.role == "detector"
    assert config.training.max_epochs == 3
    assert tree["callbacks"] == {"anneal_weight": {"init_val": 0.0}}


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.max_epochs=7", 7),  # in the file
        ("training.optimizer_params.learning_rate=0.01", 0.01),  # not in the file, but read
        ("cropzoom.crop_size=200", 200),  # the whole section is not in the file
        ("callbacks.anneal_weight.init_val=0.5", 0.5),  # in the file, not read
        ("data.csv_file=a=b.csv", "a=b.csv"),  # only the first = counts
        ("+trainer.new=3", 3),  # as Hydra adds a setting
    ],
)
def test_an_override_sets_its_value(tmp_path: Path, override: str, value: object) -> None:
    _, tree = load_config(write_config(tmp_path), [override])
    for part in override.lstrip("+").partition("=")[0].split("."):
        tree = tree[part]
    assert tree == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.max_epoch=7", "override 'training.max_epoch=7': there is no setting training.max_epoch"),
        ("cropzoom.crop_sise=7", "there is no setting cropzoom.crop_sise"),
        ("training.max_epochs", "override: got 'training.max_epochs', expected the form section.name=value"),
        ("=7", "override: got '=7', expected the form"),
        ("training.max_epochs=0", "training.max_epochs: Input should be greater than 0"),
        ("data.image_resize_dims.width=100", "data.image_resize_dims.width: Input should be a multiple of 32"),
        ("data.image_resize_dims.height=null", "data.image_resize_dims.height: Input should be a valid integer"),
        ("data.downsample_factor=3", "data.downsample_factor: Input should be 2"),
        ("data.csv_file=null", "data.csv_file is null: name a label file, or set cropzoom.arena_share to 1"),
        ("training=3", "override 'training=3': training is a section; expected training.name=value"),
        ("training.max_epochs=[", "override 'training.max_epochs=[': '[' is not a value YAML can read"),
        ("callbacks.anneal_weight.init_val.x=1", "override 'callbacks.anneal_weight.init_val.x=1'"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(write_config(tmp_path), [override])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_misspelt_name_in_our_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cropzoom\.jiter: Extra inputs are not permitted"):
        load_config(write_config(tmp_path, cropzoom={"jiter": 3}), [])


@pytest.mark.parametrize("text", [None, "a: [", "just words"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml") as raised:
        load_config(path, [])
    assert "\n" not in str(raised.value)


def test_a_detector_without_an_export_is_refused(tmp_path: Path) -> None:
    path = write_config(tmp_path, cropzoom={"crop_size": 100})
    with pytest.raises(ModelError, match="has no ONNX export"):
        train(path, tmp_path / "out", detector_model=tmp_path, overrides=[], progress=lambda _: None)


ONE_COLUMN = """scorer,me,me,me,me
bodyparts,snout,snout,tail,tail
coords,x,y,x,y
labeled-data/a/1.png,1.5,2,3,4
labeled-data/a/2.png,,,5,6
"""
THREE_COLUMNS = """scorer,,,me,me,me,me
bodyparts,,,snout,snout,tail,tail
coords,,,x,y,x,y
labeled-data,a,1.png,1.5,2,3,4
labeled-data,a,2.png,,9,5,6
"""


@pytest.mark.parametrize("text", [ONE_COLUMN, THREE_COLUMNS], ids=["path", "folder, session, file"])
def test_frames_are_read_with_their_labels_in_the_order_asked_for(tmp_path: Path, text: str) -> None:
    (tmp_path / "labeled-data/a").mkdir(parents=True)
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"labeled-data/a/{number}.png"), np.full((4, 4, 3), (10, 20, 200), np.uint8))
    (tmp_path / "labels.csv").write_text(text)
    frames = read_frames(tmp_path, tmp_path / "labels.csv", ["tail", "snout"])
    assert [frame.name for frame in frames] == ["labeled-data/a/1.png", "labeled-data/a/2.png"]
    np.testing.assert_array_equal([f.xy for f in frames], [[[3, 4], [1.5, 2]], [[5, 6], [NAN, NAN]]])
    assert frames[0].image[0, 0].tolist() == [200, 20, 10], "RGB"
    assert frames[0].session == "labeled-data/a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot read .*labels\.csv"),
        ("", "expected three header rows"),
        (ONE_COLUMN.replace("tail", "tale"), "no bodypart tail"),
        (ONE_COLUMN.replace("1.5", "one"), "has a coordinate that is not a number"),
    ],
    ids=["missing", "empty", "a keypoint missing", "not a number"],
)
def test_a_label_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    if text is not None:
        (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message) as raised:
        read_frames(tmp_path, tmp_path / "labels.csv", ["snout", "tail"])
    assert "\n" not in str(raised.value)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(ONE_COLUMN)
    with pytest.raises(DataError, match=r"labels\.csv labels .*1\.png, which is not in .* \(\d of \d are missing\)"):
        read_frames(tmp_path, tmp_path / "labels.csv", ["snout"])


def test_left_and_right_swap_in_a_mirror() -> None:
    assert mirror_order(NAMES) == [0, 2, 1, 3]
    assert mirror_order(["Left_paw", "tail", "Right_paw", "leftover"]) == [2, 1, 0, 3]


def marked_frame(size: tuple[int, int] = (320, 240), radius: int = 3) -> LabelledFrame:
    """A frame whose keypoints are the centres of discs of different colours."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    xy = np.array([[150, 90], [140, 110], [165, 112], [155, 150]], np.float32)
    for (x, y), colour in zip(xy, COLOURS, strict=True):
        cv2.circle(image, (int(x), int(y)), radius, colour, -1)
    return LabelledFrame("session/0.png", image, xy, np.full_like(image, 90))


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


def rule(**changes: Any) -> ViewRule:
    standard = {
        "size": (160, 160), "crop_size": 120, "roams": False, "jitter": 4.0, "natural_share": 0.0, "paste_share": 0.0,
        "flip": False, "mirror": (0, 1, 2, 3), "occlude": False,
    }  # fmt: skip
    return ViewRule(**{**standard, **changes})


def centre_of(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Return the (x, y) of the centre of the pixels nearest to a colour."""
    weight = np.clip(120 - np.abs(pixels.astype(float) - colour).max(axis=2), 0, None)
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
    return np.asarray(centre, np.float64)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"natural_share": 1.0},
        {"paste_share": 1.0},
        {"flip": True, "mirror": (0, 2, 1, 3)},
        {"crop_size": None, "size": (320, 256), "roams": True},
        {"crop_size": None, "size": (320, 256), "roams": True, "paste_share": 1.0},
        {"crop_size": None, "size": (320, 256)},
    ],
    ids=["turned", "natural", "pasted", "mirrored", "whole frame", "whole frame, pasted", "whole crop"],
)
def test_keypoints_stay_on_what_they_mark(changes: dict[str, Any]) -> None:
    drawn = rule(**changes)
    views = Views([marked_frame()], drawn, np.random.default_rng(0))
    seen, mirrors = 0, set()
    for _ in range(20):
        pixels, xy, _ = views.draw(0)
        assert pixels.shape == (drawn.size[1], drawn.size[0], 3)
        left_x, left_y = np.nan_to_num(xy[1]).round().astype(int)
        mirrored = pixels[left_y, left_x].argmax() == 2  # the left ear lies on the right one's marker
        mirrors.add(bool(mirrored))
        # Where pixels lie and where keypoints count from differ by half a pixel of frame and model.
        box = Box(0, 0, drawn.crop_size or 320, drawn.crop_size or 240)
        offset = (
            View.of(box, drawn.size).to_input(np.zeros((1, 2), np.float32))[0] - frame_to_model(box, drawn.size)[:2, 2]
        )
        for k, point in enumerate(xy):
            if np.isfinite(point).all() and (point > 12).all() and (point < np.array(drawn.size) - 12).all():
                colour = COLOURS[(0, 2, 1, 3)[k] if mirrored else k]
                np.testing.assert_allclose(centre_of(pixels, colour), point - offset, atol=1.0)
                seen += 1
    assert seen > 40
    assert mirrors == ({True, False} if drawn.flip else {False})


def test_both_hands_are_seen_when_flipping() -> None:
    views = Views([marked_frame()], rule(flip=True, mirror=(0, 2, 1, 3)), np.random.default_rng(0))
    sides = set()
    for _ in range(20):
        _, xy, _ = views.draw(0)
        forward, across = xy[0] - xy[3], xy[2] - xy[1]
        if np.isfinite(xy).all():
            sides.add(bool(forward[0] * across[1] - forward[1] * across[0] > 0))
    assert sides == {True}, "the right ear must stay on the animal's right: it swaps with the left in a mirror"


def test_a_view_that_does_nothing_is_the_runtimes_crop() -> None:
    frame = marked_frame()
    box, size = Box(80, 50, 150, 150), (96, 96)
    expected = cv2.resize(cut(frame.image, box, "pad")[0], size, interpolation=cv2.INTER_LINEAR)
    pixels = cv2.warpAffine(frame.image, frame_to_model(box, size)[:2], size)
    assert np.abs(pixels.astype(int) - expected).max() <= 8  # fixed-point weights of warpAffine
    assert np.abs(pixels.astype(int) - expected).mean() < 0.1


@pytest.mark.parametrize(
    "shares", [{"natural_share": 1.0}, {"paste_share": 1.0}, {}], ids=["natural", "pasted", "turned"]
)
def test_off_the_frame_is_black(shares: dict[str, float]) -> None:
    views = Views([marked_frame()], rule(crop_size=300, **shares), np.random.default_rng(1))
    pixels, _, _ = views.draw(0)  # 300 pixels are more than the frame is high
    assert (pixels.max(axis=2) == 0).mean() > 0.1
    assert (pixels == 90).all(axis=2).mean() > 0.3


def test_keypoints_off_the_view_do_not_count() -> None:
    frame = marked_frame()
    frame.xy[3] = (310, 230)
    _, xy, absent = Views([frame], rule(natural_share=1.0, jitter=0.0), np.random.default_rng(0)).draw(0)
    assert np.isnan(xy).any()
    np.testing.assert_array_equal(absent, np.isnan(xy).any(axis=1))


def test_the_background_is_the_session_without_its_animal() -> None:
    images = [np.full((20, 40, 3), 100, np.uint8) for _ in range(9)]
    for i, image in enumerate(images):
        image[5:9, 4 * i : 4 * i + 4] = 0
    xy = np.zeros((1, 2), np.float32)
    frames = [LabelledFrame(f"a/{i}.png", image, xy) for i, image in enumerate(images)]
    lone = LabelledFrame("b/0.png", images[0], xy)
    *known, unknown = with_backgrounds([*frames, lone])
    backgrounds = [frame.background for frame in known if frame.background is not None]
    assert len(backgrounds) == 9
    assert all((background == 100).all() for background in backgrounds)
    assert unknown.background is None, "one frame alone does not show what is behind the animal"


def test_light_blur_and_noise_change_the_frame_and_leave_the_pixels_off_it_black() -> None:
    image, inside = marked_frame().image, np.zeros((240, 320), np.uint8)
    inside[:, 100:] = 255
    changed = [Photometric(np.random.default_rng(seed))(image, inside) for seed in range(20)]
    assert all((picture[:, :100] == 0).all() for picture in changed)
    assert len({picture.tobytes() for picture in changed}) == 20
    assert np.std([picture[:, 100:].mean() for picture in changed]) > 5


def test_a_share_of_the_views_has_reversed_contrast() -> None:
    image, inside = np.zeros((40, 40, 3), np.uint8), np.full((40, 40), 255, np.uint8)
    image[:, 20:] = 255
    photometric = Photometric(np.random.default_rng(0), invert_share=0.5)
    brighter = [
        picture[:, :20].mean() > picture[:, 20:].mean() for picture in (photometric(image, inside) for _ in range(60))
    ]
    assert 15 < sum(brighter) < 45


@pytest.mark.parametrize("crop_size", [None, 120])
def test_the_animal_gets_as_small_and_large_as_the_range_says(crop_size: int | None) -> None:
    views = Views(
        [marked_frame()], rule(crop_size=crop_size, size=(320, 240), scale_range=(0.5, 2.0)), np.random.default_rng(0)
    )
    unit = (320 if crop_size is None else 120) / 320
    apart = [np.linalg.norm(xy[0] - xy[1]) * unit for _, xy, _ in (views.draw(0) for _ in range(200))]
    true = np.hypot(10, 20)
    assert np.nanmin(apart) < 0.6 * true
    assert np.nanmax(apart) > 1.6 * true


@pytest.mark.parametrize("crop_size", [None, 120])
def test_empty_views_show_no_animal_and_say_so(crop_size: int | None) -> None:
    views = Views([marked_frame()], rule(crop_size=crop_size, empty_share=1.0), np.random.default_rng(0))
    drawn = [views.draw(0) for _ in range(30)]
    assert all(view.absent.all() and np.isnan(view.xy).all() for view in drawn)
    assert len({view.pixels.tobytes() for view in drawn}) > 10


def test_cables_and_patches_hide_a_little_in_a_few_views() -> None:
    frame = marked_frame()
    hidden = [(occluded(frame, seed) != frame.image).any(axis=2).mean() for seed in range(200)]
    assert 0.1 < np.mean(np.array(hidden) > 0) < 0.5
    assert max(hidden) < 0.2


def occluded(frame: LabelledFrame, seed: int) -> np.ndarray:
    pixels = frame.image.copy()
    occlude(pixels, frame.xy, np.random.default_rng(seed))
    return pixels


def test_an_absent_keypoint_costs_nothing_if_its_heatmap_is_flat() -> None:
    xy, absent = torch.full((1, 1, 2), NAN), torch.ones(1, 1, dtype=torch.bool)
    flat, peaked = torch.zeros(1, 1, 16, 16), targets(torch.full((1, 1, 2), 30.0), (64, 64), 1.25).log()
    assert float(heatmap_loss(flat, xy, (64, 64), 1.25, absent)) == pytest.approx(0, abs=1e-6)
    assert float(heatmap_loss(peaked, xy, (64, 64), 1.25, absent)) > 1
    assert float(heatmap_loss(peaked, xy, (64, 64), 1.25)) == 0


def test_arena_frames_carry_the_truth_and_other_seeds_share_nothing() -> None:
    frames = arena_frames(5, NAMES[::-1], 3)
    assert len(frames) == 5
    number, index = (int(part) for part in frames[0].name.split("/")[1:])
    assert number == 0
    assert frames[0].image.shape == (480, 640, 3)
    assert not np.array_equal(frames[0].image, arena_frames(1, NAMES, 4)[0].image)
    arena = Arena(ArenaSettings(seed=300_000))
    np.testing.assert_allclose(frames[0].xy, arena.truth(index)[::-1], atol=40)
    with pytest.raises(DataError, match="no keypoint whisker"):
        arena_frames(1, ["whisker"], 0)


def test_varied_arenas_hold_every_animal_on_every_floor_and_empty_ones_none() -> None:
    frames = arena_frames(160, NAMES, 2, "varied", empty=0.25)
    labelled = [frame for frame in frames if frame.is_labelled]
    assert 0.5 < len(labelled) / len(frames) < 0.95
    lengths, contrasts = [], []
    for frame in labelled:
        assert (frame.xy >= 0).all()
        assert (frame.xy < frame.image.shape[1::-1]).all()
        lengths.append(np.linalg.norm(frame.xy[0] - frame.xy[3]))
        x, y = np.round(0.4 * frame.xy[0] + 0.6 * frame.xy[3]).astype(int)
        contrasts.append(float(frame.image[y, x].mean()) - float(np.median(frame.image)))
    assert min(lengths) < 70
    assert max(lengths) > 220
    assert min(contrasts) < -40
    assert max(contrasts) > 40
    assert len({frame.image.shape for frame in frames}) > 2
    again = arena_frames(8, NAMES, 2, "varied", empty=0.25)
    np.testing.assert_array_equal(again[5].image, frames[5].image)


@pytest.mark.parametrize("size", [(160, 160), (192, 160)])
def test_targets_are_what_the_decoder_reads(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    xy = rng.uniform(10, 145, (1, 50, 2)).astype(np.float32)
    heatmaps = targets(torch.from_numpy(xy), size, 1.25)
    torch.testing.assert_close(heatmaps.sum((2, 3)), torch.ones(1, 50))
    found = decode(heatmaps[0].numpy(), 2, "reference")
    assert np.abs(found.xy - xy[0]).max() < 0.1
    assert found.likelihood.min() > 0.99
    assert float(heatmaps.amax((2, 3)).min()) > 0.03


def test_unlabelled_keypoints_do_not_contribute() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 16, 16, requires_grad=True)
    xy = torch.full((2, 3, 2), 20.0)
    xy[0, 1] = NAN
    xy[1, 2, 0] = NAN
    loss = heatmap_loss(logits, xy, (64, 64), 1.25)
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert (logits.grad.abs().sum((2, 3)) > 0).tolist() == [[True, False, True], [True, True, False]]
    assert float(heatmap_loss(logits.detach(), torch.full((2, 3, 2), NAN), (64, 64), 1.25)) == 0


def test_the_loss_is_zero_for_perfect_heatmaps() -> None:
    xy = torch.tensor([[[30.0, 21.5]]])
    assert abs(float(heatmap_loss(targets(xy, (64, 64), 1.25).log(), xy, (64, 64), 1.25))) < 1e-5


def test_the_exported_file_agrees_with_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CropzoomSmall(4)
    network.train()
    for _ in range(3):
        network(torch.randn(4, 3, 96, 64))  # so that the normalisations have seen something
    network.eval()
    manifest = msgspec.structs.replace(new_manifest("pose", NAMES, (64, 96)), crop_size=240, trained_on="noise")
    export_onnx(network, manifest, tmp_path / "model.onnx")

    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [("images", [1, 3, 96, 64], "tensor(float)")]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("heatmaps", [1, 4, 24, 16])]
    images = torch.randn(1, 3, 96, 64)
    (heatmaps,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(heatmaps, Heatmaps(network)(images).numpy(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(heatmaps.sum((2, 3)), 1, rtol=1e-5)

    proto = onnx.load(tmp_path / "model.onnx")
    assert [p.key for p in proto.metadata_props] == ["cropzoom"]
    said = read_manifest(proto.metadata_props[0].value, "the file")
    assert said == manifest
    assert (said.version, said.kind, said.role, said.crop_size) == (1, "heatmap", "pose", 240)
    assert (said.keypoint_names, said.decoder, said.input.size) == (tuple(NAMES), LitposeHeatmaps(2), (64, 96))
    assert (said.input.mean, said.input.std) == (IMAGENET.mean, IMAGENET.std)
    assert said.created_with.startswith("realtime-cropzoom ")
    assert "BatchNormalization" not in {node.op_type for node in proto.graph.node}
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"], "weights belong into the file"
    assert b"site-packages" not in (tmp_path / "model.onnx").read_bytes(), "no paths of the machine that made it"


def write_arena_labels(folder: Path, count: int) -> None:
    """A label file of a few arena frames, small."""
    (folder / "images").mkdir()
    arena = Arena(ArenaSettings(width=160, height=120, seed=5))
    lines = [
        ",".join(["scorer"] + ["me"] * 8),
        ",".join(["bodyparts"] + [n for n in NAMES for _ in "xy"]),
        ",".join(["coords"] + ["x", "y"] * 4),
    ]
    for i in range(count):
        cv2.imwrite(str(folder / f"images/{i}.png"), arena.render(i * 7)[:, :, ::-1])
        cells = [f"{value:.3f}" for value in arena.truth(i * 7).ravel()]
        if i == 0:
            cells[:2] = ["", ""]
        lines.append(",".join([f"images/{i}.png", *cells]))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def test_a_training_learns_and_leaves_a_model_directory(tmp_path: Path) -> None:
    write_arena_labels(tmp_path, 12)
    path = write_config(
        tmp_path,
        data={"data_dir": str(tmp_path), "image_resize_dims": {"height": 64, "width": 64}},
        training={"train_prob": 0.8, "val_prob": 0.2, "train_batch_size": 8, "imgaug_hflip": True},
        cropzoom={"crop_size": 64, "jitter": 2, "views_per_epoch": 64},
    )
    seen: list[Epoch] = []
    steps: list[Step] = []
    lines: list[str] = []
    overrides = ["training.max_epochs=6", "cropzoom.arena_share=0.1", "cropzoom.arena_frames=2"]
    out = tmp_path / "out"
    report = train(
        path, out, detector_model=None, overrides=overrides, progress=seen.append, step=steps.append, say=lines.append
    )
    assert [step.done for step in steps] == list(range(1, 6 * 8 + 1))
    assert {step.of for step in steps} == {6 * 8}
    assert steps[0].seconds_left > 0
    assert steps[-1].seconds_left == 0
    assert lines[0] == "reading the labelled frames"
    assert "preparing 10 frames to train on and 2 held-out frames" in lines

    assert [epoch.number for epoch in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].loss < 0.7 * seen[0].loss
    assert "epoch 6/6  loss " in str(seen[-1])
    assert "held-out error" in str(seen[-1])
    assert (report.role, report.train_frames, report.held_out_frames) == ("pose", 10, 2)
    assert np.isfinite([report.mean_error_px, report.median_error_px]).all()
    assert report.epochs == tuple(seen)
    assert "10 frames trained on; 2 held out, error mean " in str(report)
    assert report.verdict.split()[0] in {"good:", "usable", "poor:"}
    assert "\nverdict: " in str(report)

    assert report.model == out / "exports_onnx/cropzoom_small_fp32.onnx"
    assert yaml.safe_load((out / "config.yaml").read_text())["training"]["max_epochs"] == 6
    assert (out / "cropzoom_small.pt").exists()
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "loss.csv").read_text().splitlines()[0] == "epoch,loss,held_out_px,seconds"
    predictions = (out / "image_preds/labels.csv/predictions.csv").read_text().splitlines()
    assert predictions[0].startswith("scorer,heatmap_tracker,")
    assert len(predictions) == 3 + 12
    assert predictions[3].startswith("images/0.png,")
    errors = (out / "image_preds/labels.csv/predictions_pixel_error.csv").read_text().splitlines()
    assert errors[0] == ",snout,leftear,rightear,tailbase,set"
    assert errors[1].startswith("images/0.png,,"), "what is not labelled has no error"
    assert {line.rpartition(",")[2] for line in errors[1:]} == {"train", "validation"}

    network = load_checkpoint(out).network
    frame = read_frames(tmp_path, tmp_path / "labels.csv", NAMES)[1]
    box = Box(20, 10, 64, 64)
    images = np.zeros((1, 3, 64, 64), np.float32)
    fill_input(cut(frame.image, box, "pad")[0], images[0], "fast", values_of(IMAGENET))
    with torch.no_grad():
        maps = Heatmaps(network)(torch.from_numpy(images))[0].numpy()
    expected = View.of(box, (64, 64)).to_frame(decode(maps, 2, "reference").xy)
    np.testing.assert_allclose(predict(Model(report.model, "pose"), frame.image, box).xy, expected, atol=0.05)


def test_the_same_seeds_give_the_same_weights(tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        data={"csv_file": None},
        training={"train_batch_size": 4, "max_epochs": 1},
        cropzoom={"arena_share": 1.0, "arena_frames": 4, "views_per_epoch": 8, "crop_size": 240},
    )
    weights = []
    for name in ("a", "b"):
        train(path, tmp_path / name, detector_model=None, overrides=[], progress=lambda _: None)
        weights.append(load_checkpoint(tmp_path / name).network.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_a_pose_model_is_measured_in_the_detectors_boxes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models = {}
    roles: tuple[Role, ...] = ("detector", "pose")
    for role in roles:
        export_onnx(CropzoomSmall(4).eval(), new_manifest(role, NAMES, (64, 64)), tmp_path / f"{role}.onnx")
        models[role] = Model(tmp_path / f"{role}.onnx", role)
    frames = arena_frames(2, NAMES, 0)
    by_labels = predict_frames(models["pose"], frames, crop_size=240, detector=None)
    by_detector = predict_frames(models["pose"], frames, crop_size=240, detector=models["detector"])
    mean = frames[0].xy.mean(axis=0)
    assert by_labels[0].box[:2] == tuple(int(c - 120) for c in mean)
    assert by_labels[0].box != by_detector[0].box


@pytest.mark.parametrize("role", ["detector", "pose"])
def test_the_configurations_that_ship_are_valid(role: Literal["detector", "pose"]) -> None:
    path = ROOT / f"configs/train_openfield_{role}.yaml"
    config, _ = load_config(path, [])
    assert config.role == role
    assert list(config.data.keypoint_names) == NAMES
