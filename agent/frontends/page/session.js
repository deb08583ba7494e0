// One session's log folded into what is shown: items, queue, requests. Pure: no DOM, no clock, no wire (S1, S4, S9, S15).

const SGR = new RegExp("\x1b\\[[0-9;:]*m", "g"); // colours
const OVER = new Set(["ended", "failed"]);

/**
 * What `agent/client/view.py` makes of the same log, and the items of the transcript, oldest first:
 *
 *     {id, kind, turn, seq, at, until}   of all: event and time at which it began, and when it last changed
 *     user    {text, sender, steer, prompt_id, asked}    where its turn begins; until then, `asked` then, it is in `queue`
 *     reply   {text, part, done, status}          turn 0: unasked
 *     thought {text}
 *     tool    {title, tool, input, output, diffs, done, status, settled}   settled: its end had the whole output
 *     plan    {entries}                           the newest of its turn
 *     answer  {request, closed}                   a request that was answered, or is no longer asked
 *     turn    {end, text}                         the end of one that is no plain success (S14); text of one taken back
 *     note    {text, status}
 *
 * An item keeps its value while it changes; `apply` says which ones did.
 */
export class SessionLog {
  items = [];
  queue = []; // {turn, prompt_id, text, sender}: the one that runs next first
  requests = new Map(); // open ones by id, oldest first
  participants = [];
  options = [];
  commands = [];
  row = null; // the session's row when it was attached
  title = "";
  cwd = "";
  model = "";
  screen = ""; // the full-screen program that is on its terminal
  ended = ""; // "ended" or "failed", once the session is
  turn = 0; // that runs; 0: none
  seq = 0; // of the last event
  first = 1; // the oldest event that `items` stand for
  more = false; // whether there are older ones
  epoch = "";
  gap = false; // an event is missing: attach again

  #byId = new Map();
  #current = new Map(); // what grows: its item by what names it in the log
  #waiting = new Map(); // prompts whose turn has not begun, by turn
  #began = new Map(); // turns that are known to have begun, and with which event
  #shown = new Map(); // requests whose end has not been shown
  #logged = 0; // the newest turn that the log has shown
  #accepted = 0; // the newest that was accepted of this page
  #moving = { turn: 0, text: "" }; // what stands below the text of the running turn and may still change

  constructor(id) {
    this.id = id;
  }

  /** Whether a turn runs, or is still to come. */
  get running() {
    return this.turn > 0 || this.queue.length > 0 || this.#logged < this.#accepted;
  }

  /** The rows of the running turn that may still change; without the last one, if it is asked as a question. */
  get rows() {
    const rows = this.#moving.text.replace(/\n+$/, "").split("\n");
    const last = rows.at(-1).replace(SGR, "").trim();
    const asked = [...this.requests.values()].some(({ prompt = "" }) => prompt.trim() === last);
    return last && !asked ? rows : rows.slice(0, -1);
  }

  /** Take the newest rows in place of those before; without any, nothing moves. */
  moves({ turn = 0, text = "" }) {
    this.#moving = { turn, text };
  }

  item(id) {
    return this.#byId.get(id);
  }

  /** The item in which an event is, as far as it is known: the newest that began with it or before. */
  itemAt(seq) {
    return this.items.find((item) => item.asked === seq) ?? this.items.findLast((item) => item.seq <= seq);
  }

  /** Take the answer to `session.attach`. One with a snapshot is the log as it is: what was shown before is put away. */
  hydrate(attached) {
    const { snapshot } = attached;
    this.id = attached.session_id ?? this.id;
    this.epoch = attached.epoch;
    this.gap = false;
    this.moves({}); // what stands now is told again
    if (snapshot) this.#restart(snapshot, attached);
    this.participants = attached.participants ?? [];
    this.options = attached.options ?? [];
    this.commands = attached.commands ?? [];
    this.requests = new Map((attached.requests ?? []).map((request) => [request.request_id, request]));
  }

