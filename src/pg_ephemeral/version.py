"""The package's version, in one place; it is a label and never part of a cache key."""

VERSION = "0.1.0"
