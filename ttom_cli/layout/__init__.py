"""Spatiotemporal layouts: a box per object over time, as every part of ttom exchanges them."""

from .model import Box, Keyframe, Layout, Track
from .parse import layout_from_json, read_layout, schema_faults

__all__ = ["Box", "Keyframe", "Layout", "Track", "layout_from_json", "read_layout", "schema_faults"]
