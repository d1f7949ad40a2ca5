"""Measures of an anomaly score and of alarms against labels."""

from lstm_ae.anomaly.vus import vus

__all__ = ["vus"]
