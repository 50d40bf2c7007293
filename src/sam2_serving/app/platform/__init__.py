"""The platform's own API, as far as the app calls it."""
