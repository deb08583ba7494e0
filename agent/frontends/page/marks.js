// What is seen of the page when another window is in front: how many sessions wait, in title and icon, and a notification.

import { set } from "./dom.js";
import { nameOf, status, titleOf } from "./store.js";
import { number, t } from "./words.js";

const NAME = "lan-agent";
const DIAMOND = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#1f5fd6"/>`
  + `<path d="M16 4 28 16 16 28 4 16Z" fill="#ffb366" stroke="#fff" stroke-width="2"/></svg>`;

export function marks(app) {
  const icon = document.querySelector("link[rel=icon]");
  const quiet = (icon.dataset.quiet ??= icon.getAttribute("href")); // this may be made anew while something waits
  let before = null; // ids of the sessions that waited; null: not known yet
  addEventListener("click", permit);
  return { update };

  // The permission belongs to the address, which is another one after each start of the service: a click asks anew.
  function permit() {
    if (!app.keep.settings?.notify) return;
    removeEventListener("click", permit);
    if (globalThis.Notification?.permission === "default") Notification.requestPermission();
  }

  function update(changed) {
    if (![...changed].some((key) => /^(s:|loaded|route|keep|wire)/.test(key))) return;
    const { local, remote } = app.store.sessions();
    const waiting = [...local, ...remote].filter((row) => status(row) === "needs-input" && !row.stale);
    const open = app.route.name === "s" && app.state !== "refused" ? app.store.session(app.route.id) : null;
    const name = open ? `${titleOf(open)} · ${NAME}` : NAME;
    const title = waiting.length ? `(${number(waiting.length)}) ${name}` : name;
    if (document.title !== title) document.title = title;
    set(icon, "href", waiting.length ? `data:image/svg+xml,${encodeURIComponent(DIAMOND)}` : quiet);
    if (before) for (const row of waiting) if (!before.has(row.id)) notify(row);
    if (app.store.loaded) before = new Set(waiting.map((row) => row.id));
  }

  // The title and the device only: a notification is seen on locked screens.
  function notify(row) {
    const wanted = app.keep.settings?.notify === true && globalThis.Notification?.permission === "granted";
    const inSight = document.hasFocus() && app.route.id === row.id;
    if (!wanted || inSight) return;
    try {
      const title = t("marks.waits", { title: titleOf(row) });
      const shown = new Notification(title, { body: nameOf(row.device), tag: row.id });
      shown.onclick = () => {
        focus();
        app.go(`#/s/${row.id}`);
        shown.close();
      };
    } catch {
      // phones have them for workers only
    }
  }
}