  #restart({ session, events, truncated }, attached) {
    this.items = [];
    this.queue = [];
    for (const kept of [this.#byId, this.#current, this.#waiting, this.#began, this.#shown]) kept.clear();
    this.ended = "";
    this.turn = this.#logged = this.#accepted = 0;
    this.row = session;
    this.title = session.title ?? "";
    this.cwd = session.cwd ?? "";
    this.model = session.model ?? "";
    this.screen = session.screen ?? "";
    for (const event of events) this.#fold(event, new Set(), true);
    for (const request of attached.requests ?? []) this.#shown.set(request.request_id, request);
    this.turn ||= runningTurn(session, events);
    const known = new Map(this.queue.map((prompt) => [prompt.prompt_id, prompt]));
    // Else nothing waits; or an earlier version does not tell, and the entries must do.
    if (attached.queue?.length) this.queue = attached.queue.map((each) => known.get(each.prompt_id) ?? each);
    for (const prompt of this.queue) if (!this.#waiting.has(prompt.turn)) this.#waiting.set(prompt.turn, prompt);
    if (OVER.has(session.status)) this.ended = session.status;
    this.seq = attached.seq;
    this.first = events[0]?.seq ?? attached.seq + 1;
    this.more = truncated ?? false;
  }

  /** Take the next event. Gives the ids of the items that are different; none of one that was seen, or is ahead of a gap. */
  apply(event) {
    const changed = new Set();
    if (event.seq <= this.seq) return changed;
    if (event.seq !== this.seq + 1) {
      this.gap = true;
      return changed;
    }
    this.seq = event.seq;
    this.#fold(event, changed, false);
    return changed;
  }

  /** Note that a prompt of this page was accepted: its turn is to come. */
  submitted({ turn }) {
    this.#accepted = Math.max(this.#accepted, turn);
  }

  /** Note that an answer of this page was taken: the request is open no more, whenever the log says so. */
  answered(requestId) {
    this.requests.delete(requestId);
  }

  /** Who watches besides this page: of the own device its other clients (S8). */
  others(own) {
    return this.participants
      .map((each) => (each.device === own ? { ...each, count: each.count - 1 } : each))
      .filter((each) => each.count > 0);
  }

  /** Take a page of older history before `first`. Gives whether items came with it. */
  prepend(page) {
    if (page.epoch !== this.epoch) return false;
    const before = this.items.length;
    const older = new SessionLog(this.id);
    for (const event of page.events) older.#fold(event, new Set(), true);
    this.#join(older);
    this.first = page.first || page.events[0]?.seq || this.first;
    this.more = Boolean(page.more && page.events.length);
    return this.items.length > before;
  }

  /** Forget the items before the turn that item number `place` is in: the history has them. Gives how many they were. */
  trim(place) {
    const at = this.items.findLastIndex(({ kind }, index) => kind === "user" && index <= place);
    if (at <= 0) return 0;
    for (const { id } of this.items.splice(0, at)) this.#byId.delete(id);
    this.first = this.items[0].seq;
    this.more = true;
    return at;
  }

  // An item of which both know is one: it began in the older page, and its end is here.
  #join(older) {
    const items = [...older.items];
    for (const item of this.items) {
      const begun = older.#byId.get(item.id);
      if (begun) combine(begun, item);
      if (item.kind === "answer") item.request ??= older.#shown.get(item.closed.request_id) ?? null;
      if (begun) items[items.indexOf(begun)] = item;
      else items.push(item);
    }
    const last = older.items.at(-1);
    const thought = last?.kind === "thought" && this.items.find((each) => each.kind === "thought" && each.turn === last.turn);
    if (thought && thought.text.includes(last.text)) items.splice(items.indexOf(last), 1);
    for (const [turn, message] of older.#waiting) {
      const end = this.#byId.get(`end${turn}`);
      if (end?.end.withdrawn_by) end.text ||= message.text;
      const seq = this.#began.get(turn) ?? (end && !end.end.withdrawn_by ? end.seq - 1 : 0);
      if (!seq || this.#byId.has(`u${turn}`)) continue;
      const place = items.findIndex((each) => each.seq > seq);
      items.splice(place < 0 ? items.length : place, 0, userItem(message, { seq, at: items[place]?.at ?? "" }));
    }
    for (const [turn, seq] of older.#began) this.#began.set(turn, seq);
    this.items = items;
    this.#byId = new Map(items.map((item) => [item.id, item]));
  }

  // --- one event ---

  #fold({ seq, type, payload, at }, changed, merged) {
    if (!payload) return; // a device put something there that has no JSON
    const turn = payload.turn ?? 0;
    const told = { seq, at, turn, changed, merged };
    switch (type) {
      case "message.user":
        this.#user(payload, told);
        break;
      case "message.start":
        this.#unqueue(turn);
        if (turn) this.turn = turn;
        this.#begin(turn, told);
        break;
      case "message.delta":
        this.#says(payload, told).text += payload.text;
        this.#given(turn, payload.text);
        break;
      case "message.complete":
        this.#whole(payload, told);
        break;
      case "thought.delta":
        this.#thinks(payload, told);
        break;
      case "tool.start":
        this.#current.delete(toolKey(payload));
        this.#uses(payload, told);
        break;
      case "tool.update":
        this.#uses(payload, told);
        break;
      case "tool.complete":
        this.#uses({ ...payload, done: true }, told);
        this.#current.delete(toolKey(payload));
        break;
      case "plan.update":
        this.#plans(payload, told);
        break;
      case "request.open":
        this.requests.set(payload.request_id, payload);
        this.#shown.set(payload.request_id, payload);
        break;
      case "request.closed":
        this.#closed(payload, told);
        break;
      case "turn.complete":
        this.#over(payload, told);
        break;
      case "session.info":
        this.#info(payload, told);
        break;
      default: // of a later version, or `other`
    }
  }

  #user(message, told) {
    const { turn } = message;
    this.#logged = Math.max(this.#logged, turn);
    if (message.queued) {
      this.#unqueue(turn);
      const prompt = { turn, prompt_id: message.prompt_id, text: message.text, sender: message.sender };
      this.queue = message.steer ? [prompt, ...this.queue] : [...this.queue, prompt];
      this.#waiting.set(turn, { ...message, asked: told.seq });
    } else {
      this.turn = turn;
      this.#began.set(turn, told.seq);
      this.#add(userItem(message, told), told);
    }
  }

  #unqueue(turn) {
    if (this.queue.some((each) => each.turn === turn)) this.queue = this.queue.filter((each) => each.turn !== turn);
  }

