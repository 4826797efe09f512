"""Calibration: conversion between frame pixels and centimetres on the floor of the arena. No I/O.

In reading order:

* ``calibration``: a scale or a homography, with an optional lens.
* ``homography``: the projective map of a plane, and its fit to pairs of points.
* ``lens``: OpenCV's model of lens distortion, and its inverse.
"""
