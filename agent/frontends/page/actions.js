// What the views can have done: the only part that calls the wire.

import { following } from "./following.js";
import { SessionLog } from "./session.js";
import { t } from "./words.js";

const OLDER = 200; // events of a page of history

/** The actions of the page. Those that ask the service give its answer, or raise the WireError that it answers with. */
export function actionsOf(app) {
  const call = (method, params = {}) => app.wire.call(method, params);
  const open = following(app, (id) => new SessionLog(id));
  const take = (name) => (value) => app.touch(...app.store.reset({ [name]: value }));

  return {
    /** Ask for everything anew: after each connection. Each answer is taken before what changes after it arrives. */
    resume() {
      call("session.watch", { scope: "all", all: true }).then(take("sessions"), failed);
      call("peer.watch").then(take("peers"), failed);
      this.status();
      open.resume();
    },
    status: () => call("gateway.status").then(take("status"), failed),
    notified: open.notified,
    follow: open.follow,

    /** Fetch what was said before what a log has; a page with nothing to show is passed over. Gives how many items came. */
    async older(log) {
      const before = log.items.length;
      while (log.more && log.items.length === before) {
        const { epoch } = log;
        const page = await call("session.history", { session_id: log.id, before: log.first, limit: OLDER });
        if (epoch !== log.epoch) break; // it is attached anew
        log.prepend(page);
        if (page.epoch !== epoch) break;
      }
      return Math.max(0, log.items.length - before);
    },

    create: (params) => call("session.create", params),
    backends: (device) => call("backend.list", { device }),
    rename: (id, title) => call("session.rename", { session_id: id, title }),
    close: (id) => call("session.close", { session_id: id }),
    share: (id, share) => call("session.share", { session_id: id, share }),
    forget: (id) => call("session.forget", { session_id: id }),

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

  // A connection that breaks is told by the wire; the next one asks again.
  function failed(error) {
    if (app.state === "ready") app.say(`${t("app.failed")} ${error.message}`);
  }
}
