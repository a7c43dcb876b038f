"""``tunewright data preview``: what a person, a program and a browser see, and how refusals end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from words_and_turns import CHATML

CHATS = [
    {"messages": [{"role": "user", "content": "Ada asks"}, {"role": "assistant", "content": "tea"}]},
    {"messages": [{"role": "user", "content": "now"}, {"role": "assistant", "content": "milk and tea"}]},
]


@pytest.fixture
def preview(cli, make_folder, tmp_path):
    folder = make_folder()

    def call(rows, *options, name="chats.jsonl", model=folder):
        text = "".join(json.dumps(row) + "\n" for row in rows) if isinstance(rows, list) else rows
        (tmp_path / name).write_text(text, encoding="utf-8")
        return cli("data", "preview", name, "--model", model, *options, cwd=tmp_path)

    return call


def test_a_log_shows_each_token_with_brackets_around_what_carries_loss(preview):
    said = preview(CHATS)
    assert said.code == 0, said.err
    assert "row 1: 9 tokens, 2 carry loss (by prefixes)" in said.out
    assert "assistant" in said.out
    assert "⟦tea·<|im_end|>⟧" in said.out
    assert "⟦milk ·and ·tea·<|im_end|>⟧" in said.out
    assert "raw 7, templated 19, padded 20" in " ".join(said.out.split())
    assert "stop tokens <|im_end|>" in " ".join(said.out.split())


def test_only_some_rows_are_shown_and_all_are_counted(preview):
    said = preview(CHATS * 3, "--rows", "1")
    assert said.out.count("carry loss (") == 1
    assert re.search(r"rows +6 \(6 sequences", said.out)


def test_programs_get_every_token(preview):
    found = json.loads(preview(CHATS, "--json").out)
    tokens = found["rows"][0]["tokens"]
    assert [each["text"] for each in tokens if each["loss"]] == ["tea", "<|im_end|>"]
    assert [each["id"] for each in tokens][-1] == found["tokenizer"]["stop_ids"][0]
    assert found["totals"]["supervised"] == 6
    assert found["refusals"] == []


@pytest.fixture
def partial(tmp_path):
    """The words that ask for a template whose markers leave an answer out."""
    turn = "{{ m.content }}<|im_end|>"
    marked = f"{{% generation %}}{turn}{{% endgeneration %}}"
    choice = f"{{% if m.role == 'assistant' and m.content != 'tea' %}}{marked}{{% else %}}{turn}{{% endif %}}"
    template = f"{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{choice}\n{{% endfor %}}"
    (tmp_path / "partial.jinja").write_text(template)
    return "--template", "partial.jinja"


def test_a_refusal_ends_with_code_2_and_one_line(preview, partial):
    said = preview(CHATS, *partial)
    assert said.code == 2
    assert said.err.strip().splitlines()[-1].startswith("error: chats.jsonl, row 1: no token carries loss")
    assert len(said.err.strip().splitlines()) == 1
    assert "⟦milk ·and ·tea·<|im_end|>⟧" in said.out, "the rows are shown all the same"


def test_refusals_stand_in_the_json_too(preview, partial):
    said = preview(CHATS, *partial, "--json")
    assert said.code == 2
    (refusal,) = json.loads(said.out)["refusals"]
    assert (refusal["reason"], refusal["rows"]) == ("no_supervised_token", [1])


def test_every_further_reason_has_a_line_of_its_own(preview, partial):
    strange = [{"role": "user", "content": "Bob and Eve"}, {"role": "assistant", "content": "tea"}]
    said = preview([*CHATS, {"messages": strange}], *partial)
    assert said.code == 2
    assert sum("unknown to the tokenizer" in line for line in said.err.splitlines()) == 1
    assert sum("no token carries loss" in line for line in said.err.splitlines()) == 1


def test_rows_that_their_format_refuses_are_set_aside_and_counted(preview):
    rows = [*CHATS, {"messages": [{"role": "user", "content": "now"}]}, {"messages": "tea"}]
    said = preview(rows)
    assert said.code == 0, said.err
    assert "set aside 1 no_assistant set aside 1 not_json" in " ".join(said.out.split())
    assert json.loads(preview(rows, "--json").out)["set_aside"] == {"no_assistant": 1, "not_json": 1}


def test_a_page_is_self_contained_and_escapes_what_rows_say(preview, tmp_path):
    row = {"messages": [{"role": "user", "content": "<script> now"}, {"role": "assistant", "content": "tea"}]}
    preview([*CHATS * 20, row], "--html", "loss.html", "--rows", "50")
    page = (tmp_path / "loss.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert re.search(r'<span class="loss" title="id \d+">tea</span>', page)
    assert re.search(r'<span class="plain" title="id \d+">user</span>', page)


def test_a_page_that_exists_is_kept_unless_told(preview, tmp_path):
    (tmp_path / "loss.html").write_text("mine")
    said = preview(CHATS, "--html", "loss.html")
    assert (said.code, "add --force" in said.err) == (2, True)
    assert (tmp_path / "loss.html").read_text() == "mine"
    assert preview(CHATS, "--html", "loss.html", "--force").code == 0
    assert "tunewright data preview" in (tmp_path / "loss.html").read_text()


def test_the_loss_can_be_asked_for_by_name(preview):
    assert "17 carry loss" not in preview(CHATS).out
    assert "row 1: 9 tokens, 8 carry loss (by everything)" in preview(CHATS, "--loss", "all").out
    assert preview(CHATS, "--loss", "none").code == 2


def test_a_length_limit_that_cuts_answers_is_refused_unless_allowed(preview):
    said = preview(CHATS, "--max-length", "9")
    assert said.code == 2
    assert "16.7% of the tokens with loss lie beyond 9 tokens" in said.err
    assert preview(CHATS, "--max-length", "9", "--max-lost", "0.2").code == 0


def test_a_template_can_be_given(preview, tmp_path):
    (tmp_path / "bare.jinja").write_text("{% for m in messages %}{{ m.content + eos_token }}{% endfor %}")
    assert preview(CHATS, "--template", "bare.jinja").code == 0
    (tmp_path / "wrong.jinja").write_text("{% for %}")
    said = preview(CHATS, "--template", "wrong.jinja")
    assert said.code == 2
    assert "the chat template refuses the conversation" in said.err


def test_control_characters_in_rows_dont_reach_the_terminal(preview):
    row = {
        "messages": [
            {"role": "user", "content": "Ada \u001b[31m asks"},
            {"role": "assistant", "content": "tea"},
        ]
    }
    said = preview([row, *CHATS * 30])
    assert "\u001b" not in said.out
    assert "\\x1b[31m" in said.out


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"prompt": "Ada asks ", "completion": "tea"}, "⟦tea·<|im_end|>⟧"),
        ({"text": "Ada asks"}, "⟦asks·<|im_end|>⟧"),
        ({"prompt": "Ada", "chosen": "tea", "rejected": "milk"}, "⟦milk·<|im_end|>⟧"),
        (
            {
                "prompt": [{"role": "user", "content": "Ada"}],
                "completion": [{"role": "assistant", "content": "tea"}],
            },
            "⟦tea·<|im_end|>⟧",
        ),
    ],
)
def test_all_columns_of_trl_are_read(preview, row, shown):
    said = preview([row])
    assert said.code == 0, said.err
    assert shown in said.out


def test_a_json_array_is_read_too(preview):
    assert preview(json.dumps(CHATS), name="chats.json").code == 0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is empty"),
        ("[]", "no format fits the first 0 rows"),
        ("[1", "is malformed or cut-off JSON"),
        ('{"messages": []}\n{"a"\n', "no format fits the first 1 rows"),
        ("3\n", "is malformed or cut-off JSON"),
        ('{"colour": "red"}\n', "their columns: colour"),
        ('{"messages": [{"role": "bot", "content": "tea"}]}\n', "row 1: unknown_role: "),
        ('{"text": "tea \\ud800"}\n', "row 1: undecodable: "),
    ],
)
def test_what_cant_be_read_is_said_in_one_line_with_its_place(preview, text, line):
    said = preview(text)
    assert said.code == 2
    assert line in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_an_absent_file_and_an_absent_model_are_one_line(preview, cli, tmp_path):
    said = cli("data", "preview", "absent.jsonl", "--model", tmp_path / "model", cwd=tmp_path)
    assert (said.code, "no such file" in said.err) == (2, True)
    said = preview(CHATS, model="smollm2-135")
    assert (said.code, "did you mean 'smollm2-135m'?" in said.err) == (2, True)
    said = preview(CHATS, model="./nowhere")
    assert (said.code, "no such model folder" in said.err) == (2, True)


def test_on_a_terminal_two_colours_tell_loss_apart(preview, monkeypatch):
    from rich.console import Console

    from tunewright.cli import data_preview

    console = Console(force_terminal=True, color_system="standard", width=200, record=True)
    monkeypatch.setattr(data_preview, "output", lambda: console)
    assert preview(CHATS).code == 0
    shown = console.export_text(styles=True)
    assert "\x1b[1;32mtea·<|im_end|>\x1b[0m" in shown
    assert "⟦" not in shown


def test_a_real_model_reads_any_letter(preview, stories, tmp_path):
    (tmp_path / "t.jinja").write_text(CHATML.replace("'<|im_end|>'", "eos_token"))
    row = {"messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": "ß ok"}]}
    said = preview([row], "--template", "t.jinja", model=stories)
    assert said.code == 0, said.err
    assert re.search(r"⟦.*<0xC3>·ß· o?·?.*</s>⟧", said.out), said.out


def test_help_loads_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys; from tunewright.cli import app; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'tokenizers', 'jinja2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PAGE = Path(__file__).resolve().parents[3] / "docs" / "loss-mask.md"


def test_the_page_shows_a_screen_as_it_is(preview):
    screen = re.search(r"```text\n(<\|im_start\|>.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    asked = {
        "messages": [
            {"role": "user", "content": "Ada asks for tea"},
            {"role": "assistant", "content": "Ada gets milk"},
        ]
    }
    assert screen[1] in preview([asked]).out


@pytest.mark.parametrize("name", ["stories260K-hf", "tinystories-656k-fixed-tokenizer"])
def test_the_template_on_the_page_masks_the_answers_of_a_real_model(preview, shared, tmp_path, name):
    template = re.search(r"```text\n(\{%-.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "page.jinja").write_text(template[1])
    said = [
        ("system", "Be kind"),
        ("user", "Who are you"),
        ("assistant", "I am Lily"),
        ("user", "And"),
        ("assistant", "Ok"),
    ]
    row = {"messages": [{"role": role, "content": content} for role, content in said]}
    answer = preview([row], "--template", "page.jinja", "--json", model=shared / "models" / name)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    stop = found["tokenizer"]["eos_token"]
    text = "".join(each["text"] for each in found["rows"][0]["tokens"] if each["loss"])
    assert text.replace("▁", "") == f"I am Lily{stop}Ok{stop}"
    assert found["rows"][0]["method"] == "markers"
    assert found["totals"]["rows"] == 1


def test_the_page_names_every_model_of_the_catalogue():
    from tunewright.models.chat.families import CAUSAL_CATALOGUE

    page = PAGE.read_text(encoding="utf-8")
    for entry in CAUSAL_CATALOGUE.values():
        assert f"| `{entry.name}` | {entry.hub_id} | {entry.licence} |" in page
        assert f"| {entry.context:,} |" in page
