"""The platform's API v3, one router for each family of routes."""
