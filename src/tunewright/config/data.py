"""The parts of the recipe about data: where it comes from, how it is cleaned, judged, split and versioned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunewright.config.section import OpenShare, Section, Share


class Cleaning(Section):
    """Cleaning steps, in the order in which they run; each is off or on."""

    cast: bool = Field(True, description="Turn numbers and booleans in the text column into text.")
    unicode_nfc: bool = Field(True, description="Unicode normal form C.")
    html_entities: bool = Field(True, description="Turn HTML entities such as &amp; into their characters.")
    control_characters: bool = Field(True, description="Drop control and zero-width characters.")
    mentions: Literal["keep", "mask", "drop"] = Field("keep", description="What to do with @name mentions.")
    urls: Literal["keep", "mask", "drop"] = Field("keep", description="What to do with web addresses.")
    whitespace: bool = Field(True, description="Collapse runs of white space and trim the ends.")


class Validation(Section):
    """What makes a row bad, and how many bad rows stop a run."""

    labels: tuple[str, ...] | None = Field(
        None, description="The allowed labels; null takes those in the data."
    )
    min_characters: int = Field(1, ge=1, description="Shorter texts go to quarantine.")
    max_characters: int = Field(100_000, ge=1, description="Longer texts go to quarantine.")
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="Exact copies of a row (same text, same label)."
    )
    conflicts: Literal["quarantine", "majority", "keep"] = Field(
        "quarantine", description="Rows with the same text and different labels."
    )
    near_duplicate_threshold: OpenShare = Field(0.8, description="Jaccard similarity of near-duplicates.")
    flag_secrets: bool = Field(True, description="Count rows that hold credentials.")
    flag_personal_data: bool = Field(True, description="Count rows that hold e-mails, phone or card numbers.")
    phone_regions: tuple[str, ...] = Field(
        ("US", "GB"), description="Countries whose national phone numbers count; +44 … always does."
    )
    quarantine_flagged: bool = Field(
        False, description="Move rows with secrets to quarantine instead of flagging."
    )
    max_quarantined_share: Share = Field(
        0.1, description="A larger share of bad rows (copies aside) stops the run."
    )
    min_rows_per_label: int = Field(
        3, ge=3, description="A label with fewer rows stops the run: one for each split."
    )


class Versioning(Section):
    """What happens to the pointers to data after each step that gives some."""

    commit: bool = Field(True, description="Commit the pointer files, and nothing else, to git.")
    push: bool = Field(True, description="Send the data to the DVC remote where one is set.")
    git_push: bool = Field(False, description="Push the branch too; never by force.")


class DataConfig(Section):
    """Where the text comes from and how it becomes frozen splits."""

    source: str | None = Field(None, description="File, folder, fsspec URL, or Hugging Face data set id.")
    format: Literal["auto", "csv", "tsv", "json", "jsonl", "parquet", "hub"] = Field(
        "auto", description="Format of the source; auto looks at the name and the first bytes."
    )
    encoding: str | None = Field(None, description="Text encoding; null detects it.")
    delimiter: str | None = Field(None, description="Column separator; null detects it.")
    quoting: Literal["auto", "none", "minimal"] = Field(
        "auto", description="Whether double quotes wrap fields."
    )
    header: Literal["auto", "yes", "no"] = Field(
        "auto", description="Whether the first line names the columns."
    )
    text_column: str | None = Field(None, description="Column with the text; null detects it.")
    label_column: str | None = Field(None, description="Column with the label; null detects it.")
    json_field: str | None = Field(
        None, description="Field of a JSON object that holds the rows (train, data …)."
    )
    hub_config: str | None = Field(None, description="Configuration name of a hub data set.")
    hub_split: str = Field("train", description="Split of a hub data set.")
    revision: str | None = Field(None, description="Revision of a hub data set.")
    max_rows: int | None = Field(None, ge=1, description="Read only the first rows; null reads all.")
    chat_format: str = Field(
        "auto", description="Format of a language model's rows (alpaca, messages …); auto detects it."
    )
    system: str | None = Field(None, description="System prompt for conversations that have none.")
    shard_rows: int = Field(100_000, ge=1, description="Rows a parquet shard.")
    split_by: str = Field(
        "near_duplicate", description="What must not stand on both sides: near_duplicate, text, or a column."
    )
    test_share: OpenShare = Field(0.2, description="Share of rows that are frozen for the comparison.")
    validation_share: OpenShare = Field(0.1, description="Share of rows that steer training.")
    cleaning: Cleaning = Cleaning()
    validation: Validation = Validation()
    versioning: Versioning = Versioning()
