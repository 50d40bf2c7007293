"""What is asked about every image of a run: everything in it, or the masks of its boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sam2_serving.commands.automatic_options import automatic_facts
from sam2_serving.commands.box_files import BoxList, BoxPrompt, ListedImage
from sam2_serving.commands.inputs import ImageFile
from sam2_serving.commands.results import Category, SegmentedImage, SegmentedObject, Shape
from sam2_serving.engine import Engine, ImageSource, Segmentation
from sam2_serving.masks.cleanup import Cleanup
from sam2_serving.model import AutomaticSettings, FoundMask, Prompts, Refine
from sam2_serving.model.many import PROMPTS_AT_ONCE

OBJECT = Category(1, "object_mask")
"""Class of what nobody named: as the app calls it."""
_MASKS_BYTES = 128 * 2**20
"""Masks of one image that are held at once, before they are coded."""


class Task(Protocol):
    """What is asked about every image."""

    @property
    def categories(self) -> Sequence[Category]:
        """All classes that objects may have."""

    def facts(self) -> dict[str, Any]:
        """Return what decides the results, by the name of the option."""

    def stated_size(self, file: ImageFile) -> tuple[int, int] | None:
        """Return the (width, height) in which prompts are told, if it is known."""

    def segment(
        self, engine: Engine, file: ImageFile, source: ImageSource, size: tuple[int, int]
    ) -> SegmentedImage:
        """Segment an image of `size` (height, width)."""


@dataclass(frozen=True)
class FindEverything:
    """Automatic masks."""

    settings: AutomaticSettings
    cleanup: Cleanup

    @property
    def categories(self) -> Sequence[Category]:
        """One, for everything."""
        return (OBJECT,)

    def facts(self) -> dict[str, Any]:
        """Return the settings."""
        return {"--auto": True, **automatic_facts(self.settings), **_cleanup_facts(self.cleanup)}

    def stated_size(self, file: ImageFile) -> tuple[int, int] | None:
        """Return None: nothing is told in pixels."""
        del file
        return None

    def segment(
        self, engine: Engine, file: ImageFile, source: ImageSource, size: tuple[int, int]
    ) -> SegmentedImage:
        """Find everything in an image."""
        found = engine.find_all(source, self.settings)
        objects = [self._object(one) for one in found]
        return SegmentedImage(file, size, tuple(one for one in objects if one))

    def _object(self, found: FoundMask) -> SegmentedObject | None:
        if self.cleanup == Cleanup():
            shape: Shape | None = Shape(found.rle(), found.box, found.area)
        else:
            shape = Shape.of(self.cleanup.apply(found.mask()))
        if shape is None:
            return None
        return SegmentedObject(
            shape,
            OBJECT,
            found.predicted_iou,
            stability_score=found.stability_score,
            point=found.point,
            crop_box=found.crop_box,
        )


@dataclass(frozen=True)
class MasksOfBoxes:
    """A mask for each box.

    Attributes:
        boxes: all that are known.
        listed: the boxes of each image, by its name.
        refine: see `sam2_serving.model.segment`.
        cleanup: what is done to every mask.
    """

    boxes: BoxList
    listed: Mapping[str, ListedImage]
    refine: Refine
    cleanup: Cleanup

    @property
    def categories(self) -> Sequence[Category]:
        """Those of the boxes, also where no box is left."""
        return self.boxes.categories

    def facts(self) -> dict[str, Any]:
        """Return the settings, and a fingerprint of the boxes."""
        told = {"content of --boxes": self.boxes.digest, "--refine": self.refine}
        return told | _cleanup_facts(self.cleanup)

    def stated_size(self, file: ImageFile) -> tuple[int, int] | None:
        """Return the size that the boxes were drawn in."""
        return self.listed[file.name].size

    def segment(
        self, engine: Engine, file: ImageFile, source: ImageSource, size: tuple[int, int]
    ) -> SegmentedImage:
        """Find the masks of an image's boxes.

        Raises:
            ValueError: the boxes were drawn on an image of another size.
        """
        entry, notes = self.listed[file.name], []
        height, width = size
        if entry.size not in (None, (width, height)):
            stated = " x ".join(str(side) for side in entry.size or ())
            raise ValueError(
                f"The image has {width} x {height} pixels, its boxes are for {stated}."
            )
        asked: list[tuple[BoxPrompt, Prompts]] = []
        for one in entry.boxes:
            box = one.box.clipped(height, width) if _has_area(one) else None
            if box is None:
                notes.append(f"{_called(one)} is empty or lies outside the image")
            else:
                asked.append((one, Prompts(box=box)))
        objects = []
        for (one, prompts), answer in zip(
            asked, self._answers(engine, source, size, [p for _, p in asked]), strict=True
        ):
            shape = Shape.of(self.cleanup.apply(answer.mask))
            if shape is None:
                notes.append(f"{_called(one)} has no mask")
                continue
            iou = answer.predicted_iou
            objects.append(SegmentedObject(shape, one.category, iou, one.id, prompts.box))
        return SegmentedImage(file, size, tuple(objects), entry.id, tuple(notes))

    def _answers(
        self,
        engine: Engine,
        source: ImageSource,
        size: tuple[int, int],
        prompts: Sequence[Prompts],
    ) -> Iterator[Segmentation]:
        """Ask about some boxes at a time: the masks of all might not fit into memory."""
        fitting = _MASKS_BYTES // (size[0] * size[1] * PROMPTS_AT_ONCE)
        step = PROMPTS_AT_ONCE * max(1, fitting)
        for first in range(0, len(prompts), step):
            some = prompts[first : first + step]
            yield from engine.segment_many(source, some, refine=self.refine)


def _has_area(one: BoxPrompt) -> bool:
    return one.box.x0 < one.box.x1 and one.box.y0 < one.box.y1


def _called(one: BoxPrompt) -> str:
    sides = ", ".join(f"{side:g}" for side in one.box)
    number = "" if one.id is None else f" (annotation {one.id})"
    return f"the box {sides}{number} of class {one.category.name!r}"


def _cleanup_facts(cleanup: Cleanup) -> dict[str, Any]:
    return {"--hole-area": cleanup.hole_area, "--island-area": cleanup.island_area}
