// Nodes for the trees of `page.render`: the few tags and attributes that it knows, and nothing else a text might name.

import { copyButton, el } from "./dom.js";
import { t } from "./words.js";

const PLAIN = new Set([
  "p", "em", "strong", "s", "code", "br", "hr", "blockquote", "ul", "thead", "tbody", "tr",
]);
const LEADS = new Set(["http:", "https:", "mailto:"]);
const ALIGNED = new Set(["left", "center", "right"]);

// Where the children of a node are, of one that has more around them.
const INSIDE = new WeakMap();

/** The nodes of a tree: one for each of its entries. */
export function build(tree) {
  return tree.map(node);
}

/**
 * Have the nodes of `parent` from number `from` on, which were built for the tree `before`, show `after`. What is the same
 * stays, and a text that grew grows: what a reader has selected, focused or scrolled in a growing reply is left alone.
 */
export function grow(parent, before, after, from = 0) {
  const nodes = [...parent.childNodes].slice(from, from + before.length);
  const next = parent.childNodes[from + before.length] ?? null;
  after.forEach((entry, index) => {
    const old = before[index];
    const there = nodes[index];
    if (index >= before.length) parent.insertBefore(node(entry), next);
    else if (typeof old === "string" && typeof entry === "string") write(there, old, entry);
    else if (alike(old, entry)) grow(INSIDE.get(there) ?? there, old[2], entry[2]);
    else there.replaceWith(node(entry));
  });
  for (const surplus of nodes.slice(after.length)) surplus.remove();
}

function write(there, old, text) {
  if (text === old) return;
  if (text.startsWith(old)) there.appendData(text.slice(old.length));
  else there.data = text;
}

function alike(old, entry) {
  return Array.isArray(old) && Array.isArray(entry) && old[0] === entry[0]
    && JSON.stringify(old[1]) === JSON.stringify(entry[1]);
}

function node(entry) {
  if (typeof entry === "string") return document.createTextNode(entry);
  const [tag, attrs, children] = entry;
  const rank = /^h([1-6])$/.exec(tag)?.[1];
  if (PLAIN.has(tag)) return el(tag, {}, build(children));
  // The session is h1, parts of the page are h2.
  if (rank) return el(`h${Math.min(6, Number(rank) + 2)}`, {}, build(children));
  return (MAKERS[tag] ?? unknown)(children, attrs);
}

const MAKERS = {
  __proto__: null,
  a: (children, { href, to }) => (leads(href)
    ? el("a", { href, target: "_blank", rel: "noopener noreferrer" }, build(children))
    : el("span", { class: "path", title: to ?? href }, build(children))),
  ol: (children, { start }) => el("ol", { start: Number.isInteger(start) ? start : null }, build(children)),
  li: (children, { task }) => (task ? item(children, task === "done") : el("li", {}, build(children))),
  th: (children, { align }) => cell("th", children, align),
  td: (children, { align }) => cell("td", children, align),
  table: (children) => {
    const table = el("table", {}, build(children));
    return holding(table, el("div", { class: "table", tabindex: "0", role: "group", "aria-label": t("code.table") }, table));
  },
  pre: code,
};

function unknown(children) {
  return el("span", {}, build(children));
}

function leads(href) {
  try {
    return LEADS.has(new URL(href).protocol);
  } catch {
    return false; // no address, or none with a scheme
  }
}

function item(children, done) {
  const text = el("div", {}, build(children));
  const label = t(done ? "code.task.done" : "code.task.open");
  const box = el("span", { class: "box", role: "img", "aria-label": label }, done ? "☑" : "☐");
  return holding(text, el("li", { class: "task" }, box, text));
}

function cell(tag, children, align) {
  return el(tag, { class: ALIGNED.has(align) && align !== "left" ? `align-${align}` : null }, build(children));
}

// Code scrolls in itself, by keys too, and is copied as it stands at that moment.
function code(children, { lang }) {
  const pre = el("pre", { tabindex: "0", role: "group", "aria-label": lang || t("code.name"), dir: "ltr" }, build(children));
  const head = el("div", { class: "code-head" }, el("span", {}, lang ?? ""), copyButton(() => pre.textContent));
  return holding(pre, el("div", { class: "code" }, head, pre));
}

function holding(inner, outer) {
  INSIDE.set(outer, inner);
  return outer;
}
