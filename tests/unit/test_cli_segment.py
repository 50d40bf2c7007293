"""`segment --auto` over folders: every format holds the engine's masks; what is refused."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import supervisely as sly
from cli_scenes import AUTO, NAMES, SIZE, coco_masks, draw_folder, same_masks
from PIL import Image
from pycocotools.coco import COCO

from sam2_serving.cli import main
from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.inputs import find_images
from sam2_serving.engine import Engine, ImageKey, ImageSource
from sam2_serving.masks import decode_rle
from sam2_serving.model import AutomaticSettings, load_model
from sam2_serving.pretrained import REPOSITORY

SETTINGS = AutomaticSettings(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A folder of scenes, and the masks that the engine finds in them."""
    folder = tmp_path_factory.mktemp("scenes")
    drawn = draw_folder(folder / "in")
    model = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    found = {}
    with Engine(model, store_bytes=2**26) as engine:
        for name, scene in drawn.items():
            source = ImageSource(ImageKey("test", "", name), lambda scene=scene: scene.image)
            found[name] = list(engine.find_all(source, SETTINGS))
    assert sum(len(masks) for masks in found.values()) > 10, "the test is about masks"
    return folder, found


def masks_of(found):
    return {name: [one.mask() for one in masks] for name, masks in found.items()}


def run(scenes, monkeypatch, tmp_path, *extra, inputs=("in",)):
    folder, _ = scenes
    monkeypatch.chdir(folder)
    out = tmp_path / "out"
    code = main(["segment", *inputs, *AUTO, "--out", str(out), *extra])
    return code, out


def test_coco_holds_the_engines_masks_and_pycocotools_loads_it(scenes, monkeypatch, tmp_path):
    code, out = run(scenes, monkeypatch, tmp_path)
    assert code == 0
    found = scenes[1]
    assert same_masks(coco_masks(out / "annotations.json"), masks_of(found))
    coco = COCO(str(out / "annotations.json"))
    names = {number: image["file_name"] for number, image in coco.imgs.items()}
    assert sorted(names.values()) == sorted(NAMES)
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["object_mask"]
    for number, name in names.items():
        assert (coco.imgs[number]["width"], coco.imgs[number]["height"]) == SIZE
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert len(annotations) == len(found[name])
        for said, one in zip(annotations, found[name], strict=True):
            mask = coco.annToMask(said).astype(bool)
            np.testing.assert_array_equal(mask, one.mask())
            ys, xs = np.nonzero(mask)
            x, y, width, height = said["bbox"]
            assert (x, y, x + width - 1, y + height - 1) == (xs.min(), ys.min(), xs.max(), ys.max())
            assert said["area"] == mask.sum()
            assert said["iscrowd"] == 0
            assert said["predicted_iou"] == one.predicted_iou
            assert said["stability_score"] == one.stability_score
            assert said["point_coords"] == [list(one.point)]


def test_rle_json_is_a_file_for_each_image(scenes, monkeypatch, tmp_path):
    code, out = run(scenes, monkeypatch, tmp_path, "--format", "rle-json")
    assert code == 0
    found = {}
    for name in NAMES:
        said = json.loads((out / f"{name}.json").read_text())
        assert said["image"] == {"file_name": name, "width": SIZE[0], "height": SIZE[1]}
        found[name] = [decode_rle(one["segmentation"]) for one in said["annotations"]]
    assert same_masks(found, masks_of(scenes[1]))


