// What was typed and is with no session yet: drafts, and prompts on their way (L8). They survive reloads and restarts.

const DRAFTS = 20;
const DRAFT_MAX = 20_000; // characters
const KEPT_MAX = 32_000; // bytes of drafts in the service
const KEEP_AFTER = 1_500; // ms after the last key
const SOON = 1_000; // ms in which a prompt is sent before anybody is told that it is not
const PATIENCE = 600_000; // ms after which a prompt is not sent any more without being asked for again

/**
 * `ready()`: whether the service can be asked; `submit(prompt)` sends one; `cancel(prompt)` takes that request back;
 * `keep(drafts)` stores drafts in the service; `touch()` has the views drawn. A prompt is sent under the id that its draft
 * got with its first letter, so that it runs once, however often it is sent.
 */
export class Unsent {
  #does;
  #storage;
  #now;
  #drafts; // session -> {text, id, at}; an empty text: it was cleared
  #prompts; // id -> {id, session, text, steer, at, state: waiting, asked or failed, doubtful, error, away}
  #timer = 0;

  constructor(does, { storage = localStorage, now = Date.now } = {}) {
    this.#does = does;
    this.#storage = storage;
    this.#now = now;
    this.#drafts = new Map(Object.entries(this.#read("drafts", {})));
    this.#prompts = new Map(this.#read("sending", []).map((prompt) => [prompt.id, this.#restored(prompt)]));
  }

  // --- drafts ---

  /** What stands in the message box of a session. */
  draft(session) {
    return this.#drafts.get(session)?.text ?? "";
  }

  /** Whether the message box of a session, with that text, is to show another draft. */
  differs(session, text) {
    return text.slice(0, DRAFT_MAX) !== this.draft(session);
  }

  /** Take what is typed into the message box of a session. */
  type(session, text) {
    const known = this.#drafts.get(session);
    if ((known?.text ?? "") === text) return;
    const id = (known?.text && known.id) || newId();
    this.#drafts.set(session, { text: text.slice(0, DRAFT_MAX), id, at: this.#now() });
    this.#storeDrafts();
  }

  /** Take the drafts that the service keeps; of two the one that was typed later stays. */
  merge(kept) {
    if (this.#mergeDrafts(kept ?? {})) this.#does.touch();
  }

  /** Store drafts in the service now: the window may be closed. */
  flush() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#does.keep(this.#toKeep());
  }

  // --- prompts on their way ---

  /** The prompts of a session that are not with it yet, oldest first; one that is being sent, after a second. */
  prompts(session) {
    const late = this.#now() - SOON;
    return this.#of(session).filter((prompt) => prompt.state !== "asked" || prompt.away || prompt.at <= late);
  }

  #of(session) {
    return [...this.#prompts.values()].filter((prompt) => prompt.session === session);
  }

  /** Send what stands in the message box of a session; `text` is all of it, drafts are cut. */
  send(session, text, steer = false) {
    if (!text.trim()) return;
    this.type(session, text);
    const { id } = this.#drafts.get(session);
    this.#put({ id, session, text, steer, at: this.#now(), state: "waiting", doubtful: false, error: null, away: null });
    this.#drafts.set(session, { text: "", id: "", at: this.#now() });
    this.#storeDrafts();
    this.flush();
    this.#pump(session);
  }

