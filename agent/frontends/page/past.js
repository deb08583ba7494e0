// What is over, and what was said in any session: below the list, asked for when somebody looks.

import { complain, el, keyed, say } from "./dom.js";
import { nameOf, titleOf } from "./store.js";
import { ago, list, t } from "./words.js";

const HITS = 50;

/** Sessions that have ended, folded, with rows as `row` makes and updates them; and the search in all transcripts. */
export function past(app, row) {
  const rows = el("ul");
  const about = el("p", { class: "none", role: "status" });
  const ended = el("details", { ontoggle: ask }, el("summary", {}, t("past.title")), rows, about);
  const search = el("button", { class: "quiet", onclick: find });
  const hits = el("ul");
  const found = el("p", { class: "none", role: "status" });
  const node = el("div", { class: "past" }, search, found, hits, ended);
  let over = [];
  let sought = ""; // the words that `hits` are about
  return { node, search, ask, draw };

  async function ask() {
    if (!ended.open) return;
    try {
      const answer = await app.actions.past();
      over = answer.sessions;
      say(about, over.length ? missing(answer) : t("past.none"));
    } catch (error) {
      complain(about, error);
    }
    app.touch("past");
  }

  /** Show what fits; gives whether a row does. */
  function draw(fits, filter, only) {
    const fitting = over.filter(fits);
    keyed(rows, fitting, (each) => each.id, row.make, row.update);
    ended.hidden = only || (filter && ended.open && !fitting.length);
    search.hidden = only || !filter;
    say(search, t("past.search", { filter }));
    if (filter !== sought) show(filter, [], "");
    return ended.open && fitting.length > 0;
  }

  async function find() {
    const words = sought;
    say(found, t("past.asking"));
    try {
      const answer = await app.actions.search(words, HITS);
      const nothing = answer.hits.length ? "" : t("past.nothing");
      if (words === sought) show(words, answer.hits, `${nothing} ${missing(answer)}`.trim());
    } catch (error) {
      if (words === sought) complain(found, error);
    }
  }

  function show(words, seen, told) {
    sought = words;
    keyed(hits, seen, (each) => `${each.session_id} ${each.seq}`, makeHit);
    say(found, told);
  }

  function makeHit(hit) {
    return el("li", {}, el("button", { class: "row", onclick: () => app.go(`#/s/${hit.session_id}/${hit.seq}`) },
      el("span", { class: "title", dir: "auto" }, titleOf(hit)), el("time", { datetime: hit.at }, ago(hit.at)),
      el("span", { class: "under", dir: "auto" }, nameOf(hit.device)),
      el("span", { class: "excerpt", dir: "auto" }, marked(hit))));
  }

  // Who was not asked, or has not read all that it has: the answer is not the whole one.
  function missing({ unreached = [], indexing = [] }) {
    const names = [...unreached.map((each) => nameOf(each.device)), ...indexing];
    return names.length ? t("past.missing", { names: list(names) }) : "";
  }
}

// Marks count characters, not the halves of some that JavaScript counts.
function marked({ excerpt, marks = [] }) {
  const text = [...excerpt];
  const part = (from, to) => text.slice(from, to).join("");
  let at = 0;
  const parts = marks.flatMap(([from, to]) => {
    const before = part(at, from);
    at = to;
    return [before, el("mark", {}, part(from, to))];
  });
  return [...parts, part(at)];
}
