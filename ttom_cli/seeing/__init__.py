"""What came out: detectors that look at a video's frames, and the check of what they saw against the layout."""
