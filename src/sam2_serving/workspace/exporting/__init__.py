"""Exports of figures as a zip: COCO, the platform's project format, pictures of masks."""
