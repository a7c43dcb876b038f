"""From models and rows to a ``Report``: metrics, paired comparison, calibration, slices, plots."""
