"""What is sent of a conversation."""

from __future__ import annotations

from agent.adapters.backends.openai.conversation import CHARACTERS, CHARACTERS_MAX, Conversation, budget_of
from agent.ports import Exchange


def texts(conversation: Conversation, prompt: str) -> list[str]:
    return [message["content"] for message in conversation.messages(prompt)[0]]


def test_roles_take_turns_and_the_prompt_is_last() -> None:
    conversation = Conversation(1000, [Exchange("one", "1"), Exchange("two", "2")])
    messages, forgotten = conversation.messages("three")
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in messages] == ["one", "1", "two", "2", "three"]
    assert forgotten == 0


def test_the_oldest_are_forgotten_when_it_grows_too_long() -> None:
    conversation = Conversation(15)
    for word in ("aaaa", "bbbb", "cccc"):
        conversation.add(word, word)
    messages, forgotten = conversation.messages("dddd")
    assert ([message["content"] for message in messages], forgotten) == (["cccc", "cccc", "dddd"], 2)
    assert conversation.messages("dddd")[1] == 0  # once is enough


def test_a_prompt_is_sent_however_long_it_is() -> None:
    conversation = Conversation(10, [Exchange("a", "b")])
    assert texts(conversation, "x" * 100) == ["x" * 100]


def test_turns_without_a_reply_are_left_out() -> None:
    conversation = Conversation(1000, [Exchange("lost", ""), Exchange("kept", "yes"), Exchange(" ", "x")])
    conversation.add("failed", " \n")
    assert texts(conversation, "next") == ["kept", "yes", "next"]


def test_halving_leaves_out_half_until_nothing_is_left() -> None:
    conversation = Conversation(1000, [Exchange(str(n), "x" * 9) for n in range(8)])
    assert conversation.halve("")
    assert len(texts(conversation, "")) == 2 * 4 + 1
    while conversation.halve("next"):
        conversation.messages("next")
    assert texts(conversation, "next") == ["next"]


def test_the_budget_follows_the_model_and_is_bounded() -> None:
    assert budget_of(0) == CHARACTERS
    assert budget_of(4096) == 9216
    assert budget_of(10**9) == CHARACTERS_MAX