def test_png_is_a_folder_for_each_image_with_a_table(scenes, monkeypatch, tmp_path):
    code, out = run(scenes, monkeypatch, tmp_path, "--format", "png")
    assert code == 0
    found = {}
    for name in NAMES:
        with (out / name / "metadata.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        found[name] = [np.asarray(Image.open(out / name / f"{row['id']}.png")) > 0 for row in rows]
        assert len(list((out / name).iterdir())) == len(rows) + 1
        for row, mask, one in zip(rows, found[name], scenes[1][name], strict=True):
            assert int(row["area"]) == mask.sum()
            assert float(row["predicted_iou"]) == one.predicted_iou
            assert float(row["stability_score"]) == one.stability_score
    assert same_masks(found, masks_of(scenes[1]))


@pytest.mark.parametrize("geometry", ["bitmap", "polygon"])
def test_supervisely_is_a_project_that_the_sdk_reads(scenes, monkeypatch, tmp_path, geometry):
    exact = ["--polygon-tolerance", "0"] if geometry == "polygon" else []
    form = ["--format", "supervisely", "--geometry", geometry, *exact]
    code, out = run(scenes, monkeypatch, tmp_path, *form)
    assert code == 0
    project = sly.Project(str(out), sly.OpenMode.READ)
    items = {}
    for dataset in project.datasets:
        for name, image, annotation in dataset.items():
            folder = {"ds0": "", "other/datasets/deep": "other/deep/"}
            place = folder.get(dataset.name, f"{dataset.name}/")
            items[place + name] = sly.Annotation.load_json_file(annotation, project.meta)
            assert Path(image).read_bytes() == (scenes[0] / "in" / (place + name)).read_bytes()
    assert sorted(items) == sorted(NAMES)
    for name, annotation in items.items():
        assert annotation.img_size == SIZE[::-1]
        drawn = np.zeros(SIZE[::-1], np.uint8)
        for label in annotation.labels:
            assert label.obj_class.name == "object_mask"
            label.draw(drawn, color=1)
        masks = [one.mask() for one in scenes[1][name]]
        union = np.any(masks, axis=0) if masks else np.zeros(SIZE[::-1], bool)
        np.testing.assert_array_equal(drawn > 0, union)
        if geometry == "bitmap":
            assert len(annotation.labels) == len(masks)


def test_names_of_a_project_do_not_get_in_the_way(tmp_path, monkeypatch):
    names = ("a.png", "ds0/a.png", "img/a.png", "img_/a.png", "ann/datasets/a.png")
    draw_folder(tmp_path / "in", names)
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "in", *AUTO, "--format", "supervisely", "--out", "out"]) == 0
    project = sly.Project("out", sly.OpenMode.READ)
    found = [image for dataset in project.datasets for _, image, _ in dataset.items()]
    drawn = {(tmp_path / "in" / name).read_bytes() for name in names}
    assert {Path(image).read_bytes() for image in found} == drawn
    assert len(found) == len(names)


def test_what_the_sdk_reserves_is_known_here():
    from sam2_serving.project_folders import RESERVED

    assert set(sly.Dataset.ignorable_dirs()) <= RESERVED


def test_globs_files_and_folders_are_each_taken_once(scenes, monkeypatch, tmp_path):
    given = ("in/*.png", "in/b.png", "in/**/b.png", "in/sub")
    code, out = run(scenes, monkeypatch, tmp_path, inputs=given)
    assert code == 0
    assert sorted(coco_masks(out / "annotations.json")) == sorted(NAMES)


def test_a_name_that_looks_like_a_glob_is_a_name(scenes, monkeypatch, tmp_path):
    file = "in/" + NAMES[3]
    code, out = run(scenes, monkeypatch, tmp_path, inputs=(file,))
    assert code == 0
    assert list(coco_masks(out / "annotations.json")) == [Path(file).name]


def test_results_inside_the_inputs_are_no_inputs(tmp_path, monkeypatch):
    draw_folder(tmp_path, NAMES[:2])
    monkeypatch.chdir(tmp_path)
    again = ["segment", ".", *AUTO, "--format", "png", "--out", "masks", "--resume"]
    for _ in range(2):
        assert main(again) == 0
    assert {path.name for path in Path("masks").iterdir()} == {*NAMES[:2], ".sam2-serving"}


def test_results_of_other_runs_are_no_inputs(tmp_path, monkeypatch):
    draw_folder(tmp_path / "in", NAMES[:1])
    monkeypatch.chdir(tmp_path / "in")
    found = [*AUTO, "--pred-iou-thresh", "0.1", "--format", "png"]
    assert main(["segment", ".", *found, "--out", "masks"]) == 0
    assert list(Path("masks").glob("*/*.png"))
    for given in (".", "**", "*"):
        images = find_images([given, "b.png"], Path("other")).images
        assert [image.name for image in images] == ["b.png"], given
    with pytest.raises(UsageError, match="no images in"):
        find_images(["*/b.png/*.png"], Path("other"))
    for named_itself in ("masks", "masks/*/*.png"):
        assert len(find_images([named_itself], Path("other")).images) > 1


def test_a_folder_whose_name_looks_like_a_glob(tmp_path, monkeypatch):
    place = tmp_path / "set [1]"
    draw_folder(place / "in", NAMES)
    monkeypatch.chdir(place)
    names = [image.name for image in find_images(["in/**/b.png"], Path("out")).images]
    assert names == [name for name in sorted(NAMES) if Path(name).name == "b.png"]
    assert find_images(["../*1?/in/b.png"], Path("out")).root == tmp_path


