"""Evaluation metrics, their intervals, slices, calibration and the weights of views."""
