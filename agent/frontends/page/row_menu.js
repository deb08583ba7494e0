// What can be done with a session from its row: pin, rename, share, close, start again, forget, as far as rights go.

import { ask, atMost, choice, el, menu } from "./dom.js";
import { over, titleOf } from "./store.js";
import { t } from "./words.js";

const SHARES = ["all", "read-only", "private"];
export const TITLE_MAX = 120; // characters

/** The button of a row's menu; `rowOf` gives the row as it stands. */
export function menuButton(app, rowOf) {
  const open = () => menu(button, entries(app, rowOf()), button.ariaLabel);
  const button = el("button", {
    class: "more", "aria-haspopup": "menu", "aria-expanded": "false", onclick: open,
  });
  return button;
}

// What the owner of a remote session does not allow is not offered.
function entries(app, row) {
  const { actions } = app;
  const pinned = (app.keep.pins ?? []).includes(row.id);
  const may = mayChange(row);
  return [
    !row.closed && { label: t(pinned ? "menu.unpin" : "menu.pin"), run: () => actions.pin(row.id, !pinned) },
    may && !row.closed && { label: t("menu.rename"), run: () => rename(app, row) },
    row.local && { label: t("menu.share"), run: () => share(app, row) },
    restartAction(app, row),
    may && !row.closed && sure(row, "close", true, () => actions.close(row.id)),
    row.local && over(row) && sure(row, "forget", true, async () => {
      await actions.forget(row.id);
      if (app.route.id === row.id) app.go("#/");
    }),
  ].filter(Boolean);
}

/** The row of the open session, or null. One that has ended and is in no list was closed. */
export function openRow(app) {
  const log = app.session;
  const listed = app.store.session(log?.id);
  if (listed || !log?.row) return listed ?? null;
  return log.ended ? { ...log.row, closed: true, status: log.ended } : log.row;
}

/** How a session that is over is started again; false if it is not, or not by this device. */
export function restartAction(app, row) {
  const run = async () => app.go(`#/s/${(await app.actions.restart(row.id)).session_id}`);
  return mayChange(row) && over(row) && sure(row, "restart", false, run);
}

function mayChange(row) {
  return row.local || (row.share !== "read-only" && !row.away && (row.attachable || row.closed));
}

// What a person is asked about first.
function sure(row, name, danger, run) {
  const label = t(`menu.${name}`);
  const title = t(`menu.${name}.title`, { title: titleOf(row) });
  return { label, danger, run: () => ask(title, [el("p", {}, t(`menu.${name}.text`))], label, { danger }, run) };
}

function rename(app, row) {
  const input = atMost(TITLE_MAX, el("input", {
    class: "field", value: row.untitled ? "" : row.title, autocomplete: "off", dir: "auto", autofocus: true,
  }));
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
