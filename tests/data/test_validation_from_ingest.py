"""From a real source through every data step to its card."""

from __future__ import annotations

import json

import pytest

from tunewright.config.data import DataConfig
from tunewright.data.card import write_card
from tunewright.data.cleaning import clean
from tunewright.data.ingest import ingest
from tunewright.data.splitting import split
from tunewright.data.validation import ValidationSummary, validate
from tunewright.support.errors import InputError


def prepared(tmp_path, source, **knobs):
    config = DataConfig.model_validate({"source": str(source), **knobs})
    ingest(config, base_dir=tmp_path, out=tmp_path / "raw")
    clean(tmp_path / "raw", config.cleaning, out=tmp_path / "clean")
    validate(
        tmp_path / "clean", config.validation, out=tmp_path / "good", quarantine=tmp_path / "quarantine.jsonl"
    )
    return split(tmp_path / "good", config, seed=42, out=tmp_path / "data")


def test_the_sms_collection_from_file_to_card(tmp_path, sms):
    data = prepared(tmp_path, sms)
    manifest = data.manifest
    assert (manifest.rows, manifest.unique) == (5574, 5171)
    assert manifest.labels == {"ham": 4827, "spam": 747}
    assert sum(manifest.splits.values()) == 5171
    assert manifest.leaks == {"normalised_text": 0, "near_duplicate": 0}
    assert manifest.cleaning["html_entities"] > 0
    write_card(data, tmp_path / "card.html")
    assert "Nothing stands on both sides" in (tmp_path / "card.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["kaggle_spam.csv", "siva_SMSSpamCollection", "krishnaik_SMSSpamCollection_crlf"]
)
def test_damaged_copies_pass_through(tmp_path, shared, name):
    data = prepared(tmp_path, shared / "data" / "sms_spam_dirty" / name)
    assert data.manifest.leaks == {"normalised_text": 0, "near_duplicate": 0}
    assert data.label_names == ("ham", "spam")


def test_a_value_that_may_not_be_cast_is_no_text(tmp_path):
    rows = [{"text": f"message number {n} about something", "label": "ab"[n % 2]} for n in range(40)]
    rows[5]["text"] = 12345
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match="not_text 1"):
        prepared(tmp_path, source, cleaning={"cast": False}, validation={"max_quarantined_share": 0.0})
    data = prepared(tmp_path, source, validation={"near_duplicate_threshold": 0.99})
    assert data.manifest.cleaning["cast"] == 1
    assert data.manifest.quarantined == {}


def test_the_summary_beside_the_data_is_the_one_that_validation_wrote(tmp_path, sms):
    data = prepared(tmp_path, sms, max_rows=500)
    summary = ValidationSummary.model_validate_json((data.root / "validation.json").read_text())
    assert summary.kept == sum(data.manifest.splits.values())
    assert data.manifest.quarantined == summary.quarantined
