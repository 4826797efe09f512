"""Makers: how the files of each program that trains pose models become manifests. One module a maker.

* ``maker`` – what a maker module provides
* ``cropzoom`` – files of this package: they carry a manifest
"""
