// Replies as nodes: texts become trees in the service, a few at a time; one that still grows is shown without a flash.

import { pieces, stable } from "./cut.js";
import { el } from "./dom.js";
import { grow } from "./tree.js";

const EVERY = 150; // ms between two looks at a text that grows
const PATIENCE = 400; // ms for which what is not read yet stays out of sight, so that no bare marks flash
const TEXTS = 32; // of one request, as the service has it
const BYTES = 120_000; // of one request: it may have 131,072 characters, and a frame 262,144 bytes
const PIECE = 32_768; // characters that are read as one: of more, what is before a cut
const bytes = new TextEncoder();

/** Asks for trees, one request at a time: what is wanted meanwhile goes with the next one. */
class Trees {
  #wire;
  #wanted = [];
  #busy = false;

  constructor(wire) {
    this.#wire = wire;
  }

  /** The tree of a text; null, if the service makes none of it. */
  of(text) {
    if (!text) return [];
    return new Promise((resolve) => {
      this.#wanted.push({ text, resolve, size: bytes.encode(JSON.stringify(text)).length });
      if (!this.#busy) queueMicrotask(() => this.#ask());
      this.#busy = true;
    });
  }

  async #ask() {
    while (this.#wanted.length) {
      const some = this.#next();
      if (!some.length) continue;
      const trees = await this.#wire
        .insist("page.render", { texts: some.map(({ text }) => text) })
        .then((answer) => answer.trees, () => []);
      some.forEach(({ resolve }, index) => resolve(trees[index] ?? null));
    }
    this.#busy = false;
  }

  #next() {
    if (this.#wanted[0].size > BYTES) {
      this.#wanted.shift().resolve(null); // by itself too much for a frame
      return [];
    }
    let [size, count] = [0, 0];
    for (const each of this.#wanted) {
      size += each.size;
      if (count === TEXTS || size > BYTES) break;
      count += 1;
    }
    return this.#wanted.splice(0, count);
  }
}

const TREES = new WeakMap(); // app → its Trees

/**
 * The node of a text by an agent. `add(text)` appends what comes; `finish(text)` gives all of it, which counts: it is
 * read as a whole, since a link or a list may reach over what was cut. It resolves when that is shown.
 */
export function replyNode(app) {
  if (!TREES.has(app)) TREES.set(app, new Trees(app.wire));
  return new Reply(TREES.get(app));
}

class Reply {
  #trees;
  #text = "";
  #done = []; // the tree of what is before the last cut,
  #cut = 0; // which was there
  #tail = []; // the tree of what comes after it,
  #shown = 0; // up to here
  #asking = false;
  #finished = false;
  #next = 0; // when the service may be asked again
  #late = 0;
  #bare = false; // what is not read yet is shown as it came
  #content = el("div", { class: "markdown" });
  #fresh = document.createTextNode("");

  constructor(trees) {
    this.#trees = trees;
    this.node = el("div", { class: "reply", dir: "auto" }, this.#content, el("span", { class: "fresh" }, this.#fresh));
  }

  add(text) {
    this.#text += text;
    this.#soon();
  }

  async finish(text) {
    const grown = text.startsWith(this.#text);
    this.#finished = true;
    this.#text = text;
    if (grown) this.#soon();
    else this.#hide();
    const parts = pieces(text, PIECE);
    const trees = await Promise.all(parts.map((part) => this.#trees.of(part)));
    const tree = trees.flatMap((each, index) => each ?? [["pre", {}, [["code", {}, [parts[index]]]]]]);
    grow(this.#content, [...this.#done, ...this.#tail], tree);
    this.#hide();
    this.#done = this.#tail = [];
  }

  #soon() {
    this.#late ||= setTimeout(() => this.#show(), this.#bare ? EVERY : PATIENCE);
    if (this.#asking || this.#finished) return;
    this.#asking = true;
    setTimeout(() => this.#read(), Math.max(0, this.#next - performance.now()));
  }

  #show() {
    clearTimeout(this.#late);
    this.#late = 0;
    this.#bare = true;
    this.#fresh.data = this.#text.slice(this.#shown);
  }

  #hide() {
    clearTimeout(this.#late);
    this.#late = 0;
    this.#bare = false;
    this.#fresh.data = "";
  }

  async #read() {
    if (this.#finished) return;
    const began = performance.now();
    const had = this.#text.length;
    const cut = stable(this.#text, this.#cut);
    const long = had - cut > PIECE;
    const end = long ? cut : had;
    if (long && cut === this.#cut) {
      this.#asking = false;
      this.#next = began + EVERY;
      if (!this.#bare) this.#show(); // what there is of its tree stays
      return;
    }
    const texts = [this.#text.slice(this.#cut, cut), this.#text.slice(cut, end)];
    const [done, tail] = await Promise.all(texts.map((text) => this.#trees.of(text)));
    if (this.#finished) return;
    this.#next = began + Math.max(EVERY, 2 * (performance.now() - began));
    this.#asking = false;
    if (!done || !tail) return; // it stands as it came, and is tried again with what comes
    grow(this.#content, this.#tail, [...done, ...tail], this.#done.length);
    this.#done.push(...done);
    this.#tail = tail;
    this.#cut = cut;
    this.#shown = end;
    if (long || (this.#bare && this.#text.length > end)) this.#show();
    else this.#hide();
    if (this.#text.length > had) this.#soon();
  }
}
