// Changes of files: the lines of a unified patch, and their nodes.

import { copyButton, el } from "./dom.js";
import { t } from "./words.js";

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)/;
const KINDS = { "+": "add", "-": "remove", " ": "same", "": "same" };
const SIGNS = { add: "+", remove: "-", same: " ", hunk: "", note: "" };

/** The lines of a patch: `{kind: add|remove|same|hunk|note, old, now, text}`; `old` and `now` are numbers of lines. */
export function lines(patch) {
  const found = [];
  const bare = !/^@@ /m.test(patch); // no hunks: every line is one of the file
  let [old, now, oldLeft, nowLeft] = bare ? [1, 1, Infinity, Infinity] : [0, 0, 0, 0];
  for (const line of patch ? patch.replace(/\n$/, "").split("\n") : []) {
    const hunk = HUNK.exec(line);
    const kind = KINDS[line.slice(0, 1)];
    if (hunk && oldLeft <= 0 && nowLeft <= 0) {
      [old, now] = [Number(hunk[1]), Number(hunk[3])];
      [oldLeft, nowLeft] = [Number(hunk[2] ?? 1), Number(hunk[4] ?? 1)];
      found.push({ kind: "hunk", text: hunk[5].trim() });
    } else if (kind && (oldLeft > 0 || nowLeft > 0)) {
      found.push({ kind, old: kind === "add" ? null : old, now: kind === "remove" ? null : now, text: line.slice(1) });
      if (kind !== "add") [old, oldLeft] = [old + 1, oldLeft - 1];
      if (kind !== "remove") [now, nowLeft] = [now + 1, nowLeft - 1];
    } else if (line.startsWith("\\")) {
      found.push({ kind: "note", text: line.slice(2) });
    } // else names of files and what git says of them
  }
  return found;
}

/** How many lines come and go: `{added, removed}`. A diff that was cut says it of all its lines. */
export function counts(diff, all = lines(diff.patch)) {
  const count = (kind) => all.filter((line) => line.kind === kind).length;
  return { added: diff.added || count("add"), removed: diff.removed || count("remove") };
}

/** The node of a diff of the wire: `{path, patch, cut, added, removed}`; its lines are made when it is unfolded. */
export function patchNode(diff, open = true) {
  const all = lines(diff.patch);
  const { added, removed } = counts(diff, all);
  const label = t("diff.name", { path: diff.path });
  const name = diff.path.lastIndexOf("/") + 1; // what is before it may be cut
  const body = el("div", { class: "lines", tabindex: "0", role: "group", "aria-label": label, dir: "ltr" });
  const summary = el("summary", { class: "code-head" },
    el("span", { class: "path", title: diff.path, dir: "ltr" }, el("span", {}, diff.path.slice(0, name)), diff.path.slice(name)),
    el("span", { class: "unseen" }, t("diff.counts", { added, removed })),
    el("span", { class: "plus", "aria-hidden": "true" }, `+${added}`),
    el("span", { class: "minus", "aria-hidden": "true" }, `−${removed}`));
  const cut = diff.cut ? el("p", { class: "cut" }, t("diff.cut", { count: diff.cut })) : null;
  const node = el("details", { class: "code changes", open, ontoggle: draw }, summary, copyButton(diff.patch), body, cut);
  if (open) draw();
  return node;

  function draw() {
    if (node.open && !body.firstChild) body.append(...all.map(lineNode));
  }
}

function lineNode({ kind, old, now, text }) {
  return el("div", { class: ["line", kind], dataset: { at: now ?? old ?? "" } }, SIGNS[kind] + text);
}
