// The connection to the service: JSON-RPC over a WebSocket that heals itself; what is insisted on is asked again.
import {enrolled, greet, hasKey, Impostor, LoggedOut} from "./key.js";

const PROTOCOL = "lan-agent.v1.json";
const FIRST_WAIT = 500; // ms before the second attempt; doubles up to LONGEST_WAIT
const LONGEST_WAIT = 15_000;
const GREETING = 8_000; // ms in which a connection must be ready
const ASLEEP = 5_000; // ms by which a timer is late after the machine slept
const SILENT = 35_000; // ms without a word after which a connection is in doubt: the page asks something every 30 s
const ALIVE = 3_000; // ms in which a connection that is in doubt must answer
const TICK = 2_000;
const MUST_LOG_IN = 4401;

/** What the service refused, or why it could not be asked: `kind` is for programs, `message` and `hint` for people. */
export class WireError extends Error {
  constructor({code = 0, message = "", data = {}}) {
    super(message);
    this.code = code;
    this.kind = data.kind ?? "internal";
    this.hint = data.hint ?? "";
  }
}

const lost = () => new WireError({message: "the service does not answer", data: {kind: "not-running"}});

/** One connection. States: connecting, ready (detail: what `gateway.ready` said), lost ({impostor}), refused. */
export class Wire {
  #socket = null;
  #state = "";
  #asked = new Map(); // id -> {method, params, resolve, reject, insist}
  #id = 0;
  #attempt = 0;
  #timer = 0; // of the next attempt
  #limit = 0; // of the greeting
  #tickedAt = 0;
  #heardAt = 0;
  #onState;
  #onNotify;

  constructor({onState = () => {}, onNotify = () => {}}) {
    this.#onState = onState;
    this.#onNotify = onNotify;
  }

  get state() {
    return this.#state;
  }

  /** Log in, if this document is to, and connect; come back from then on. */
  async start() {
    const now = () => document.visibilityState === "visible" && this.#retryNow();
    for (const event of ["online", "pageshow", "focus", "visibilitychange"]) addEventListener(event, now);
    this.#tickedAt = Date.now();
    setInterval(() => this.#tick(), TICK);
    await enrolled;
    if (await hasKey()) this.#connect();
    else this.#become("refused");
  }

  /** Connect anew after a login by code. */
  again() {
    this.#state = "";
    this.#attempt = 0;
    this.#connect();
  }

  /** Ask; rejects with WireError, also if the connection breaks before the answer. */
  call(method, params = {}) {
    return this.#ask(method, params, false);
  }

  /** Ask, and ask again after each reconnection until there is an answer: for what may be done twice without harm. */
  insist(method, params = {}) {
    return this.#ask(method, params, true);
  }

  /** Tell, without an answer. */
  notify(method, params = {}) {
    if (this.#state === "ready") this.#send({jsonrpc: "2.0", method, params});
  }

  #ask(method, params, insist) {
    if (this.#state !== "ready" && !insist) return Promise.reject(lost());
    return new Promise((resolve, reject) => {
      const id = ++this.#id;
      this.#asked.set(id, {method, params, resolve, reject, insist});
      if (this.#state === "ready") this.#send({jsonrpc: "2.0", id, method, params});
    });
  }

  #send(message) {
    // Half of a character, as a cut may leave it, is none in JSON for others.
    this.#socket.send(JSON.stringify(message, (_, value) => (typeof value === "string" ? value.toWellFormed() : value)));
  }

  #become(state, detail = {}) {
    if (state === this.#state && state !== "lost") return;
    this.#state = state;
    this.#onState(state, detail);
  }

  #connect() {
    clearTimeout(this.#timer);
    if (!["lost", "refused"].includes(this.#state)) this.#become("connecting");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.#socket = new WebSocket(`${scheme}//${location.host}/v1/ws`, PROTOCOL));
    const frames = new Frames();
    this.#limit = setTimeout(() => this.#over(socket), GREETING);
    socket.onopen = () => this.#greet(socket, frames).catch((error) => this.#over(socket, 0, error));
    socket.onmessage = ({data}) => {
      if (socket !== this.#socket) return;
      this.#heardAt = Date.now();
      const message = JSON.parse(data);
      if (frames.open) frames.put(message);
      else this.#take(message);
    };
    socket.onclose = ({code}) => this.#over(socket, code);
  }

  async #greet(socket, frames) {
    await greet((message) => socket.send(JSON.stringify(message)), () => frames.next(), this.#state === "refused");
    for (const message of frames.end()) this.#take(message);
  }

  #take(message) {
    if (message.method === "gateway.ready" && this.#state !== "ready") {
      clearTimeout(this.#limit);
      this.#attempt = 0;
      // Before anybody hears of it and asks more, which is sent at once.
      for (const [id, {method, params}] of this.#asked) this.#send({jsonrpc: "2.0", id, method, params});
      this.#become("ready", message.params);
    }
    if (message.method) {
      this.#onNotify(message.method, message.params ?? {});
      return;
    }
    const asked = this.#asked.get(message.id);
    if (!asked) return;
    this.#asked.delete(message.id);
    if (message.error) asked.reject(new WireError(message.error));
    else asked.resolve(message.result);
  }

  #over(socket, code = 0, error = null) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#limit);
    this.#socket = null;
    socket.onclose = socket.onmessage = null;
    socket.close();
    for (const [id, asked] of this.#asked) {
      if (asked.insist) continue;
      this.#asked.delete(id);
      asked.reject(lost());
    }
    if (code === MUST_LOG_IN || error instanceof LoggedOut || this.#state === "refused") {
      this.#become("refused"); // until a login here, or in another window, which is tried when this one is looked at
      return;
    }
    this.#become("lost", {impostor: error instanceof Impostor});
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#attempt++) * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #retryNow() {
    if (this.#socket) this.#doubt();
    else if (this.#state) this.#connect();
  }

  // The machine slept; or nothing came for long, of a service that hangs or by a tunnel that died without a word.
  #tick() {
    const now = Date.now();
    const late = now - this.#tickedAt > TICK + ASLEEP && document.visibilityState === "visible";
    this.#tickedAt = now;
    if (late) this.#retryNow();
    else if (now - this.#heardAt > SILENT) this.#doubt();
  }

  #doubt() {
    const socket = this.#socket;
    if (this.#state !== "ready") return;
    this.#heardAt = Date.now();
    const limit = setTimeout(() => this.#over(socket), ALIVE);
    this.call("gateway.status").catch(() => {}).finally(() => clearTimeout(limit));
  }
}

/** Frames of the greeting, one after another; what follows it is for the wire. */
class Frames {
  open = true;
  #come = [];
  #wanted = null;

  put(message) {
    this.#come.push(message);
    this.#wanted?.();
  }

  async next() {
    while (!this.#come.length) await new Promise((resolve) => (this.#wanted = resolve));
    return this.#come.shift();
  }

  end() {
    this.open = false;
    return this.#come.splice(0);
  }
}
