"""Nothing is dropped silently: every key of a file is listed once, whatever the file holds."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.config.importing.converting import import_config, tools
from tunewright.config.importing.reading import read_mapping
from tunewright.support.errors import InputError

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
START = {
    "axolotl": {"base_model": "m", "datasets": [{"path": "a", "type": "alpaca"}], "special_tokens": {"pad_token": "x"}},
    "llamafactory": {"model_name_or_path": "m", "stage": "sft", "dataset": "a"},
    "trl": {"model_name_or_path": "m", "packing": True},
}  # fmt: skip


def leaves(value) -> int:
    """Count the values of a file: scalars, empty containers, and lists that hold no containers."""
    if isinstance(value, dict) and value:
        return sum(leaves(each) for each in value.values())
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        return sum(leaves(each) for each in value)
    return 1


@pytest.mark.parametrize("tool", START)
@settings(max_examples=25, deadline=None)
@given(extra=st.dictionaries(WORDS.map(lambda word: f"x_{word}"), VALUES, max_size=4))
def test_arbitrary_keys_are_all_listed(tool, extra):
    values = {**START[tool], **extra}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "theirs.json"
        file.write_text(json.dumps(values))
        found = import_config(tool, file)
    listed = Counter(each.key for each in found.findings)
    assert set(listed.values()) == {1}
    assert sum(listed.values()) == leaves(values)
    outcomes = Counter(each.outcome for each in found.findings)
    assert outcomes["unknown"] == sum(leaves(value) for value in extra.values())


@pytest.mark.parametrize("tool", START)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_known_key_with_any_value_is_listed_or_refused_in_one_line(tool, data):
    top_level = sorted(key for key in tools()[tool].table if "." not in key and "[" not in key)
    values = {**START[tool], data.draw(st.sampled_from(top_level)): data.draw(VALUES)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "theirs.json"
        file.write_text(json.dumps(values))
        found, complaint = None, ""
        try:
            found = import_config(tool, file)
        except InputError as error:
            complaint = str(error)
    if found is None:
        assert "\n" not in complaint
        assert "theirs.json" in complaint
        return
    assert len({each.key for each in found.findings}) == len(found.findings)
    assert {each.key.partition(".")[0].partition("[")[0] for each in found.findings} == set(values)


@pytest.mark.parametrize("tool", START)
def test_every_rule_says_something_and_sets_a_key_that_there_is(tool):
    from tunewright.config.compose import known_keys

    for key, rule in tools()[tool].table.items():
        assert rule.note or rule.convert, key
        assert not rule.target or rule.target in known_keys(), key
    for default in tools()[tool].defaults:
        assert default.target in known_keys()
        assert set(default.keys) <= set(tools()[tool].table)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.yaml", "lora_r: 8\nlora_r: 16\n", "a key stands twice (line 2)"),
        ("a.json", '{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("a.yaml", "- 1\n", "holds no keys"),
        ("a.yaml", "", "holds no keys"),
        ("a.yaml", "a: [", "is not plain YAML"),
        ("a.yaml", "a: !!python/object:os.system x\n", "is not plain YAML"),
        ("a.yaml", "a: 1\n---\nb: 2\n", "is not plain YAML"),
        ("a.json", "{", "is not JSON"),
        ("a.yaml", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("a.yaml", "a: &a\n  b: *a\n", "levels deep"),
        ("a.yaml", "x0: &x0 {a: 1, b: 2}\n" + "".join(
            f"x{n}: &x{n} {{a: *x{n - 1}, b: *x{n - 1}}}\n" for n in range(1, 20)), "holds over 20,000 keys"),
    ],
)  # fmt: skip
def test_a_file_that_cant_be_accounted_for_is_refused(tmp_path, name, content, says):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        import_config("axolotl", file)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_is_read_as_these_tools_read_it(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: yes\nb: &b [1]\nc: *b\n3: x\n")
    assert read_mapping(file) == {"a": True, "b": [1], "c": [1], 3: "x"}
