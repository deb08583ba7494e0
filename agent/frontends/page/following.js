// The open session: attached while it is shown, and again from where its log stands, whatever was lost (S4, S15).

const AGAIN_AFTER = 500; // ms
const NOT_YET_FOR = 60_000; // ms in which a service that starts may not know another device's session yet
const NOT_YET = new Set(["session-not-found", "device-not-found", "peer-unreachable", "peer-lost", "not-paired"]);
const GROWS = new Set(["message.delta", "thought.delta", "tool.update"]);
const OPENING = Object.freeze({
  state: "asking", // then `attached`, or `failed` with the `error`
  error: null,
  waiting: null, // what `request.waiting` says of the request to attach: its device is out of reach
  away: null, // what `peer.lost` said of the link under the session, with `since`, until `peer.back`
  stalled: "", // why its device cannot store what it says
});

/**
 * Keep `app.session` (the log that `makeLog` gives) and `app.open` (how the attachment stands, a new value at each
 * change) at what the route shows. Touches `session`; `items`, if all of them may be different; `i:ITEM`.
 */
export function following(app, makeLog) {
  let log = null;
  let call = null; // id of the request to attach that is under way
  let calls = 0;
  let since = null; // when attaching again began to fail
  let timer = 0;
  return { follow, notified, resume };

  /** Show another session, or none (null). */
  function follow(id) {
    if ((log?.id ?? null) === id) return;
    leave();
    log = id === null ? null : makeLog(id);
    app.session = log;
    stands(OPENING, "items");
    attach();
  }

  /** Attach again over a new connection. */
  function resume() {
    call = null;
    attach();
  }

  function leave() {
    clearTimeout(timer);
    since = null;
    if (call) app.wire.notify("request.cancel", { call_id: call });
    else if (log) detach(log.id);
    call = null;
  }

  function detach(id) {
    return app.wire.call("session.detach", { session_id: id }).catch(() => {}); // it is as good as detached
  }

  async function attach() {
    clearTimeout(timer);
    if (!log || call || app.state !== "ready") return;
    const [mine, id] = [log, `attach-${++calls}`];
    call = id;
    const from = { colours: true, tail: true, ...(mine.epoch && { after: mine.seq, epoch: mine.epoch }) };
    try {
      const attached = await app.wire.call("session.attach", { session_id: mine.id, call_id: id, ...from }).catch(closed);
      if (call !== id) {
        if (log?.id !== mine.id) detach(mine.id); // shown no more
        return;
      }
      since = null;
      mine.hydrate(attached);
      stands({ state: "attached", error: null, waiting: null, away: null, stalled: attached.stalled ?? "" }, "items");
    } catch (error) {
      if (call === id) failed(error);
    } finally {
      if (call === id) call = null;
    }
  }

  // Of a session that was closed its log is left, on whichever device.
  async function closed(error) {
    if (error.kind !== "session-ended") throw error;
    const { id } = log;
    const { sessions } = await app.actions.past();
    const page = await app.wire.call("session.history", { session_id: id, colours: true });
    const session = sessions.find((row) => row.id === id) ?? { status: "ended" };
    return { ...page, snapshot: { session, events: page.events, truncated: page.more } };
  }

  // What was attached before is asked for again for a while: its device may be starting.
  function failed(error) {
    if (app.state !== "ready") return;
    since ??= Date.now();
    if (log.epoch && NOT_YET.has(error.kind) && Date.now() - since < NOT_YET_FOR) again();
    else stands({ state: "failed", error, waiting: null });
  }

  function again() {
    clearTimeout(timer);
    timer = setTimeout(attach, AGAIN_AFTER);
  }

  function stands(change, ...keys) {
    app.open = { ...app.open, ...change };
    app.touch("session", ...keys);
  }

  /** Take a notification that may be about the open session. */
  function notified(method, params) {
    if (!log) return;
    if (method === "request.waiting" && params.call_id === call) stands({ waiting: params });
    else if (method === "peer.lost" && params.sessions?.includes(log.id)) {
      log.moves({});
      stands({ away: { since: new Date().toISOString(), ...params } });
    }
    else if (method === "peer.back" && params.sessions?.includes(log.id)) stands({ away: null });
    else if (params.session_id !== log.id) return;
    else if (method === "event") event(params);
    else if (method === "turn.tail") {
      log.moves(params);
      app.touch("moving");
    }
    else if (method === "session.stalled") stands({ stalled: params.reason ?? "" });
    else if (method === "session.lost") lost(params);
    else if (method === "session.participants") {
      log.participants = params.participants ?? [];
      app.touch("session");
    }
  }

  function event(told) {
    const changed = log.apply(told);
    app.touch(...[...changed].map((id) => `i:${id}`));
    if (!GROWS.has(told.type)) app.touch("session");
    if (log.gap && !call) detach(log.id).then(attach); // the service cut its stream short
  }

  function lost({ kind, reason }) {
    if (kind) stands({ state: "failed", error: { kind, message: reason, hint: "" } });
    else again();
  }
}
