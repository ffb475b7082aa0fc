"""Published networks, ready to build."""

from ._coba import coba as coba
