// What the views can have done: the only part that calls the wire.

import { following } from "./following.js";
import { SessionLog } from "./session.js";
import { trusting } from "./trust.js";
import { unsentOf } from "./unsent.js";
import { t } from "./words.js";

const OLDER = 200; // events of a page of history
const PAST = 1000; // sessions that have ended, of each device
const PATIENCE = 5; // s that a device out of reach is waited for, while a dialog stands
const PROMPT = "prompt-"; // before the id of a prompt: the id of the request that sends it
const CLIENT = "page"; // as which it is told of in logs

/** The actions of the page. Those that ask the service give its answer, or raise the WireError that it answers with. */
export function actionsOf(app) {
  const trust = trusting(app);
  const call = (method, params = {}) => app.wire.call(method, params);
  const open = following(app, (id) => new SessionLog(id));
  const take = (name) => (value) => app.touch(...app.store.reset({ [name]: value }));

  app.unsent = unsentOf(app, {
    submit: async ({ id, session, text, steer }) => {
      const params = { session_id: session, prompt_id: id, text, steer, client: CLIENT, call_id: callOf(id) };
      const told = await call("prompt.submit", params);
      if (app.session?.id === session) app.session.submitted(told);
    },
    cancel: ({ id }) => app.wire.notify("request.cancel", { call_id: callOf(id) }),
    async keep(make, leaving) {
      if (!leaving) kept(await call("page.keep")); // another browser may have typed
      await call("page.keep", { name: "drafts", value: make() });
    },
  });

  return {
    /** Ask for everything anew: after each connection. Each answer is taken before what changes after it arrives. */
    resume() {
      call("session.watch", { scope: "all", all: true }).then(take("sessions"), failed);
      call("peer.watch").then(take("peers"), failed);
      this.status();
      open.resume();
      trust.resume();
      call("page.keep").then(kept, failed);
      app.unsent.resume();
    },
    status: () => call("gateway.status").then(take("status"), failed),
    notified(method, params) {
      open.notified(method, params);
      trust.notified(method, params);
      if (method === "request.waiting" && params.call_id?.startsWith(PROMPT)) {
        app.unsent.waits(params.call_id.slice(PROMPT.length), params);
      }
    },
    follow: open.follow,

    /** Fetch what was said before what a log has; a page with nothing to show is passed over. Gives how many items came. */
    async older(log) {
      const before = log.items.length;
      while (log.more && log.items.length === before) {
        const { epoch } = log;
        const page = await call("session.history", { session_id: log.id, before: log.first, limit: OLDER, colours: true });
        if (epoch !== log.epoch) break; // it is attached anew
        log.prepend(page);
        if (page.epoch !== epoch) break;
      }
      return Math.max(0, log.items.length - before);
    },

    /** Send what was typed to a session: at once, or as soon as it can be sent (L8). `steer`: stop the running turn for it. */
    send(id, text, steer) {
      app.unsent.send(id, text, steer);
      app.touch("sent");
    },
    withdraw: (id, prompt) => call("prompt.withdraw", { session_id: id, prompt_id: prompt, client: CLIENT }),
    interrupt: (id, all) => call("session.interrupt", { session_id: id, all }),
    configure: (id, option, value) => call("session.configure", { session_id: id, option, value }),
    /** Answer a question. It waits for the service, if that must be: the first answer wins, and one counts once. */
    answer: (id, request, answer) =>
      app.wire.insist("request.answer", { session_id: id, request_id: request, answer, client: CLIENT }),

    create: (params) => call("session.create", params),
    backends: (device) => call("backend.list", { device }),
    rename: (id, title) => call("session.rename", { session_id: id, title, wait: PATIENCE }),
    close: (id) => call("session.close", { session_id: id, wait: PATIENCE }),
    restart: (id) => call("session.restart", { session_id: id, wait: 0 }), // twice would be two sessions
    past: () => call("session.past", { scope: "all", limit: PAST }),
    search: (text, limit) => call("session.search", { text, scope: "all", limit }),
    share: (id, share) => call("session.share", { session_id: id, share }).then(ofPast),
    forget: (id) => call("session.forget", { session_id: id }).then(ofPast),
    logout: () => call("page.logout"),
    ...trust.actions,

    /** Keep a value in the service, where the next page finds it. */
    keep(name, value) {
      app.keep = { ...app.keep, [name]: value };
      app.touch("keep");
      return call("page.keep", { name, value }).catch(failed);
    },
    pin(id, pinned) {
      const others = (app.keep.pins ?? []).filter((each) => each !== id);
      return this.keep("pins", pinned ? [id, ...others].slice(0, 100) : others);
    },
  };

  function kept({ values = {} }) {
    app.keep = values;
    app.touch("keep");
    app.unsent.merge(values.drafts);
  }

  // Nobody tells of what is done to sessions that are over.
  function ofPast() {
    app.touch("over");
  }

  function callOf(prompt) {
    return PROMPT + prompt;
  }

  // A connection that breaks is told by the wire; the next one asks again.
  function failed(error) {
    if (app.state === "ready") app.say(`${t("app.failed")} ${error.message}`);
  }
}
