"""Serve Segment Anything 2.1 behind an annotation platform's tools."""
