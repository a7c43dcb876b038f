"""What is kept of requests and answers, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunewright.config.section import Section, Share


class RequestLogConfig(Section):
    """The log that drift, alerts and traces are read from."""

    enabled: bool = Field(
        True, description="Keep requests and answers below .tunewright/monitoring/requests."
    )
    share: Share = Field(1.0, description="Share of the answers that are kept.")
    texts: Literal["keep", "redact", "hash", "drop"] = Field(
        "hash",
        description="Keep texts; redact credentials and personal data in them; keep a hash alone; drop them.",
    )
    phone_regions: tuple[str, ...] = Field(
        (), description="Countries, such as DE, whose national phone numbers are redacted."
    )
    flush_s: float = Field(10.0, gt=0, description="Seconds after which a row is on disk.")
    rows_per_file: int = Field(10_000, ge=1, description="Rows after which the next file is begun.")
    file_s: float = Field(3600.0, gt=0, description="Seconds after which the next file is begun.")
    waiting_rows: int = Field(
        20_000, ge=1, description="Rows that wait in memory at most, while the disk can't be written."
    )
    keep_days: float | None = Field(
        90.0, gt=0, description="Days after which files are removed; null: never."
    )


class MonitoringConfig(Section):
    """What is watched of a model that is served."""

    request_log: RequestLogConfig = RequestLogConfig()
