// What can be done with a session from its row: pin, rename, share, close, forget, as far as rights go.

import { ask, choice, el } from "./dom.js";
import { over, titleOf } from "./store.js";
import { t } from "./words.js";

const SHARES = ["all", "read-only", "private"];
const TITLE_MAX = 120;

/** The entries of a row's menu. What the owner of a remote session does not allow is not offered. */
export function rowActions(app, row) {
  const pinned = (app.keep.pins ?? []).includes(row.id);
  const may = row.local || (row.share !== "read-only" && row.attachable && !row.away);
  return [
    { label: t(pinned ? "menu.unpin" : "menu.pin"), run: () => app.actions.pin(row.id, !pinned) },
    may && { label: t("menu.rename"), run: () => rename(app, row) },
    row.local && { label: t("menu.share"), run: () => share(app, row) },
    may && !over(row) && { label: t("menu.close"), danger: true, run: () => close(app, row) },
    row.local && over(row) && { label: t("menu.forget"), danger: true, run: () => forget(app, row) },
  ].filter(Boolean);
}

function rename(app, row) {
  const input = el("input", {
    class: "field", value: row.untitled ? "" : row.title, maxlength: TITLE_MAX, autocomplete: "off", dir: "auto",
    autofocus: true,
  });
  const field = el("label", {}, t("menu.rename.label"), input);
  ask(t("menu.rename"), [field], t("menu.rename"), {}, () => app.actions.rename(row.id, input.value.trim()));
  input.select();
}

function share(app, row) {
  const choices = SHARES.map((value) => choice(
    el("input", { type: "radio", name: "share", value, checked: value === (row.share ?? "all") }),
    t(`share.${value}`), t(`share.${value}.more`)));
  const body = el("fieldset", {}, el("legend", {}, t("menu.share.label")), choices);
  const chosen = () => body.querySelector("input:checked").value;
  ask(t("menu.share"), [body], t("app.save"), {}, () => app.actions.share(row.id, chosen()));
}

function close(app, row) {
  ask(t("menu.close.title", { title: titleOf(row) }), [el("p", {}, t("menu.close.text"))], t("menu.close"), { danger: true },
    () => app.actions.close(row.id));
}

function forget(app, row) {
  ask(t("menu.forget.title", { title: titleOf(row) }), [el("p", {}, t("menu.forget.text"))], t("menu.forget"), { danger: true },
    async () => {
      await app.actions.forget(row.id);
      if (app.route.id === row.id) app.go("#/");
    });
}
