// The fields of a form that a session asks to be filled in: native controls, and what is wrong beside each.

import { nameOfChoice, valueOf, visible } from "./answer.js";
import { choice, el, lineField, say, set, uniqueId } from "./dom.js";
import { t } from "./words.js";

const FEW = 8; // choices

/**
 * `body`: its node; `read()`: `{value}`, or `{wrong}`, the focus then being in the first field that is; `begun()`: the values
 * so far, null if nothing was filled in.
 */
export function formOf(fields) {
  const controls = fields.map(formField);
  let touched = false;
  const valuesOf = (read) => Object.fromEntries(read.flatMap(({ value }, at) =>
    value === undefined ? [] : [[fields[at].name, value]]));
  return {
    body: el("div", { class: "ask-fields", oninput: () => (touched = true) }, controls.map((control) => control.node)),
    begun: () => (touched ? valuesOf(controls.map((control) => control.found())) : null),
    read() {
      const read = controls.map((control) => control.read());
      const bad = read.findIndex((found) => found.wrong);
      if (bad < 0) return { value: valuesOf(read) };
      controls[bad].focus();
      return { wrong: "ask.mend" };
    },
  };
}

// One field with its label, what it is and what is wrong with it.
function formField(field) {
  const about = el("p", { id: uniqueId("about"), class: "ask-state", dir: "auto" }, visible(field.description ?? ""));
  const wrong = el("p", { id: uniqueId("wrong"), class: "wrong" });
  const name = visible(field.title || field.name);
  const title = [name, field.required && el("span", { class: "needed" }, ` ${t("ask.required")}`)];
  const control = controlOf(field, `${about.id} ${wrong.id}`);
  const words = t("ask.own");
  const own = field.own_words && lineField({ "aria-label": `${name}: ${words}`, placeholder: words });
  const node = el("div", { class: "ask-field", oninput: () => tried && read() }, labelled(control, title), own, about, wrong);
  let tried = false;
  return { node, found, read, focus: () => control.first?.focus() };

  function found() {
    return control.first?.validity?.badInput ? { wrong: "ask.number" } : valueOf(field, control.value(), own?.value);
  }

  function read() {
    tried = true;
    const value = found();
    say(wrong, value.wrong ? t(value.wrong) : "");
    set(control.first ?? control.node, "aria-invalid", value.wrong && "true");
    return value;
  }
}

function labelled({ node, group, box }, title) {
  if (group) return el("fieldset", {}, el("legend", {}, title), node);
  if (box) return choice(node, title);
  return el("label", {}, el("span", { class: "name" }, title), node);
}

// `first` takes the focus; `value()` is what `valueOf` takes as it is.
function controlOf(field, describedBy) {
  const { default: given = null, required, type = "text", choices = [] } = field;
  const attributes = { "aria-describedby": describedBy, required };
  if (type === "boolean" && (required || given !== null)) {
    const box = el("input", { ...attributes, type: "checkbox", required: null, checked: given === true });
    return { node: box, first: box, box: true, value: () => box.checked };
  }
  // Few choices stand there at once, with what each means. A radio button cannot be let go: only where one is needed.
  const radios = type === "choice" && choices.length <= FEW && (required || field.own_words);
  if (type === "choices" || radios) {
    const name = uniqueId("choice");
    const boxes = choices.map(({ id }) => el("input", {
      type: radios ? "radio" : "checkbox", name, value: id, checked: id === given, "aria-describedby": describedBy,
    }));
    const rows = boxes.map((box, at) => choice(box, nameOfChoice(choices[at]), visible(choices[at].description ?? "")));
    const picked = () => boxes.filter((box) => box.checked).map((box) => box.value);
    return { node: el("div", {}, rows), first: boxes[0], group: true, value: radios ? () => picked()[0] ?? "" : picked };
  }
  if (type === "boolean" || type === "choice") {
    const known = type === "choice" ? choices : [{ id: "yes", name: t("ask.yes") }, { id: "no", name: t("ask.no") }];
    const select = el("select", { ...attributes, class: "field" }, el("option", { value: "" }, "\u2014"),
      known.map((one) => el("option", { value: one.id, selected: one.id === given },
        [nameOfChoice(one), visible(one.description ?? "")].filter(Boolean).join(" \u2013 "))));
    const yes = () => (select.value ? select.value === "yes" : null);
    return { node: select, first: select, value: type === "choice" ? () => select.value : yes };
  }
  const input = lineField({
    ...attributes, type: type === "text" ? "text" : "number", value: given, step: type === "number" ? "any" : null,
  });
  return { node: input, first: input, value: () => input.value };
}