  // A prompt that waited is shown where its turn begins.
  #begin(turn, told) {
    if (!this.#began.has(turn)) this.#began.set(turn, told.seq);
    const message = this.#waiting.get(turn);
    if (!message) return;
    this.#waiting.delete(turn);
    this.#add(userItem(message, told), told);
  }

  #says({ turn, part = 1 }, told) {
    const key = `r${turn}.${part}`;
    const item = this.#current.get(key) ?? this.#new(key, { kind: "reply", text: "", part, done: false, status: "" }, told);
    return touch(item, told);
  }

  #whole(message, told) {
    const key = `r${message.turn}.${message.part ?? 1}`;
    if (!message.text && !this.#current.has(key)) return;
    const item = this.#says(message, told);
    Object.assign(item, { text: message.text, done: true, status: message.status });
    this.#current.delete(key);
  }

  // Text that is given moves no more: rows that it begins with are gone, or else all.
  #given(turn, text) {
    const moving = this.#moving;
    if (turn === moving.turn) moving.text = moving.text.startsWith(text) ? moving.text.slice(text.length) : "";
  }

  #thinks({ turn, text }, told) {
    const last = this.items.at(-1);
    const goesOn = last?.kind === "thought" && last.turn === turn;
    if (!goesOn && !text.trim()) return; // some agents begin with empty lines
    const item = goesOn ? last : this.#new(`h${turn}.${told.seq}`, { kind: "thought", text: "", whole: told.merged }, told);
    touch(item, told).text += text;
  }

  #uses(event, told) {
    const key = toolKey(event);
    const item = this.#current.get(key) ?? this.#new(key, {
      kind: "tool", title: "", tool: "", input: "", output: "", diffs: [], done: false, status: "", whole: told.merged,
    }, told);
    touch(item, told);
    item.title = event.title || item.title;
    item.tool = event.tool || item.tool;
    item.input = event.input || item.input;
    item.output = event.output || item.output + (event.text ?? "");
    item.diffs = joined(item.diffs, event.diffs);
    if (event.done) Object.assign(item, { done: true, status: event.status, settled: Boolean(event.output) });
  }

  #plans({ turn, entries = [] }, told) {
    const key = `plan${turn}`;
    const item = this.#byId.get(key) ?? this.#new(key, { kind: "plan", entries }, told);
    touch(item, told).entries = entries;
  }

  #closed(closed, told) {
    const id = closed.request_id;
    const request = this.#shown.get(id) ?? null;
    this.requests.delete(id);
    this.#shown.delete(id);
    this.#add(newItem(`a${told.seq}`, { kind: "answer", request, closed }, told), told);
  }

  #over(end, told) {
    const { turn } = end;
    this.#unqueue(turn);
    this.#logged = Math.max(this.#logged, turn);
    if (turn === this.turn) {
      this.turn = 0;
      this.screen = "";
      this.moves({});
    }
    const message = this.#waiting.get(turn);
    if (message && !end.withdrawn_by) this.#begin(turn, told); // never ran: say of which prompt
    this.#waiting.delete(turn);
    this.#finish(turn, end.status, told);
    if (plain(end)) return;
    const text = end.withdrawn_by ? message?.text ?? "" : "";
    this.#add(newItem(`end${turn}`, { kind: "turn", end, text }, told), told);
  }

  // Nothing of a turn goes on after its end.
  #finish(turn, status, { changed }) {
    for (const [key, item] of this.#current) {
      if (item.turn !== turn) continue;
      this.#current.delete(key);
      if (item.done) continue;
      Object.assign(item, { done: true, status });
      changed.add(item.id);
    }
  }

  #info(info, told) {
    if (info.epoch) this.epoch = info.epoch;
    for (const name of ["title", "cwd", "model"]) if (typeof info[name] === "string") this[name] = info[name];
    if (info.status) this.screen = "";
    if (typeof info.screen === "string") this.screen = info.screen;
    if (info.options) this.options = info.options;
    if (info.commands) this.commands = info.commands;
    const over = OVER.has(info.status) ? info.status : "";
    if (info.status) this.ended = over; // empty: it was started anew
    if (!over && !info.note) return;
    const text = info.note ?? "";
    this.#add(newItem(`n${told.seq}`, { kind: "note", text, status: over }, told), told);
  }

  // What is named as an earlier item that is over is another one.
  #new(key, item, told) {
    const id = this.#byId.has(key) ? `${key}.${told.seq}` : key;
    const made = newItem(id, item, told);
    this.#current.set(key, made);
    return this.#add(made, told);
  }

  #add(item, { changed }) {
    changed.add(item.id);
    const known = this.#byId.get(item.id);
    if (known) return Object.assign(known, item);
    this.#byId.set(item.id, item);
    this.items.push(item);
    return item;
  }
}

