// What was typed and is with no session yet: drafts, and prompts on their way (L8). They survive reloads and restarts.

const DRAFTS = 20;
const DRAFT_MAX = 20_000; // characters
const KEPT_MAX = 32_000; // bytes of drafts in the service
const KEEP_AFTER = 1_500; // ms after the last key
const SOON = 1_000; // ms in which a prompt is sent before anybody is told that it is not
const PATIENCE = 600_000; // ms after which a prompt is not sent any more without being asked for again
// Before a session and the id of a prompt, in storage: windows show the newest draft until one types; each sends its prompts.
const DRAFT = "draft:";
const SENDING = "sending:";

/**
 * `ready()`: whether the service can be asked; `submit(prompt)` sends one; `cancel(prompt)` takes that request back;
 * `keep(make, leaving)` stores the drafts that `make()` gives in the service, after a `merge` with what is there if there is
 * time; `touch()` has the views drawn. A prompt is sent under the id that its draft
 * got with its first letter, so that it runs once, however often it is sent.
 */
export class Unsent {
  #does;
  #storage;
  #now;
  #drafts; // session -> {text, id, at, sent, held}, the newest last; no text: it was cleared, or `sent` as the prompt of that id
  #typed = new Set(); // sessions in whose message box of this window something was typed: no other window changes that
  #prompts; // id -> {id, session, text, steer, at, state: waiting, asked or failed, doubtful, error, away}
  #timer = 0;
  #ahead = false; // what was typed is not all in the service

