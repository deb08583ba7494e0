// Who is trusted, what was done here, and pairing: asked for by the views that show it, and kept up to date from then on.

const AUDIT_MAX = 200; // entries
const AGAIN_AFTER = 300; // ms in which changes of devices are gathered
const ENDS = new Set(["paired", "expired", "exhausted", "closed"]);

/**
 * Keep `app.trust`: `devices` (rows of `device.list`), `audit` (entries, newest first), each null until it is known, and
 * `window`: the pairing window with its `news`, `until` (ms) and, once it is over, how it `ended`. Touches `trust`.
 */
export function trusting(app) {
  const wanted = new Set();
  let timer = 0;
  app.trust = { devices: null, audit: null, window: null };

  const asks = {
    devices: async () => stands({ devices: await app.wire.call("device.list") }),
    audit: async () => stands({ audit: (await app.wire.call("audit.watch", { limit: AUDIT_MAX })).reverse() }),
  };

  function stands(change) {
    app.trust = { ...app.trust, ...change };
    app.touch("trust");
  }

  function ask(name) {
    if (app.state === "ready") asks[name]().catch(() => {}); // of a lost connection: with the next one
  }

  /** Want to know `devices` or `audit` from now on. */
  function want(name) {
    if (!wanted.has(name)) ask(name);
    wanted.add(name);
  }

  /** Over a new connection. The one before took its pairing window along. */
  function resume() {
    if (open()) stands({ window: { ...app.trust.window, ended: { what: "closed" } } });
    for (const name of wanted) ask(name);
  }

  const open = () => app.trust.window && !app.trust.window.ended;

  function notified(method, params) {
    if (method === "peer.changed" && wanted.has("devices")) {
      clearTimeout(timer);
      timer = setTimeout(ask, AGAIN_AFTER, "devices");
    } else if (method === "audit.noted" && app.trust.audit) {
      stands({ audit: [...params.entries.toReversed(), ...app.trust.audit].slice(0, AUDIT_MAX) });
    } else if (method === "device.pairing" && open()) {
      news(params);
    }
  }

  function news(told) {
    const ended = ENDS.has(told.what) ? { ended: told } : {};
    stands({ window: { ...app.trust.window, news: told, ...ended } });
    if (told.what === "paired") ask("devices");
  }

  /** Let a device in: `{long, guest, read_only, session, stay}`. */
  async function pair(terms) {
    stands({ window: null });
    const shown = await app.wire.call("device.pair", { ...terms, qr: true });
    stands({ window: { ...shown, terms, until: Date.now() + shown.ttl * 1000, news: null, ended: null } });
  }

  async function changed(method, params) {
    const answer = await app.wire.call(method, params);
    if (wanted.has("devices")) ask("devices");
    return answer;
  }

  return {
    resume,
    notified,
    actions: {
      wantTrust: want,
      pair,
      stopPairing: () => app.wire.call("device.close_window", {}),
      join: (code, address = "") => changed("device.join", { code, address }),
      windows: (code) => app.wire.call("device.windows", { code }),
      unpair: (device, all = false) => changed("device.unpair", { device, with_admitted: all }),
      leave: () => changed("device.leave", {}),
      limit: (device, readOnly) => changed("device.limit", { device, read_only: readOnly }),
    },
  };
}
