// The commands that a session's program knows: listed above the message box while a text begins with `/`.

import { visible } from "./answer.js";
import { el, keyed, set, uniqueId } from "./dom.js";
import { t } from "./words.js";

/** `draw` after each change of the box, `key(event)` before its own keys: whether the list took it, `close`. */
export function commandList(app, box, changed) {
  const node = el("ul", {
    id: uniqueId("commands"), class: "commands", role: "listbox", "aria-label": t("compose.commands"), hidden: true,
  });
  let found = [];
  let at = 0;
  let closed = false; // by Esc, until the text is another one
  let drawn = "";
  set(box, "aria-autocomplete", "list");
  box.addEventListener("blur", close);
  return { node, draw, key, close };

  function draw() {
    const word = wordOf(box);
    if (word !== drawn) [drawn, closed, at] = [word, false, 0];
    const before = found.length;
    found = word === null || closed ? [] : matching(app.session?.commands ?? [], word);
    node.hidden = !found.length;
    keyed(node, found, (command) => command.name, make);
    mark();
    if (found.length && found.length !== before) app.say(t("compose.commands.count", { count: found.length }));
  }

  function make(command) {
    const pick = (event) => {
      event.preventDefault(); // the box keeps the focus
      take(command);
    };
    return el("li", { id: uniqueId("command"), role: "option", onpointerdown: pick },
      el("b", {}, `/${visible(command.name)}`),
      el("span", { dir: "auto" }, visible([command.hint, command.description].filter(Boolean).join(" · "))));
  }

  function mark() {
    const chosen = node.children[at];
    for (const li of node.children) set(li, "aria-selected", li === chosen ? "true" : "false");
    set(box, "aria-controls", found.length ? node.id : null);
    set(box, "aria-activedescendant", chosen?.id);
    chosen?.scrollIntoView({ block: "nearest" });
  }

  function key(event) {
    if (!found.length || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return false;
    if (event.key === "ArrowDown") at = (at + 1) % found.length;
    else if (event.key === "ArrowUp") at = (at - 1 + found.length) % found.length;
    else if (event.key === "Enter" && found[at].name === drawn) return false; // it is whole: it is sent
    else if (event.key === "Enter" || event.key === "Tab") take(found[at]);
    else if (event.key === "Escape") [closed, found] = [true, []];
    else return false;
    event.preventDefault();
    event.stopPropagation();
    draw();
    return true;
  }

  function take(command) {
    const rest = box.value.slice(box.selectionStart).trimStart();
    box.value = `/${command.name} ${rest}`;
    box.selectionStart = box.selectionEnd = command.name.length + 2;
    changed();
  }

  function close() {
    found = [];
    node.hidden = true;
    mark();
  }
}

// The beginning of a command before the cursor; null, if something else stands there.
function wordOf(box) {
  return /^\/(.*)$/.exec(box.value.slice(0, box.selectionStart))?.[1] ?? null;
}

// Those that begin so first. Of one that is whole, and nothing more, nothing is asked.
function matching(commands, word) {
  const wanted = word.toLowerCase();
  const place = (command) => command.name.toLowerCase().indexOf(wanted);
  const all = commands.filter((command) => place(command) >= 0).sort((one, other) => (place(one) > 0) - (place(other) > 0));
  return all.length === 1 && all[0].name.toLowerCase() === wanted ? [] : all;
}
