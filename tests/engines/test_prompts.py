"""Prompts: our rendering is transformers' rendering, and damaged files are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.models import CHATML
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import AutoTokenizer

from feilun.engines.prompts import Prompter, read_template
from feilun.errors import BadModel, BadRequest

LLAMA3 = """{{- bos_token }}
{%- if strftime_now is defined %}
    {%- set date_string = strftime_now("%Y") %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today's Year: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant'] %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
ODD = """{%- if tools is none and documents is none %}plain {% endif %}
{%- for message in messages %}
    {%- if loop.index > 3 %}
        {%- break %}
    {%- endif %}
{{ loop.index0 }} {{ message | tojson }} {{ {"名": [1, 2.5, none]} | tojson(indent=2) }}
{% if message.name is defined %}<{{ message.name }}>{% endif %}
{% endfor %}
{{- namespace(x=1).x }}{{ unk_token }}
"""
TALKS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "What is the rate?"}],
    [
        {"role": "system", "content": " Be terse. "},
        {"role": "user", "content": "利率是多少？ <b>&amp;</b> 'x' \"y\" 🙂"},
    ],
    [
        {"role": "user", "content": "hello\n\n"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "bye", "name": "Ann"},
        {"role": "assistant", "content": "  "},
    ],
]


@pytest.fixture
def folder(llama: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny model that a test may spoil."""
    return shutil.copytree(llama, tmp_path / "model")


def settings(folder: Path, **more: Any) -> None:
    """Change ``tokenizer_config.json``."""
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))


@pytest.mark.parametrize("template", [CHATML, LLAMA3, MISTRAL, ODD], ids=["chatml", "llama3", "mistral", "odd"])
@pytest.mark.parametrize("place", ["file", "config", "named"])
def test_rendering_equals_transformers(folder: Path, template: str, place: str) -> None:
    """For templates of several makers, wherever they are kept, text and ids are those of ``apply_chat_template``."""
    if place == "file":
        (folder / "chat_template.jinja").write_text(template)
    else:
        (folder / "chat_template.jinja").unlink()
        named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": template}]
        settings(folder, chat_template=template if place == "config" else named)
    theirs, ours = AutoTokenizer.from_pretrained(folder), Prompter(folder)
    for talk in TALKS:
        for answer in (True, False):
            text = theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=answer)
            assert ours.render(talk, answer=answer) == text
            ids = theirs.apply_chat_template(talk, add_generation_prompt=answer, return_dict=True)["input_ids"]
            assert ours.encode(text) == ids


def test_special_tokens_as_objects(folder: Path) -> None:
    """Older folders write special tokens as objects; their content counts."""
    settings(folder, eos_token={"content": "<|im_end|>", "lstrip": False, "special": True})
    assert Prompter(folder).end_ids == {2}


def test_end_tokens_from_everywhere(folder: Path) -> None:
    """Every end token that any of the files names ends an answer."""
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    assert Prompter(folder).end_ids == {2, 7, 8}
    (folder / "generation_config.json").unlink()
    assert Prompter(folder).end_ids == {2}


def test_a_template_of_its_own_wins(llama: Path) -> None:
    """A version's template replaces the folder's."""
    assert Prompter(llama, "<{{ messages[0].content }}>").render(TALKS[0]) == "<What is the rate?>"


def test_what_a_template_refuses(folder: Path) -> None:
    """A refusal by the template, and a message without content, are the caller's mistakes."""
    with pytest.raises(BadRequest, match="Only user and assistant"):
        Prompter(folder, LLAMA3).render([{"role": "system", "content": "x"}, {"role": "tool", "content": "x"}])
    for message in ({"role": "user"}, {"role": "user", "content": None}, {"content": "x"}):
        with pytest.raises(BadRequest, match="template"):
            Prompter(folder).render([message])


def test_a_template_reaches_nothing_outside(folder: Path) -> None:
    """A template from the internet runs in a sandbox."""
    (folder / "chat_template.jinja").write_text("{{ messages.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(BadRequest, match="unsafe"):
        Prompter(folder).render(TALKS[0])


def spoil(name: str, text: str | None) -> Any:
    """Return a function that writes ``text`` to a file of a folder, or removes it."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        if text is not None:
            (folder / name).write_text(text)

    return change


@pytest.mark.parametrize(
    "change",
    [
        spoil("tokenizer.json", None),
        spoil("tokenizer.json", "{"),
        spoil("tokenizer.json", '{"model": {"type": "Unheard"}}'),
        spoil("tokenizer_config.json", "{"),
        spoil("generation_config.json", "no json"),
        spoil("chat_template.jinja", "{% for message in messages %}"),
        spoil("chat_template.jinja", "{{ 'a' "),
        spoil("chat_template.jinja", None),
    ],
)
def test_damaged_folders(folder: Path, change: Any) -> None:
    """A folder with a missing or damaged tokenizer, settings or template is refused, and named."""
    change(folder)
    with pytest.raises(BadModel, match="model"):
        Prompter(folder)


def test_no_chat_template(folder: Path) -> None:
    """A base model without a chat template is refused with advice; so is a list without a default."""
    (folder / "chat_template.jinja").unlink()
    for template in (None, 5, [], [{"name": "rag", "template": "x"}]):
        settings(folder, chat_template=template)
        with pytest.raises(BadModel, match="no chat template") as caught:
            read_template(folder)
        assert "instruct" in caught.value.hint


def test_bytes_of_tokens(llama: Path, folder: Path) -> None:
    """The bytes of a text's tokens are the text's, also where a token is less than a character, in both ways of it."""
    text = "ok 驿站 é 🙂 龘"
    byte_level = Prompter(llama)
    ids = byte_level.encode(text)
    assert b"".join(byte_level.raw(token) for token in ids) == text.encode()
    assert any("\ufffd" in byte_level.piece(token) for token in ids)
    words = {"<unk>": 0, "o": 1, "k": 2, "\u2581": 3, **{f"<0x{byte:02X}>": 4 + byte for byte in range(256)}}
    fallen = Tokenizer(models.BPE(words, [], unk_token="<unk>", byte_fallback=True))
    fallen.normalizer = normalizers.Replace(" ", "\u2581")
    fallen.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    fallen.save(str(folder / "tokenizer.json"))
    fallback = Prompter(folder)
    assert b"".join(fallback.raw(token) for token in fallback.encode(text)) == text.encode()
