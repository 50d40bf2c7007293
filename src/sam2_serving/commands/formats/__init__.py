"""The forms that results are written in."""

from sam2_serving.commands.formats.coco import CocoFile
from sam2_serving.commands.formats.form import OutputFormat
from sam2_serving.commands.formats.mask_images import MaskImages
from sam2_serving.commands.formats.rle_json import RleJson
from sam2_serving.commands.formats.supervisely import Geometry, SuperviselyProject

__all__ = [
    "CocoFile",
    "Geometry",
    "MaskImages",
    "OutputFormat",
    "RleJson",
    "SuperviselyProject",
]