/** Whether a turn's end is a plain success: nothing is to be said of it (S14). */
export function plain({ status, exit_status, error, cause, withdrawn_by }) {
  return !withdrawn_by && status === "complete" && !exit_status && !error && !cause;
}

function userItem({ turn, prompt_id, text, sender, steer = false, asked }, { seq, at }) {
  return { id: `u${turn}`, kind: "user", turn, seq, at, until: at, text, sender, steer, prompt_id, asked };
}

function newItem(id, item, { turn, seq, at }) {
  return { id, turn, seq, at, until: at, ...item };
}

const toolKey = ({ turn, tool_id }) => `t${turn}.${tool_id}`;

function touch(item, { at, changed }) {
  item.until = at;
  changed.add(item.id);
  return item;
}

function joined(known, more = []) {
  const same = (one) => (other) => other.path === one.path && other.patch === one.patch;
  return [...known, ...more.filter((diff) => !known.some(same(diff)))];
}

// The newer one has what is authoritative. In a snapshot it may have all that was said: then the older text is in it.
function combine(older, item) {
  item.at = older.at;
  item.seq = older.seq;
  if (item.kind === "reply" && !item.done) item.text = extended(older.text, item.text, true);
  if (item.kind !== "tool") return;
  item.title ||= older.title;
  item.tool ||= older.tool;
  item.input ||= older.input;
  item.output = item.settled ? item.output : extended(older.output, item.output, item.whole);
  item.diffs = joined(older.diffs, item.diffs);
}

function extended(older, newer, whole) {
  return whole && newer.includes(older) ? newer : older + newer;
}

// Of a long turn the snapshot has no beginning.
function runningTurn(session, events) {
  if (session.status !== "working" && session.status !== "needs-input") return 0;
  const [over, prompt] = ["turn.complete", "message.user"];
  const said = events.findLast(({ type, payload }) => type !== over && type !== prompt && payload?.turn);
  const newest = said?.payload.turn ?? 0;
  return events.some(({ type, payload }) => type === over && payload?.turn === newest) ? 0 : newest;
}
