"""From a ``Candidate`` and a ``Report`` to a model version: tracking, certificate, gate, ledger, lineage."""
