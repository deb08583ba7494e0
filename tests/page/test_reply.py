"""`cut.js` and `render.js`: a reply that grows is read in parts, now and then, and loses no word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.device

Run = Callable[..., Any]
PARTS = "({pieces}, [text, most]) => pieces(text, most)"
CUTS = "({cuts}, text) => { const at = [...cuts(text)]; return at.map((each) => text.slice(each).split('\\n')[0]); }"


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("a\nb\n\nc\n\n\nd", ["c", "d"]),
        ("a\n\n", []),  # what comes may belong to it
        ("- a\n\n- b\n\n  c\n\n1. d\n\n10) e\n\nf", ["f"]),
        ("a\n\n-", []),
        ("a\n\n12", []),
        ("a\n\n12 b\n\n-b\n\n**c**", ["12 b", "-b", "**c**"]),
        ("```\na\n\nb\n```\nc\n\nd", ["d"]),
        ("````\n```\n\na\n````\n\nb", ["b"]),
        ("~~~ py\n```\n\na\n~~~\n\nb", ["b"]),
        ("```\na\n\n``` b\n\nc\n```\n\nd", ["d"]),
        ("- ```\n  a\n\nb\n  ```\n\nc", ["c"]),
        ("a `b\n\n``c`` d\n\ne", ["``c`` d", "e"]),
        ("a\r\n\r\nb", ["b"]),
        ("    a\n\n    b\n\nc", ["c"]),
        ("# a\n\n> b\n\n|c|\n|-|\n\n# d", ["> b", "|c|", "# d"]),
    ],
)
def test_a_text_is_cut_before_blocks_that_nothing_before_changes(module: Run, text: str, begin: list[str]) -> None:
    assert module("cut.js", CUTS, text) == begin


def test_a_cut_is_looked_for_from_where_the_last_one_was(module: Run) -> None:
    text = "a\n\nb\n\nc"
    assert module("cut.js", "({stable}, text) => [stable(text), stable(text, 3), stable(text, 6)]", text) == [6, 6, 6]
    assert module("cut.js", "({stable}) => [stable(''), stable('a'), stable('ab', 1)]") == [0, 0, 1]


def test_long_texts_are_parted_where_they_can_be(module: Run) -> None:
    assert module("cut.js", PARTS, ["a\n\nb\n\nc\n\nd", 6]) == ["a\n\nb\n\n", "c\n\nd"]
    assert module("cut.js", PARTS, ["aaaaaaaaa\n\nb", 4]) == ["aaaaaaaaa\n\n", "b"]
    assert module("cut.js", PARTS, ["", 4]) == []
    text = "\n\n".join(f"{'x' * (number % 50)}y" for number in range(400))
    parts = module("cut.js", PARTS, [text, 100])
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 100


def reply(module: Run, steps: str) -> Any:
    script = f"async ({{withReply}}) => withReply(async (bench) => {{ const {{reply}} = bench; {steps} }})"
    return module("bench.js", script)


def test_what_is_done_is_read_once_and_the_rest_a_few_times_a_second(module: Run) -> None:
    steps = """
      reply.add("a");
      await bench.advance(0);
      await bench.answer();
      for (const text of ["b", "\\n\\n", "c", "c"]) { reply.add(text); await bench.advance(30); }
      const early = bench.asked.length;
      await bench.advance(30);
      await bench.answer();
      reply.add("d");
      await bench.advance(150);
      await bench.answer();
      return [early, bench.asked, bench.html(), bench.bare()];
    """
    asked = [["a"], ["ab\n\n", "cc"], ["ccd"]]
    assert reply(module, steps) == [1, asked, "<p>ab</p><p>ccd</p>", ""]


def test_a_service_that_is_slow_is_asked_less_often(module: Run) -> None:
    steps = """
      reply.add("a");
      await bench.advance(500);
      await bench.answer();
      reply.add("b");
      await bench.advance(499);
      const before = bench.asked.length;
      await bench.advance(1);
      return [before, bench.asked.length];
    """
    assert reply(module, steps) == [1, 2]


def test_what_is_not_read_stands_as_it_came_after_a_while_and_grows_a_few_times_a_second(module: Run) -> None:
    steps = """
      const seen = [];
      reply.add("**a");
      await bench.advance(399);
      seen.push(bench.bare());
      await bench.advance(1);
      reply.add("b**");
      await bench.advance(149);
      seen.push(bench.bare());
      await bench.advance(1);
      seen.push(bench.bare(), bench.html());
      await bench.answer();
      seen.push(bench.bare(), bench.html());
      await bench.advance(1000);
      await bench.answer();
      return [...seen, bench.bare(), bench.html()];
    """
    assert reply(module, steps) == ["", "**a", "**ab**", "", "b**", "<p>**a</p>", "", "<p>**ab**</p>"]


def test_a_service_that_makes_no_trees_costs_the_marks_only(module: Run) -> None:
    steps = """
      reply.add("a");
      await bench.advance(0);
      await bench.fail();
      await bench.advance(400);
      const bare = bench.bare();
      const end = reply.finish("ab");
      await bench.advance(0);
      await bench.fail();
      await end;
      return [bare, bench.bare(), reply.node.querySelector("pre").textContent];
    """
    assert reply(module, steps) == ["a", "", "ab"]


def test_the_end_counts_whatever_came_before(module: Run) -> None:
    steps = """
      reply.add("a\\n\\nb");
      await bench.advance(0);
      await bench.answer();
      const first = reply.node.querySelector("p");
      const end = reply.finish("a\\n\\nc");
      await bench.advance(0);
      await bench.answer();
      await end;
      const same = reply.node.querySelector("p") === first;
      await bench.advance(5000);
      return [same, bench.html(), bench.bare(), bench.asked];
    """
    assert reply(module, steps) == [True, "<p>a</p><p>c</p>", "", [["a\n\n", "b"], ["a\n\nc"]]]


def test_an_end_that_comes_while_the_service_reads_is_the_end(module: Run) -> None:
    steps = """
      reply.add("a");
      await bench.advance(0);
      const end = reply.finish("abc");
      await bench.answer();
      await bench.answer();
      await end;
      await bench.advance(5000);
      return [bench.html(), bench.bare(), bench.asked];
    """
    assert reply(module, steps) == ["<p>abc</p>", "", [["a"], ["abc"]]]


def test_texts_of_many_replies_go_together_and_one_request_at_a_time(module: Run) -> None:
    steps = """
      const ends = Array.from({length: 40}, (_, number) => bench.replyNode().finish(`r${number}`));
      await bench.advance(0);
      const first = bench.asked.map((texts) => texts.length);
      await bench.answer();
      await bench.answer();
      await Promise.all(ends);
      return [first, bench.asked.map((texts) => texts.length)];
    """
    assert reply(module, steps) == [[32], [32, 8]]


def test_requests_fit_into_a_frame(module: Run) -> None:
    steps = """
      const wide = "文".repeat(30_000);
      const texts = [wide, wide, wide, "x".repeat(210_000), '"'.repeat(60_000)];
      const replies = texts.map(() => bench.replyNode());
      const ends = replies.map((each, at) => each.finish(texts[at]).then(() => each.node.textContent));
      await bench.advance(0);
      for (let at = 0; at < 3; at++) { if (bench.asked.length > at) await bench.answer(); }
      const shown = await Promise.all(ends);
      const sizes = bench.asked.map((each) => new TextEncoder().encode(JSON.stringify(each)).length);
      return [Math.max(...sizes) < 262_000, shown.every((text, at) => text.includes(texts[at]))];
    """
    assert reply(module, steps) == [True, True]


def test_a_block_that_is_very_long_stands_as_it_comes_and_asks_for_nothing(module: Run) -> None:
    steps = """
      reply.add("a\\n\\n");
      reply.add("b".repeat(40_000));
      await bench.advance(0);
      await bench.answer();
      const first = [bench.html(), bench.bare().length];
      reply.add("c");
      await bench.advance(10_000);
      reply.add("d");
      await bench.advance(150);
      return [...first, bench.asked.length, bench.bare().slice(-3)];
    """
    assert reply(module, steps) == ["<p>a</p>", 40_000, 1, "bcd"]