  constructor(does, { storage = localStorage, now = Date.now } = {}) {
    this.#does = does;
    this.#storage = storage;
    this.#now = now;
    this.#drafts = this.#stored(DRAFT);
    this.#prompts = this.#stored(SENDING, restored);
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

  /** Take what is typed into the message box of a session. `held`: it may be a secret, and is not kept beyond this window. */
  type(session, text, held = false) {
    const known = this.#drafts.get(session);
    if ((known?.text ?? "") === text) return;
    const id = (known?.text && this.#typed.has(session) && known.id) || newId(); // another window may send what it had
    this.#typed.add(session);
    this.#draft(session, { text: text.slice(0, DRAFT_MAX), id, at: this.#now(), ...(held && { held }) });
  }

  /** Take the drafts that the service keeps: later ones, but none in place of another text that was typed here. */
  merge(kept) {
    for (const [session, other] of Object.entries(kept ?? {})) {
      const own = this.#drafts.get(session);
      if (this.#typed.has(session) || (own && (own.at >= other.at || (own.text && own.id !== other.id)))) continue;
      this.#drafts.set(session, other);
      this.#does.touch();
    }
    this.flush();
  }

  /** Store drafts in the service now. */
  flush(leaving = false) {
    clearTimeout(this.#timer);
    if (!this.#ahead || !this.#does.ready()) return;
    this.#ahead = false;
    this.#does.keep(() => this.#toKeep(), leaving).catch(() => (this.#ahead = true));
  }

  /** Whether something would be lost with this window: the service does not have it, and may come back with another origin. */
  get atRisk() {
    const typed = this.#ahead && [...this.#drafts.values()].some((draft) => draft.text);
    return !this.#does.ready() && (typed || this.#prompts.size > 0);
  }

  /** Leave what is not sent to the other windows of this browser and to the service: this window may be closed. */
  leave() {
    for (const prompt of this.#prompts.values()) this.#store(prompt, true);
    this.#ahead ||= this.#prompts.size > 0;
    this.flush(true);
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
    this.#draft(session, { text: "", id: "", at: this.#now(), sent: id });
    this.#pump(session);
    this.flush();
  }

  /** Send what waits, after each connection; what has waited too long only if somebody asks for it again. */
  resume() {
    const late = this.#now() - PATIENCE;
    for (const prompt of this.#prompts.values()) {
      if (prompt.state === "waiting" && prompt.at < late) this.#put({ ...prompt, state: "failed", error: { kind: "late" } });
    }
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
    if (prompt) this.#put({ ...prompt, away, doubtful: prompt.doubtful || Boolean(away?.sent) });
  }

  /** Note that another window of this browser was typed in, has sent a prompt, or taken it back, or left it to this one. */
  stored(key = "") {
    const stored = this.#read(key);
    if (key.startsWith(DRAFT) && stored) this.#elsewhere(key.slice(DRAFT.length), stored);
    if (key.startsWith(SENDING)) this.#moved(key, stored);
    this.#does.touch();
  }

  // What was typed here stays, and is what a reload brings once the other window has nothing to bring.
  #elsewhere(session, draft) {
    const own = this.#drafts.get(session);
    if (!this.#typed.has(session) || (own?.text && draft.sent === own.id)) this.#drafts.set(session, draft);
    else if (own?.text && !own.held && !draft.text) this.#write(DRAFT + session, own);
  }

  #moved(key, stored) {
    const prompt = this.#prompts.get(key.slice(SENDING.length));
    if (prompt && !stored) {
      if (prompt.state === "asked") this.#does.cancel(prompt);
      this.#prompts.delete(prompt.id);
    } else if (!prompt && stored?.left) {
      this.#prompts.set(stored.id, restored(stored));
      this.resume();
    }
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
    this.#store(prompt);
    this.#does.touch();
  }

  #drop(id) {
    if (!this.#prompts.delete(id)) return;
    this.#storage.removeItem(SENDING + id);
    this.#keepSoon();
    this.#does.touch();
  }

  // --- where it is kept ---

  #store({ id, session, text, steer, at, state, doubtful }, left = false) {
    this.#write(SENDING + id, { id, session, text, steer, at, asked: doubtful || state === "asked", left });
  }

  #draft(session, draft) {
    this.#drafts.delete(session);
    this.#drafts.set(session, draft);
    if (draft.held) return; // what was kept before stays
    this.#write(DRAFT + session, draft);
    for (const oldest of [...this.#drafts.keys()].slice(0, -DRAFTS)) {
      this.#drafts.delete(oldest);
      this.#storage.removeItem(DRAFT + oldest);
    }
    this.#keepSoon();
  }

  #keepSoon() {
    this.#ahead = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), KEEP_AFTER);
  }

  // With what is not sent, as of the time at which it left the message box: only where that is not known it is put back there.
  #toKeep() {
    const kept = {};
    let left = KEPT_MAX;
    for (const [session, own] of [...this.#drafts].reverse()) {
      const draft = this.#newest(session, own);
      const unsent = this.prompts(session).map((prompt) => prompt.text);
      const all = unsent.length ? { ...draft, id: newId(), text: [...unsent, draft.text].filter(Boolean).join("\n") } : draft;
      left -= new TextEncoder().encode(JSON.stringify(all)).length;
      if (all.text && left >= 0) kept[session] = all;
    }
    return kept;
  }

  // Of a draft and what another window has typed.
  #newest(session, own) {
    const other = this.#read(DRAFT + session);
    if (own.held) return other ?? { text: "" };
    return other?.text && (!own.text || other.at > own.at) ? other : own;
  }

  // What stands under a prefix, by the rest of the key, the newest last.
  #stored(prefix, make = (value) => value) {
    const keys = Object.keys(this.#storage).filter((key) => key.startsWith(prefix));
    const found = keys.map((key) => [key.slice(prefix.length), this.#read(key)]).filter(([, value]) => value);
    return new Map(found.sort(([, one], [, other]) => one.at - other.at).map(([key, value]) => [key, make(value)]));
  }

  #read(name) {
    try {
      return JSON.parse(this.#storage.getItem(name));
    } catch {
      return null;
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

function restored({ id, session, text, steer, at, asked }) {
  return { id, session, text, steer, at, state: "waiting", doubtful: Boolean(asked), error: null, away: null };
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What was typed, kept in step with the other windows of this browser, and stored before this one is out of sight. */
export function unsentOf(app, does) {
  const unsent = new Unsent({ ready: () => app.state === "ready", touch: () => app.touch("unsent"), ...does });
  addEventListener("storage", (event) => unsent.stored(event.key ?? ""));
  document.addEventListener("visibilitychange", () => document.hidden && unsent.flush());
  addEventListener("pagehide", () => unsent.leave());
  addEventListener("beforeunload", (event) => unsent.atRisk && event.preventDefault());
  return unsent;
}
