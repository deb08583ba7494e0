// What the views can have done: the only part that calls the wire.

import { t } from "./words.js";

/** The actions of the page. Those that ask the service give its answer, or raise the WireError that it answers with. */
export function actionsOf(app) {
  const call = (method, params = {}) => app.wire.call(method, params);
  const take = (name) => (value) => app.touch(...app.store.reset({ [name]: value }));

  return {
    /** Ask for everything anew: after each connection. Each answer is taken before what changes after it arrives. */
    resume() {
      call("session.watch", { scope: "all", all: true }).then(take("sessions"), failed);
      call("peer.watch").then(take("peers"), failed);
      this.status();
    },
    status: () => call("gateway.status").then(take("status"), failed),
    notified() {},
    follow() {},

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
