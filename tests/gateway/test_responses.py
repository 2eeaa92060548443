"""The responses API through the official client: answers, conversations that are kept, streams, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest

from feilun.records import Trace
from feilun.store import traces

BASE = "smollm2-135m-instruct"


def kept(gateway: Any, trace_id: str) -> Trace:
    """Return a trace, once what was logged has become rows."""
    asyncio.run_coroutine_threadsafe(gateway.state.writer.flush(), gateway.loop).result(10)
    return traces.get(gateway.db, "bank", trace_id)


def chat_says(client: openai.OpenAI, *messages: tuple[str, str]) -> str:
    """Return what chat answers to the same conversation; the engine is deterministic."""
    asked: Any = [{"role": role, "content": content} for role, content in messages]
    return client.chat.completions.create(model=BASE, messages=asked).choices[0].message.content or ""


def test_an_answer_is_kept_and_names_its_trace(client: openai.OpenAI, gateway: Any) -> None:
    """A response says what chat says, is found by its id, lists its input, and its headers name the trace."""
    raw = client.responses.with_raw_response.create(
        model=BASE, instructions="Be brief.", input="hello there", metadata={"k": "v"}
    )
    answer = raw.parse()
    assert answer.output_text == chat_says(client, ("system", "Be brief."), ("user", "hello there"))
    assert (answer.status, answer.metadata, answer.instructions) == ("completed", {"k": "v"}, "Be brief.")
    assert client.responses.retrieve(answer.id) == answer
    listed = client.responses.input_items.list(answer.id).data
    assert [item.content[0].text for item in listed] == ["hello there"]
    trace = kept(gateway, raw.headers["x-feilun-trace"])
    assert (trace.answer, trace.kind) == (answer.output_text, "response")
    assert (trace.usage.prompt_tokens, trace.usage.completion_tokens) == (
        answer.usage.input_tokens,
        answer.usage.output_tokens,
    )


def test_a_conversation_goes_on_from_the_id_of_a_response(client: openai.OpenAI) -> None:
    """The next call carries only what is new; the model sees all, also after an earlier response was deleted."""
    first = client.responses.create(model=BASE, input="my name is Ada")
    second = client.responses.create(model=BASE, input="what is my name", previous_response_id=first.id)
    expected = [("user", "my name is Ada"), ("assistant", first.output_text), ("user", "what is my name")]
    assert second.output_text == chat_says(client, *expected)
    assert second.previous_response_id == first.id
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    third = client.responses.create(model=BASE, input="and again", previous_response_id=second.id)
    expected += [("assistant", second.output_text), ("user", "and again")]
    assert third.output_text == chat_says(client, *expected)
    listed = client.responses.input_items.list(third.id, order="asc", limit=2)
    assert [item.role for item in listed.data] == ["user", "assistant"]
    assert listed.has_more


def test_items_are_referred_to_by_their_ids(client: openai.OpenAI) -> None:
    """An item of a stored response can stand in an input by its id alone."""
    first = client.responses.create(model=BASE, input="remember the number seven")
    reference: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "go on"}]
    again = client.responses.create(model=BASE, input=reference)
    assert again.output_text == chat_says(client, ("assistant", first.output_text), ("user", "go on"))
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=BASE, input=[{"type": "item_reference", "id": "msg_nothing_0"}])


def test_a_stream_ends_in_the_response_that_is_kept(client: openai.OpenAI) -> None:
    """The client's accumulation of events, the last event and what is stored are one and the same."""
    with client.responses.stream(model=BASE, input="tell me something") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text == chat_says(client, ("user", "tell me something"))
    stored = client.responses.retrieve(final.id)
    assert stored.output_text == text
    assert stored.usage == final.usage


def test_what_must_not_be_kept_is_not(client: openai.OpenAI, gateway: Any) -> None:
    """With store: false a response cannot be found or gone on from, and its trace teaches nothing."""
    raw = client.responses.with_raw_response.create(model=BASE, input="secret", store=False)
    answer = raw.parse()
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model=BASE, input="more", previous_response_id=answer.id)
    assert caught.value.param == "previous_response_id"
    assert not kept(gateway, raw.headers["x-feilun-trace"]).permissions.train


def test_another_workspace_sees_nothing(client: openai.OpenAI, gateway: Any) -> None:
    """A response of another workspace is not there: not to be read, gone on from, listed, deleted or referred to."""
    mine = client.responses.create(model=BASE, input="ours alone")
    other = gateway.openai(gateway.key("shop"))
    reference: Any = [{"type": "item_reference", "id": mine.output[0].id}]
    for attempt in (
        lambda: other.responses.retrieve(mine.id),
        lambda: other.responses.delete(mine.id),
        lambda: other.responses.cancel(mine.id),
        lambda: other.responses.input_items.list(mine.id),
        lambda: other.responses.create(model=BASE, input="x", previous_response_id=mine.id),
        lambda: other.responses.create(model=BASE, input=reference),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert client.responses.retrieve(mine.id) == mine


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"background": True}, "background"),
        ({"temperature": 3}, "temperature"),
        ({"input": [{"type": "computer_call"}]}, "input[0]"),
        ({"metadata": {"k": "v" * 600}}, "metadata"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"stream": True, "previous_response_id": "resp_none"}, "previous_response_id"),
    ],
)
def test_wrong_requests_name_the_field(client: openai.OpenAI, wrong: dict, param: str) -> None:
    """What is wrong or not served is a client error whose param says where, before anything is streamed."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(**{"model": BASE, "input": "x", **wrong})
    assert caught.value.status_code in {400, 404}
    assert caught.value.param.startswith(param)


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    """Errors of the call itself come as they come from chat."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="gpt-9", input="x")
    assert caught.value.code == "model_not_found"


def test_a_stored_response_cannot_be_cancelled_or_streamed_again(client: openai.OpenAI, gateway: Any) -> None:
    """Both are refused with a reason, since there are no responses in the background."""
    answer = client.responses.create(model=BASE, input="x")
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(answer.id)
    http: httpx.Client = gateway.http(client.api_key)
    assert http.get(f"/v1/responses/{answer.id}", params={"stream": "true"}).status_code == 400
