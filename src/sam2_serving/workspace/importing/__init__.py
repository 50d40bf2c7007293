"""Files that are brought into the media folder."""
