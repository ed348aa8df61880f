"""How much a file of others may make of itself, unless more is allowed on the command line."""

MAX_PIXELS = 89_478_485
"""Pixels of the largest image that is decoded (a quarter gigabyte of RGB)."""
