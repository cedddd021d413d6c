"""Scoring with a sealed student: the bundle, the engines, their kernels; needs no torch."""
