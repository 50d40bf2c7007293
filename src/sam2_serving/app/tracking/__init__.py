"""Track, in all the ways that the platform and its clients ask for it."""
