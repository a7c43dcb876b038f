"""Near-duplicate clusters: the same as comparing every text with every other."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parts_fixture import messages

from tunewright.data.duplicates import bands, near_duplicates, shingle_size, shingles
from tunewright.data.normal_form import canonical, key_form, words

SIZE = 3


def clusters(texts, threshold=0.8, same=None):
    positions = np.arange(len(texts))
    found = near_duplicates(
        lambda wanted: ((int(index), texts[int(index)]) for index in wanted),
        positions,
        same=positions if same is None else np.array(same),
        threshold=threshold,
        size=SIZE,
    )
    return found.tolist()


def by_brute_force(texts, threshold):
    sets = [shingles(words(text), SIZE) for text in texts]
    found = list(range(len(texts)))
    for index, one in enumerate(sets):
        for earlier in range(index):
            other = sets[earlier]
            if len(one & other) >= threshold * len(one | other):
                low, high = sorted((found[earlier], found[index]))
                found = [low if root == high else root for root in found]
    return found


@st.composite
def texts_with_repeats(draw):
    """Texts and lightly edited copies of them."""
    base = draw(st.lists(st.text("abcdefg hé 12", min_size=1, max_size=60), min_size=1, max_size=8))
    edited = []
    for text in base:
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(text)))
            edited.append(text[:at] + draw(st.text("xyz ", max_size=3)) + text[at:])
    return draw(st.permutations([*base, *edited]))


@settings(max_examples=60, deadline=None)
@given(texts=texts_with_repeats(), threshold=st.sampled_from([0.5, 0.8, 0.9]))
def test_clusters_never_join_what_is_unlike_and_find_all_but_one_pair_in_a_thousand(texts, threshold):
    assert clusters(texts, threshold) == by_brute_force(texts, threshold)


def test_a_cluster_is_named_after_its_first_member_whatever_joins_it():
    texts = ["call me back on monday please", "entirely different words", "call me back on mondays please"]
    assert clusters(texts) == [0, 1, 0]


def test_what_belongs_together_in_any_case_joins_the_clusters_of_both():
    texts = [
        "an e mail about the delayed parcel",
        "an email about the delayed parcel",
        "thanks for your help",
    ]
    assert key_form(texts[0]) == key_form(texts[1])
    assert clusters(texts, threshold=0.99) == [0, 1, 2]
    assert clusters(texts, threshold=0.99, same=[0, 0, 2]) == [0, 0, 2]


def test_a_template_sent_thousands_of_times_is_clustered_in_seconds():
    texts = [
        f"Your parcel number {n:05d} waits for you at the post office in Main Street" for n in range(3000)
    ]
    start = time.process_time()
    found = clusters(texts)
    assert time.process_time() - start < 20
    assert len(set(found)) == 1


def test_unlike_messages_stay_apart():
    texts = [text for _, text in messages(300)]
    assert clusters(texts) == list(range(300))


def test_bands_find_pairs_at_the_threshold():
    for threshold in (0.3, 0.5, 0.8, 0.95):
        count, rows = bands(threshold)
        assert count * rows <= 128
        assert 1 - (1 - threshold**rows) ** count >= 0.999
    assert shingle_size(61) < shingle_size(900) < shingle_size(20_000)


@given(st.text())
def test_normal_forms_are_stable_and_ignore_case_width_and_spaces(text):
    assert canonical(canonical(text)) == canonical(text)
    assert words(words(text)) == words(text)
    assert key_form(f"  {text}\n") == key_form(text)


def test_normal_forms_by_example():
    assert canonical(" ＦＲＥＥ\u00a0 Straße") == "free strasse"
    assert words("Don't—stop, NOW!!") == "don t stop now"
    assert words("नमस्ते, दुनिया") == "नमस्ते दुनिया"
    assert key_form("E-mail") == key_form("e mail") == key_form("email.")
    assert key_form(":-)") != key_form(":-(")
