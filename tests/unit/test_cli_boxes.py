"""`segment --boxes`: the mask of each box, under its class and number; what boxes are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import supervisely as sly
from cli_scenes import NAMES, SIZE, coco_boxes_of, coco_masks, draw_folder
from PIL import Image
from pycocotools.coco import COCO

from sam2_serving.cli import main
from sam2_serving.engine import Engine, ImageKey, ImageSource
from sam2_serving.masks import Box, tight_box
from sam2_serving.model import Prompts, load_model
from sam2_serving.pretrained import REPOSITORY

FAST = ["--device", "cpu", "--model", "nano"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return folder, draw_folder(folder / "in")


@pytest.fixture(scope="module")
def engine():
    model = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    with Engine(model, store_bytes=2**26) as engine:
        yield engine


@pytest.fixture
def here(scenes, monkeypatch, tmp_path):
    """A folder with the scenes and their boxes."""
    folder, drawn = scenes
    monkeypatch.chdir(tmp_path)
    Path("in").symlink_to(folder / "in")
    Path("boxes.json").write_text(json.dumps(coco_boxes_of(drawn)))
    return tmp_path


def segment(*arguments: str) -> int:
    return main(["segment", *arguments, *FAST])


def sly_annotation(scene, numbers: tuple[int, ...] = ()) -> dict:
    """Return the platform's JSON of a scene's true boxes, and a polygon."""
    objects = []
    for at, mask in enumerate(scene.masks):
        box = tight_box(mask)
        if box is None:
            continue
        rectangle = sly.Rectangle(box.y0, box.x0, box.y1 - 1, box.x1 - 1)
        label = sly.Label(rectangle, sly.ObjClass(("cat", "dog")[at % 2], sly.Rectangle))
        objects.append(label.to_json() | ({"id": numbers[at]} if numbers else {}))
    line = sly.Polygon([sly.PointLocation(1, 1), sly.PointLocation(9, 1), sly.PointLocation(9, 9)])
    objects.append(sly.Label(line, sly.ObjClass("line", sly.Polygon)).to_json())
    return sly.Annotation(SIZE[::-1]).to_json() | {"objects": objects}


def test_coco_boxes_keep_their_numbers_and_get_the_engines_masks(here, scenes, engine):
    assert segment("in", "--boxes", "boxes.json", "--out", "out") == 0
    asked, found = COCO("boxes.json"), COCO("out/annotations.json")
    assert found.cats == asked.cats
    assert {n: i["file_name"] for n, i in found.imgs.items()} == {
        n: i["file_name"] for n, i in asked.imgs.items()
    }
    assert sorted(found.anns) == sorted(asked.anns)
    overlaps = []
    for number, image in asked.imgs.items():
        scene = scenes[1][image["file_name"]]
        source = ImageSource(ImageKey("t", "", image["file_name"]), lambda scene=scene: scene.image)
        wanted = asked.imgToAnns[number]
        prompts = [Prompts(box=box_of(one["bbox"])) for one in wanted]
        for one, answer in zip(wanted, engine.segment_many(source, prompts), strict=True):
            said = found.anns[one["id"]]
            assert (said["image_id"], said["category_id"]) == (number, one["category_id"])
            mask = found.annToMask(said).astype(bool)
            np.testing.assert_array_equal(mask, answer.mask)
            assert said["predicted_iou"] == answer.predicted_iou
            assert said["prompt_box"] == one["bbox"]
            truth = scene.masks[one["id"] - 500 - 1000 * (number - 70)]
            overlaps.append((mask & truth).sum() / (mask | truth).sum())
    assert len(overlaps) > 10
    assert np.mean(overlaps) > 0.7


def box_of(bbox: list[float]) -> Box:
    x, y, width, height = bbox
    return Box(x, y, x + width, y + height)


def test_numbers_that_some_boxes_have_are_not_kept(here, scenes):
    """A number that is counted could be one that is given."""
    said = coco_boxes_of(scenes[1])
    said["annotations"] = [a for a in said["annotations"] if a["image_id"] == 70][:2]
    said["annotations"][0].pop("id")
    said["annotations"][1]["id"] = 1
    Path("some.json").write_text(json.dumps(said))
    assert segment("in/b.png", "--boxes", "some.json", "--out", "out") == 0
    told = json.loads(Path("out/annotations.json").read_text())
    assert [one["id"] for one in told["annotations"]] == [1, 2]


def test_many_boxes_of_one_image_are_asked_in_parts_with_the_same_masks(here, monkeypatch):
    assert segment("in/b.png", "--boxes", "boxes.json", "--out", "whole") == 0
    said = json.loads(Path("boxes.json").read_text())
    one = [a for a in said["annotations"] if a["image_id"] == 70]
    said["annotations"] = [{**one[at % len(one)], "id": at + 1} for at in range(20)]
    Path("many.json").write_text(json.dumps(said))
    assert segment("in", "--boxes", "many.json", "--out", "once") == 0
    monkeypatch.setattr("sam2_serving.commands.tasks._MASKS_BYTES", 1)
    assert segment("in", "--boxes", "many.json", "--out", "parts") == 0
    assert Path("once/annotations.json").read_bytes() == Path("parts/annotations.json").read_bytes()


def test_a_project_of_the_platform_is_read_as_it_lies(tmp_path, monkeypatch):
    names = ("one/img/b.png", "two/img/b.png")
    drawn = draw_folder(tmp_path / "project", names)
    monkeypatch.chdir(tmp_path)
    count = 0
    for at, (name, scene) in enumerate(drawn.items()):
        file = tmp_path / "project" / name.replace("/img/", "/ann/")
        file.parent.mkdir()
        numbers = tuple(100 * at + n + 1 for n in range(len(scene.masks)))
        said = sly_annotation(scene, numbers)
        count += len(said["objects"]) - 1
        Path(f"{file}.json").write_text(json.dumps(said))
    Path("project/meta.json").write_text("{}")
    Path("project/.hidden").mkdir()
    Path("project/.hidden/run.json").write_text("{}")
    out = ["--out", "out", "--format", "supervisely"]
    assert segment("project", "--boxes", "project", *out) == 0
    project = sly.Project("out", sly.OpenMode.READ)
    labels = [
        label
        for dataset in project.datasets
        for _, _, file in dataset.items()
        for label in sly.Annotation.load_json_file(file, project.meta).labels
    ]
    assert len(labels) == count > 4
    assert {label.obj_class.name for label in labels} == {"cat", "dog"}
    assert len({label.geometry.sly_id for label in labels}) == count


def test_one_annotation_of_the_platform_for_one_image(here, scenes, capsys):
    Path("b.png.json").write_text(json.dumps(sly_annotation(scenes[1]["b.png"])))
    assert segment("in/b.png", "--boxes", "b.png.json", "--out", "out") == 0
    assert list(coco_masks(here / "out/annotations.json")) == ["b.png"]
    assert "1 annotations are no rectangles" in capsys.readouterr().err
    names = {
        one["name"] for one in json.loads(Path("out/annotations.json").read_text())["categories"]
    }
    assert names == {"cat", "dog"}


def test_images_without_boxes_and_boxes_without_images_are_said(here, scenes, capsys):
    said = coco_boxes_of(scenes[1])
    said["images"] = [*said["images"][1:], {"id": 5, "file_name": "elsewhere/b.png"}]
    said["annotations"] = [a for a in said["annotations"] if a["image_id"] != 70]
    Path("boxes.json").write_text(json.dumps(said))
    assert segment("in", "--boxes", "boxes.json", "--out", "out") == 0
    err = capsys.readouterr().err
    assert "1 images have no entry in the boxes" in err
    assert "1 images of the boxes are not among the inputs ('elsewhere/b.png')" in err
    assert sorted(coco_masks(here / "out/annotations.json")) == sorted(set(NAMES) - {"b.png"})


def test_bad_boxes_do_not_spoil_the_good_ones(here, scenes, capsys):
    said = coco_boxes_of(scenes[1])
    good = len(said["annotations"])
    for at, bbox in enumerate(([5, 5, 0, 9], [900, 900, 9, 9], [5, 5, -4, -4])):
        said["annotations"].append(
            {"id": at + 1, "image_id": 71, "category_id": 3, "bbox": [float(s) for s in bbox]}
        )
    Path("boxes.json").write_text(json.dumps(said))
    for extra in ([], ["--resume"]):
        assert segment("in", "--boxes", "boxes.json", "--out", "out", *extra) == 1
        err = capsys.readouterr().err
        assert "Boxes without a mask: 3" in err
        assert "'a b.png': the box 900, 900, 909, 909 (annotation 2) of class 'thing'" in err
    assert len(COCO("out/annotations.json").anns) == good


def test_boxes_for_another_size_fail_but_a_turned_photo_is_taken_as_stored(here, capsys):
    """A photo with an orientation, whose boxes were drawn on the pixels as they are stored."""
    Path("turned").mkdir()
    picture = Image.open("in/b.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save("turned/b.jpg", exif=exif, quality=95)
    for size, code in ((SIZE, 0), (SIZE[::-1], 0), ((99, 99), 1)):
        image = {"id": 1, "file_name": "b.jpg", "width": size[0], "height": size[1]}
        box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10.0, 10.0, 80.0, 80.0]}
        said = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "x"}]}
        Path("turned.json").write_text(json.dumps(said))
        out = f"out{size[0]}"
        assert segment("turned", "--boxes", "turned.json", "--out", out) == code
        for masks in coco_masks(here / out / "annotations.json").values():
            assert masks[0].shape == size[::-1]
    assert "its boxes are for 99 x 99" in capsys.readouterr().err


def coco(**parts: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "images": [{"id": 1, "file_name": "a b.png"}],
        "annotations": [],
        "categories": [{"id": 1, "name": "x"}],
    }
    return whole | parts


BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
REFUSED = {
    "no file": (None, "cannot be read: No such file"),
    "no JSON": ("{", "are no JSON"),
    "a list": ("[]", "are neither a COCO file"),
    "deep": ("[" * 100_000, "are no JSON"),
    "no categories": (json.dumps({"images": [], "annotations": []}), "categories: Field required"),
    "no images": (json.dumps(coco(images=[])), "no images in the boxes"),
    "unknown image": (json.dumps(coco(annotations=[BOX | {"image_id": 2}])), "an unknown image"),
    "unknown class": (
        json.dumps(coco(annotations=[BOX | {"category_id": 2}])),
        "annotations.0 is of an unknown category",
    ),
    "three sides": (json.dumps(coco(annotations=[BOX | {"bbox": [1, 1, 5]}])), "0.bbox: List"),
    "side of words": (
        json.dumps(coco(annotations=[BOX | {"bbox": [1, 1, 5, "5"]}])),
        "annotations.0.bbox.3: Input should be a valid number",
    ),
    "no number": (
        json.dumps(coco(annotations=[BOX | {"bbox": [1, 1, 5, float("nan")]}])),
        "finite number",
    ),
    "twice": (
        json.dumps(coco(images=[{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}])),
        "image id 1 more than once",
    ),
    "nothing fits": (
        json.dumps(coco(images=[{"id": 1, "file_name": "val/a b.png"}])),
        "None of the images that the boxes name",
    ),
    "fits two": (
        json.dumps(coco(images=[{"id": 1, "file_name": "x/b.png"}, {"id": 2, "file_name": "b"}])),
        "may be those of",
    ),
    "one image twice": (
        json.dumps(coco(images=[{"id": 1, "file_name": "a b.png"}, {"id": 2, "file_name": "a b"}])),
        "are the image 'a b.png'",
    ),
    "no corners": (
        json.dumps(
            {
                "size": {"height": 9, "width": 9},
                "objects": [{"classTitle": "x", "geometryType": "rectangle"}],
            }
        ),
        "has 0 corners",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_boxes_that_make_no_sense_are_refused_with_a_sentence(here, capsys, what):
    content, words = REFUSED[what]
    Path("boxes.json").unlink()
    if content is not None:
        Path("boxes.json").write_text(content)
    assert segment("in", "--boxes", "boxes.json", "--out", "out") == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not Path("out").exists()


def test_a_folder_without_annotations_is_refused(here, capsys):
    Path("empty").mkdir()
    assert segment("in", "--boxes", "empty", "--out", "out") == 2
    assert "no annotations (*.json)" in capsys.readouterr().err
