"""From overrides to a validated, frozen ``Recipe``."""
