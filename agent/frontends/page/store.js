// What there is: devices, sessions and health, as the service tells them. Pure: no DOM, no clock, no wire.

import { t } from "./words.js";

const STATUSES = new Set(["starting", "idle", "working", "needs-input", "ended", "failed"]);

/** Rows by id, of which each answer of `session.watch` and `peer.watch` is a whole and each notification a change. */
export class Store {
  #sessions = new Map();
  #peers = new Map();
  #groups = null; // what `sessions()` gave last, until a session changes

  /** The own device: `{id, name, version}`. The first `gateway.ready` of a page names it, no later one. */
  own = null;
  /** Whether it is known which sessions there are. */
  loaded = false;
  /** What `gateway.status` said, with `problems`, `reach` and `notices`; null: not asked yet. */
  status = null;

  /** Take what the service says as a whole; what is left out stays. Gives all keys that may be different. `loaded`: once. */
  reset({ sessions, peers, own, status }) {
    const changed = new Set();
    if (sessions) {
      if (!this.loaded) changed.add("loaded");
      this.loaded = true;
      this.#replace(this.#sessions, sessions, "s", changed);
    }
    if (peers) this.#replace(this.#peers, peers, "p", changed);
    if (own && !this.own) {
      this.own = own;
      changed.add("own");
    }
    if (status) {
      this.status = status;
      changed.add("health");
    }
    this.#groups = null;
    return changed;
  }

  #replace(kept, rows, letter, changed) {
    for (const id of kept.keys()) changed.add(`${letter}:${id}`);
    kept.clear();
    for (const row of rows) {
      kept.set(row.id, row);
      changed.add(`${letter}:${row.id}`);
    }
  }

  /** Take one notification. Gives the keys of what is different: `s:ID`, `p:ID`; none, if it is about something else. */
  apply(method, params) {
    if (method === "session.changed") return this.#change(this.#sessions, params, "s");
    if (method === "peer.changed") return this.#change(this.#peers, params, "p");
    if (method === "gateway.ready") return this.reset({ own: { ...params, id: params.device } });
    return new Set();
  }

  #change(kept, { changed = [], removed = [] }, letter) {
    const keys = new Set();
    for (const id of removed) if (kept.delete(id)) keys.add(`${letter}:${id}`);
    for (const row of changed) {
      kept.set(row.id, row);
      keys.add(`${letter}:${row.id}`);
    }
    if (keys.size && letter === "s") this.#groups = null;
    return keys;
  }

  /**
   * The sessions as they are shown: `local`, `remote`, and `away` by device, `[{device, rows}]`. Newest first, ties by id
   * (R4); a remote row that is a local session by its id or lineage is left out (R2).
   */
  sessions() {
    this.#groups ??= group([...this.#sessions.values()]);
    return this.#groups;
  }

  session(id) {
    return this.#sessions.get(id);
  }

  peer(id) {
    return this.#peers.get(id);
  }

  /** Other devices by name, ties by id. */
  peers() {
    return [...this.#peers.values()].filter((row) => !row.self).sort(byName);
  }

  /** Whether no device is paired with this one; false until that is known. */
  alone() {
    return this.#peers.size > 0 && !this.peers().some((row) => row.paired);
  }

  /** Folders of the sessions of a device (`""`: of this one), newest first. */
  folders(device) {
    const rows = [...this.#sessions.values()].filter((row) => (device ? row.device.id === device : row.local));
    return [...new Set(rows.sort(newestFirst).map((row) => row.short_cwd || row.cwd).filter(Boolean))].slice(0, 20);
  }

  /** Devices on which a session can be started (R8): members that are there and accept this one. */
  reachable() {
    return this.peers().filter((row) => row.role === "member" && row.state !== "offline" && !refuses(row));
  }

  /** Paired devices that are out of reach, or there and refuse this one, and so have no sessions (R14). */
  absent() {
    return this.peers().filter((row) => row.paired && (row.state === "offline" || refuses(row)));
  }

  /** How many live sessions wait for a person. */
  waiting() {
    return [...this.#sessions.values()].filter((row) => !row.away && status(row) === "needs-input").length;
  }
}

// Of one that is there, the reason is why it does not accept this device.
function refuses(row) {
  return row.state === "online" && row.reason;
}

/** The status of a session; an unknown one reads idle (R7). */
export function status(row) {
  return STATUSES.has(row.status) ? row.status : "idle";
}

/** Whether a session takes no more prompts. */
export function over(row) {
  return ["ended", "failed"].includes(row.status);
}

/** The title of a session, or that it has none (R7). */
export function titleOf(row) {
  return row?.title?.trim() || t("session.untitled");
}

/** The name of the device of a row, else its address, else its short id (R7). */
export function nameOf(device) {
  const address = device.addresses?.[0];
  return device.name?.trim() || (address ? hostPort(address, device.port) : shortDevice(device.id));
}

/** An address to dial; an IPv6 one stands in brackets. */
export function hostPort(host, port) {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A device id as people compare it: `xxxx-xxxx`. */
export function shortDevice(id) {
  return `${id.slice(0, 4)}-${id.slice(4, 8)}`;
}

/** Whether a row has all words of a filter in its title, device, program, folder or question. */
export function matches(row, filter) {
  const text = [row.title, row.device.name, row.backend, row.program, row.model, row.short_cwd || row.cwd, row.question]
    .filter(Boolean).join("\n").normalize("NFKC").toLowerCase();
  return filter.normalize("NFKC").toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function group(rows) {
  const local = rows.filter((row) => row.local);
  const own = new Set(local.flatMap((row) => [row.id, ...(row.lineage ?? [])]));
  const elsewhere = rows.filter((row) => !row.local && ![row.id, ...(row.lineage ?? [])].some((id) => own.has(id)));
  const devices = new Map();
  for (const row of elsewhere.filter((each) => each.away).sort(newestFirst)) {
    if (!devices.has(row.device.id)) devices.set(row.device.id, { device: row.device, rows: [] });
    devices.get(row.device.id).rows.push(row);
  }
  return {
    local: local.sort(newestFirst),
    remote: elsewhere.filter((row) => !row.away).sort(newestFirst),
    away: [...devices.values()].sort((one, other) => byName(one.device, other.device)),
  };
}

// Times are RFC 3339 in UTC with milliseconds, so they sort as text.
function newestFirst(one, other) {
  return compare(other.updated_at, one.updated_at) || compare(one.id, other.id);
}

function byName(one, other) {
  return compare(nameOf(one).toLowerCase(), nameOf(other).toLowerCase()) || compare(one.id, other.id);
}

function compare(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}