def test_images_that_cannot_be_read_are_listed_and_tried_again(tmp_path, monkeypatch, capsys):
    draw_folder(tmp_path / "in", NAMES[:2])
    (tmp_path / "in/broken.jpg").write_text("no picture")
    (tmp_path / "in/gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "in", *AUTO, "--out", "out"]) == 1
    said = capsys.readouterr()
    assert "Segmented 2 of 5 images" in said.out
    assert "'pipe.png': It is no file." in said.err
    assert "'broken.jpg': The image's file is damaged" in said.err
    assert "'gone.png': It cannot be read: No such file" in said.err
    assert sorted(coco_masks(tmp_path / "out/annotations.json")) == sorted(NAMES[:2])
    os.unlink("in/pipe.png")
    draw_folder(tmp_path / "in", ("broken.jpg", "nowhere.png"))
    assert main(["segment", "in", *AUTO, "--out", "out", "--resume"]) == 0
    assert len(coco_masks(tmp_path / "out/annotations.json")) == 5


def test_a_name_of_bytes_that_are_no_text(tmp_path, monkeypatch):
    draw_folder(tmp_path / "in", NAMES[:1])
    odd = os.fsdecode(b"in/\xff\xfe.png")
    monkeypatch.chdir(tmp_path)
    os.rename("in/b.png", odd)
    for form in ("coco", "png", "supervisely"):
        out = ["--out", form, "--format", form, "--resume"]
        assert main(["segment", "in", *AUTO, *out]) == 0
    assert main(["segment", "in", *AUTO, "--out", "coco", "--resume"]) == 0
    assert list(coco_masks(tmp_path / "coco/annotations.json")) == [odd.removeprefix("in/")]


def test_a_name_too_long_for_its_result_fails_alone(tmp_path, monkeypatch, capsys):
    draw_folder(tmp_path / "in", ("x" * 250 + ".png", "short.png"))
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "in", *AUTO, "--out", "out"]) == 1
    assert "File name too long" in capsys.readouterr().err
    assert list(coco_masks(tmp_path / "out/annotations.json")) == ["short.png"]


def test_cleanup_is_done_to_every_mask(scenes, monkeypatch, tmp_path):
    huge = str(SIZE[0] * SIZE[1])
    code, out = run(scenes, monkeypatch, tmp_path, "--island-area", huge)
    assert code == 0
    masks = [m for some in coco_masks(out / "annotations.json").values() for m in some]
    import cv2

    parts = [cv2.connectedComponents(mask.astype(np.uint8))[0] - 1 for mask in masks]
    assert set(parts) == {1}
    before = [m.mask() for some in scenes[1].values() for m in some]
    assert any(cv2.connectedComponents(mask.astype(np.uint8))[0] > 2 for mask in before)


REFUSED = {
    "no place": (["in", "--auto"], "--out DIR"),
    "both ways": (["in", "--auto", "--boxes", "b.json", "--out", "o"], "choose one"),
    "clicks for many": (["in", "--point", "1", "1"], "one image"),
    "clicks for two": (["in/b.png", "in/a b.png", "--point", "1", "1"], "one image"),
    "clicks and auto": (["in", "--auto", "--point", "1", "1", "--out", "o"], "--point is for one"),
    "overlay of many": (["in", "--auto", "--overlay", "x.png", "--out", "o"], "--overlay is for"),
    "out of clicks": (["in/b.png", "--point", "1", "1", "--out", "o"], "--out goes with --auto"),
    "setting of auto": (["in/b.png", "--point", "1", "1", "--use-m2m"], "--use-m2m goes with"),
    "no image": (["empty", "--auto", "--out", "o"], "no images in 'empty'"),
    "nothing": (["missing", "--auto", "--out", "o"], "no file or folder 'missing'"),
    "empty glob": (["in/*.gif", "--auto", "--out", "o"], "no images in 'in/*.gif'"),
    "full folder": (["in", "--auto", "--out", "in"], "not empty"),
    "file": (["in", "--auto", "--out", "in/b.png"], "is a file"),
    "below a file": (["in", "--auto", "--out", "in/b.png/x/y"], "in/b.png' is a file"),
    "where none can be": (["in", "--auto", "--out", "/proc/none"], "cannot be written to"),
    "resume of nothing": (["in", "--auto", "--out", "in", "--resume"], "not empty"),
    "polygons of coco": (["in", "--auto", "--out", "o", "--geometry", "polygon"], "supervisely"),
    "no number": (
        ["in", "--auto", "--out", "o", "--points-per-side", "many"],
        "points_per_side must be a whole number from 1 to 256, not 'many'.",
    ),
    "half a point": (
        ["in", "--auto", "--out", "o", "--points-per-side", "3.5"],
        "points_per_side must be a whole number from 1 to 256, not 3.5.",
    ),
    "no share": (
        ["in", "--auto", "--out", "o", "--pred-iou-thresh", "nan"],
        "pred_iou_thresh must be a number from 0 to 1, not nan.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_nonsense_is_refused_with_a_sentence(scenes, monkeypatch, tmp_path, capsys, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").symlink_to(scenes[0] / "in")
    (tmp_path / "empty").mkdir()
    before = set(tmp_path.rglob("*"))
    arguments, words = REFUSED[what]
    assert main(["segment", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert set(tmp_path.rglob("*")) == before


def test_every_setting_of_automatic_masks_is_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    told = capsys.readouterr().out
    for name in AutomaticSettings.__dataclass_fields__:
        assert (f"--{name.replace('_', '-')}" in told) == (name != "output_mode")
