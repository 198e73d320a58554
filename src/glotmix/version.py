"""The version, in one place: the package's metadata is built from it, and manifests and pages name it."""

__version__ = "0.3.0.dev0"
