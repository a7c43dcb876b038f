"""From a ``Recipe`` to steps run, skipped or resumed."""
