"""Geometry of masks in numpy: boxes, platform bitmaps, run-length codes, overlays."""

from sam2_serving.masks.bitmap import decode_bitmap, encode_bitmap
from sam2_serving.masks.boxes import Box, tight_box
from sam2_serving.masks.overlay import draw_overlay
from sam2_serving.masks.polygons import Polygon, find_polygons
from sam2_serving.masks.rle import decode_rle, encode_rle

__all__ = [
    "Box",
    "Polygon",
    "decode_bitmap",
    "decode_rle",
    "draw_overlay",
    "encode_bitmap",
    "encode_rle",
    "find_polygons",
    "tight_box",
]
