from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import requests
import SimpleITK
import supervisely as sly
from workspace_gallery import VOXELS, Ids, slice_of
from workspace_http import Running

from sam2_serving.workspace.pictures import UnreadableMedia
from sam2_serving.workspace.volumes import VolumeReader, Window, describe_volume


def test_info_is_what_the_sdk_makes_of_the_file(
    gallery: Running, gallery_api: sly.Api, ids: Ids
) -> None:
    info = gallery_api.volume.get_info_by_id(ids.volume)
    file = gallery.app.state.workspace.media.root / "scans" / "blobs.nrrd"
    values, meta = sly.volume.read_nrrd_serie_volume_np(str(file))
    np.testing.assert_array_equal(values, VOXELS)
    for key in ("ACS", "intensity", "windowCenter", "windowWidth", "dimensionsIJK"):
        assert info.meta[key] == meta[key]
    world = sly.volume.volume.compose_ijk_2_world_mat(meta)
    np.testing.assert_allclose(np.reshape(info.meta["IJK2WorldMatrix"], (4, 4)), world)
    assert (info.name, info.file_meta["sizes"]) == ("blobs.nrrd", [96, 80, 48])
    assert info.sizeb == file.stat().st_size
    assert gallery_api.volume.get_info_by_id(999) is None


def test_lists(gallery_api: sly.Api, ids: Ids) -> None:
    assert [one.id for one in gallery_api.volume.get_list(ids.scans)] == [ids.volume]
    assert [one.id for one in gallery_api.volume.get_list(project_id=1)] == [ids.volume]
    assert gallery_api.volume.get_list(ids.films) == []


@pytest.mark.parametrize(
    ("plane", "index", "size"),
    [("axial", 24, (80, 96)), ("coronal", 33, (48, 96)), ("sagittal", 50, (48, 80))],
)
def test_slices(
    gallery_api: sly.Api, ids: Ids, plane: str, index: int, size: tuple[int, int]
) -> None:
    meta = gallery_api.volume.get_info_by_id(ids.volume).meta
    assert tuple(sly.Plane.get_img_size(plane, meta)) == size
    whole = gallery_api.volume.download_slice_np(ids.volume, index, plane)
    assert whole.shape[:2] == size
    center, width = meta["windowCenter"], meta["windowWidth"]
    np.testing.assert_array_equal(whole[..., 0], slice_of(plane, index, center, width))
    narrow = gallery_api.volume.download_slice_np(
        ids.volume, index, plane, window_center=400.5, window_width=90
    )
    np.testing.assert_array_equal(narrow[..., 0], slice_of(plane, index, 400.5, 90))
    assert (narrow != whole).any()


def test_a_mask_drawn_on_a_slice_lands_where_it_was_seen(gallery_api: sly.Api, ids: Ids) -> None:
    """What is bright on the picture is bright in the volume, by the SDK's own way back."""
    for plane, axis in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        index = VOXELS.shape[axis] // 2
        shown = gallery_api.volume.download_slice_np(
            ids.volume, index, plane, window_center=250, window_width=1
        )[..., 0]
        mask = sly.Mask3D(np.zeros(VOXELS.shape, bool))
        mask.add_mask_2d(shown > 128, plane, index, origin=[0, 0])
        expected = VOXELS.take(index, axis) > 250
        np.testing.assert_array_equal(mask.data.take(index, axis), expected)


def _slice_body(ids: Ids, **more: object) -> dict[str, object]:
    normal = {"x": 0, "y": 0, "z": 1}
    body = {"volumeId": ids.volume, "sliceIndex": 3, "normal": normal}
    return {**body, "windowCenter": 0, "windowWidth": 10, **more}


def test_a_slice_is_a_gray_png(gallery: Running, ids: Ids) -> None:
    answer = gallery.post("volumes.slices.images.download", _slice_body(ids))
    assert answer.headers["content-type"] == "image/png"
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize(
    ("more", "status", "sentence"),
    [
        ({"sliceIndex": 48}, 404, "0 to 47"),
        ({"sliceIndex": -1}, 404, "0 to 47"),
        ({"normal": {"x": 1, "y": 1, "z": 0}}, 400, "normal"),
        ({"normal": {"x": 0.5, "y": 0, "z": 0}}, 400, "normal"),
        ({"normal": {"x": 0, "y": 0, "z": -1}}, 400, "normal"),
        ({"windowWidth": 0}, 400, "windowWidth"),
        ({"windowWidth": -5}, 400, "windowWidth"),
        ({"windowCenter": "0"}, 400, "windowCenter"),
        ({"volumeId": 999}, 404, "no volume 999"),
    ],
)
def test_slices_that_cannot_be(
    gallery: Running, ids: Ids, more: dict[str, object], status: int, sentence: str
) -> None:
    answer = gallery.post("volumes.slices.images.download", _slice_body(ids, **more))
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_download(gallery: Running, gallery_api: sly.Api, ids: Ids, tmp_path: Path) -> None:
    gallery_api.volume.download_path(ids.volume, str(tmp_path / "x.nrrd"))
    source = gallery.app.state.workspace.media.root / "scans" / "blobs.nrrd"
    assert (tmp_path / "x.nrrd").read_bytes() == source.read_bytes()


def test_a_window_maps_its_ends() -> None:
    values = np.array([[-1000, -100, 0, 50, 100, 200]], dtype=np.int16)
    assert Window(0, 200).map(values).tolist() == [[0, 0, 128, 191, 255, 255]]
    wide = np.array([[-32768, 32767]], dtype=np.int16)
    assert Window(0, 65535).map(wide).tolist() == [[0, 255]]


@pytest.mark.parametrize("kind", ["text", "flat", "colour"])
def test_no_volumes_are_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "x.nrrd"
    if kind == "text":
        file.write_text("no volume")
    elif kind == "flat":
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((5, 6), np.int16)), str(file))
    else:
        image = SimpleITK.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
        SimpleITK.WriteImage(image, str(file))
    with pytest.raises(UnreadableMedia):
        describe_volume(file)


def test_other_axes_are_turned(tmp_path: Path) -> None:
    """A file in left-posterior order shows the same as one in right-anterior order."""
    image = SimpleITK.GetImageFromArray(np.transpose(VOXELS[::-1, ::-1], (2, 1, 0)))
    SimpleITK.WriteImage(image, str(tmp_path / "lps.nrrd"))
    got = VolumeReader().slice(tmp_path / "lps.nrrd", "axial", 20, Window(300, 900))
    np.testing.assert_array_equal(got, slice_of("axial", 20, 300, 900))


def test_memory_is_bounded(tmp_path: Path) -> None:
    reader = VolumeReader(kept_bytes=3 * 8 * 8 * 8 * 2)
    for number in range(6):
        values = np.full((8, 8, 8), number, np.int16)
        file = tmp_path / f"{number}.nrrd"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(file))
        assert reader.slice(file, "axial", 0, Window(number, 2)).max() == 128
    assert len(reader._kept) == 3


def test_a_limited_member(gallery: Running, ids: Ids) -> None:
    guest = gallery.api(gallery.member("of-films", [ids.films]))
    with pytest.raises(requests.HTTPError) as refused:
        guest.volume.get_info_by_id(ids.volume)
    assert refused.value.response.status_code == 403
