"""Many masks at once: whole pictures, boxes, points, projects."""
