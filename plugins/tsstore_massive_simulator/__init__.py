"""Plays the vendor Massive on this machine, for tests, demos and users without a key."""