  /** Send what waits: after each connection, and once it is not sent by itself any more. */
  resume() {
    for (const session of new Set([...this.#prompts.values()].map((prompt) => prompt.session))) this.#pump(session);
  }

  /** Send again what was refused. */
  again(id) {
    const prompt = this.#prompts.get(id);
    if (prompt?.state !== "failed") return;
    this.#put({ ...prompt, state: "waiting", error: null, at: this.#now() });
    this.#pump(prompt.session);
  }

  /** Whether a prompt can be taken back: nobody knows of one that went out before the connection broke. */
  canTakeBack(prompt) {
    return prompt.state !== "waiting" || !prompt.doubtful;
  }

  /** Take a prompt back into the message box; one that is being sent, if that can still be stopped. */
  takeBack(id) {
    const prompt = this.#prompts.get(id);
    if (!prompt || !this.canTakeBack(prompt)) return;
    if (prompt.state === "asked") this.#does.cancel(prompt);
    else this.#giveBack(prompt);
  }

  /** Put a text before what stands in the message box. */
  giveBack(session, text) {
    this.type(session, [text, this.draft(session)].filter(Boolean).join("\n"));
    this.#does.touch();
  }

  /** Note why a prompt is not sent yet, as `request.waiting` tells it. */
  waits(id, away) {
    const prompt = this.#prompts.get(id);
    if (prompt) this.#put({ ...prompt, away });
  }

  /** Drop the prompts that another window of this browser has sent or taken back. */
  stored() {
    const left = new Set(this.#read("sending", []).map((prompt) => prompt.id));
    for (const prompt of [...this.#prompts.values()]) {
      if (left.has(prompt.id)) continue;
      if (prompt.state === "asked") this.#does.cancel(prompt);
      this.#prompts.delete(prompt.id);
    }
    this.#does.touch();
  }

  // One at a time in a session, so that they arrive in order.
  async #pump(session) {
    const list = this.#of(session);
    const prompt = list.find((each) => each.state === "waiting");
    if (!prompt || list.some((each) => each.state === "asked") || !this.#does.ready()) return;
    const { id } = prompt;
    this.#put({ ...prompt, state: "asked", away: null });
    const told = setTimeout(() => this.#does.touch(), SOON);
    try {
      await this.#does.submit(prompt);
      this.#drop(id);
    } catch (error) {
      const now = this.#prompts.get(id);
      if (now && this.#over(now, error)) return; // the next connection goes on
    } finally {
      clearTimeout(told);
    }
    this.#pump(session);
  }

  // What became of a prompt whose request was answered with an error. Whether the connection is lost.
  #over(prompt, error) {
    if (error.kind === "not-running") {
      this.#put({ ...prompt, state: "waiting", doubtful: true });
      return true;
    }
    if (error.kind === "taken-back") this.#giveBack(prompt);
    else this.#put({ ...prompt, state: "failed", doubtful: error.kind === "peer-lost", error });
    return false;
  }

  #giveBack(prompt) {
    this.#drop(prompt.id);
    this.giveBack(prompt.session, prompt.text);
  }

  #put(prompt) {
    this.#prompts.set(prompt.id, prompt);
    this.#storePrompts();
  }

  #drop(id) {
    if (this.#prompts.delete(id)) this.#storePrompts();
  }

  // --- where it is kept ---

  #restored({ id, session, text, steer, at, asked }) {
    const late = this.#now() - at > PATIENCE;
    const error = late ? { kind: "late", message: "", hint: "" } : null;
    return { id, session, text, steer, at, state: late ? "failed" : "waiting", doubtful: Boolean(asked), error, away: null };
  }

  #storePrompts() {
    const list = [...this.#prompts.values()].map(({ id, session, text, steer, at, state, doubtful }) =>
      ({ id, session, text, steer, at, asked: doubtful || state === "asked" }));
    this.#write("sending", list);
    this.#does.touch();
  }

  #storeDrafts() {
    this.#mergeDrafts(this.#read("drafts", {})); // another window of this browser types, too
    const newest = [...this.#drafts].sort(([, one], [, other]) => other.at - one.at).slice(0, DRAFTS);
    this.#drafts = new Map(newest);
    this.#write("drafts", Object.fromEntries(newest));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), KEEP_AFTER);
  }

  #mergeDrafts(others) {
    let changed = false;
    for (const [session, other] of Object.entries(others)) {
      if (typeof other?.text !== "string" || (this.#drafts.get(session)?.at ?? 0) >= other.at) continue;
      this.#drafts.set(session, other);
      changed = true;
    }
    return changed;
  }

  #toKeep() {
    const kept = {};
    let left = KEPT_MAX;
    for (const [session, draft] of this.#drafts) {
      left -= new TextEncoder().encode(JSON.stringify(draft)).length;
      if (draft.text && left >= 0) kept[session] = draft;
    }
    return kept;
  }

  #read(name, otherwise) {
    try {
      return JSON.parse(this.#storage.getItem(name)) ?? otherwise;
    } catch {
      return otherwise;
    }
  }

  #write(name, value) {
    try {
      this.#storage.setItem(name, JSON.stringify(value));
    } catch {
      // full or switched off: it lives as long as the window
    }
  }
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What was typed, kept in step with the other windows of this browser, and stored before this one is out of sight. */
export function unsentOf(app, does) {
  const unsent = new Unsent({ ready: () => app.state === "ready", touch: () => app.touch("unsent"), ...does });
  addEventListener("storage", (event) => event.key === "sending" && unsent.stored());
  document.addEventListener("visibilitychange", () => document.hidden && unsent.flush());
  addEventListener("pagehide", () => unsent.flush());
  return unsent;
}
