import math

import pytest
from real_writer import RealWriter
from written_answers import answers_of

from tunewright.config.language import GenerationConfig
from tunewright.data.chat.rows import ChatRow, Message, ToolCall
from tunewright.evaluation.language.answers import Answers
from tunewright.evaluation.language.asking import answer_rows, evenly, question_and_answer
from tunewright.evaluation.language.metrics import measure
from tunewright.models.language.writing import Written
from tunewright.support.errors import InputError, TunewrightError

BEGINNINGS = [
    "Once upon a time, there was a little girl named Lily.", "One day, Tom went to the park with his mom.",
    "The sun was shining and", "Ben had a big red ball. He", "Lily saw a small cat. The cat",
]  # fmt: skip


def said(role, content, **fields):
    return Message(role=role, content=content, **fields)


class Echo:
    """Repeats the prompt; remembers what it was given."""

    def __init__(self, loss=1.0):
        self.loss, self.given = loss, []

    def write(self, rows, *, max_new_tokens, batch_size):  # noqa: ARG002
        self.given.append([row.row for row in rows])
        return [Written(row.prompt, 1, finished=True) for row in rows]

    def losses(self, rows, *, batch_size):  # noqa: ARG002
        return [(self.loss, 2) for _ in rows]


@pytest.fixture(scope="module")
def writer(shared):
    return RealWriter(shared / "models" / "stories260K-hf")


def test_a_real_model_answers_and_its_own_words_are_the_likeliest(writer):
    config = GenerationConfig(max_new_tokens=12, batch_size=2)
    asked = [ChatRow(kind="completion", prompt=text, completion=" purple seven") for text in BEGINNINGS]
    first = answer_rows(writer, asked, name="base", role="base", config=config)
    assert [one.row for one in first.answers] == [1, 2, 3, 4, 5]
    assert all(one.output and not one.finished and one.tokens == 12 for one in first.answers)
    assert first.seconds > 0
    own = [
        ChatRow(kind="completion", prompt=one.prompt, completion=one.output, row=one.row)
        for one in first.answers
    ]
    second = answer_rows(writer, own, name="base", role="base", config=config)
    metrics = measure(second)
    assert metrics.exact_match == 1
    assert metrics.bleu == pytest.approx(100)
    assert metrics.perplexity < measure(first).perplexity / 5
    assert metrics.unfinished == 1


def test_plain_text_gets_a_loss_and_is_asked_nothing(writer):
    rows = [ChatRow(kind="text", text="Once upon a time, there was a little dog.", row=7, source="a.txt")]
    found = answer_rows(writer, rows, name="base", role="base", config=GenerationConfig())
    (one,) = found.answers
    assert (one.output, one.row, one.source, one.tokens) == (None, 7, "a.txt", 0)
    assert 1 < math.exp(one.reference_loss / one.reference_tokens) < 50


def test_answers_survive_the_trip_through_a_file(tmp_path):
    answers = answers_of(["yes\n\u2028<b>", None, "", "\ud800x"], ["yes", "text", "é", "x"])
    answers.save(tmp_path / "deep" / "answers.parquet")
    loaded = Answers.load(tmp_path / "deep" / "answers.parquet")
    assert loaded.take([0, 1, 2]) == answers.take([0, 1, 2])
    assert loaded.answers[3].output == "?x"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["answers.parquet"]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 no", "foreign"])
def test_files_that_are_not_ours_are_refused_with_their_name(tmp_path, content):
    path = tmp_path / "answers.parquet"
    if content == "foreign":
        import pandas as pd

        pd.DataFrame({"row": [1]}).to_parquet(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"answers\.parquet"):
        Answers.load(path)


def test_rows_keep_their_order_and_number_whatever_order_they_are_asked_in():
    rows = [
        ChatRow(kind="completion", prompt="word " * size, completion="x", row=10 + size)
        for size in (3, 1, 9, 5)
    ]
    echo = Echo()
    found = answer_rows(echo, rows, name="m", role="tuned", config=GenerationConfig(batch_size=1))
    assert echo.given == [[19, 15, 13, 11]]
    assert [one.output for one in found.answers] == [row.prompt for row in rows]


def test_limited_rows_are_spread_evenly():
    rows = [ChatRow(kind="completion", prompt="p", completion="c", row=at) for at in range(1, 101)]
    found = answer_rows(Echo(), rows, name="m", role="tuned", config=GenerationConfig(rows=4))
    assert [one.row for one in found.answers] == [13, 38, 63, 88]
    assert list(evenly(3, 5)) == list(evenly(3, None)) == [0, 1, 2]


def test_every_kind_of_row_tells_its_question_and_answer():
    asked, good, bad = said("user", "two and two?"), said("assistant", "four"), said("assistant", "five")
    system = said("system", "be brief")
    expected = ("two and two?", "four")
    assert question_and_answer(ChatRow(kind="conversation", messages=(system, asked, good))) == expected
    assert (
        question_and_answer(ChatRow(kind="preference", messages=(asked,), chosen=(good,), rejected=(bad,)))
        == expected
    )
    assert (
        question_and_answer(ChatRow(kind="rated", messages=(asked,), chosen=(good,), good=True)) == expected
    )
    assert question_and_answer(ChatRow(kind="rated", messages=(asked,), chosen=(bad,), good=False)) is None
    assert question_and_answer(ChatRow(kind="conversation", messages=(asked, good, asked))) is None
    call = said("assistant", "", tool_calls=(ToolCall(name="add"),))
    assert question_and_answer(ChatRow(kind="conversation", messages=(asked, call))) is None
    assert question_and_answer(ChatRow(kind="completion", prompt="p", completion=" ")) is None
    assert question_and_answer(ChatRow(kind="conversation", messages=(system, good))) == ("be brief", "four")


def test_rows_without_an_answer_are_counted_and_said(capsys):
    rows = [ChatRow(kind="completion", prompt="p", completion=text) for text in ("yes", "", "no")]
    found = answer_rows(Echo(), rows, name="m", role="tuned", config=GenerationConfig())
    assert [one.row for one in found.answers] == [1, 3]
    assert "1 rows have no prompt" in capsys.readouterr().err
    with pytest.raises(InputError, match="no row has both"):
        answer_rows(Echo(), rows[1:2], name="m", role="tuned", config=GenerationConfig())


def test_a_loss_that_is_no_number_and_a_repeated_row_are_refused():
    rows = [ChatRow(kind="completion", prompt="p", completion="c", row=1)]
    with pytest.raises(TunewrightError, match="diverged"):
        answer_rows(Echo(math.nan), rows, name="m", role="tuned", config=GenerationConfig())
    with pytest.raises(InputError, match="repeats a row"):
        answer_rows(Echo(), rows * 2, name="m", role="tuned", config=GenerationConfig())
