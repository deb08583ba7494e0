// Stands for wire.js in tests of single views: no service, `window.service` says what is answered and what comes.

import "./key.js"; // as the true one does: the document asks for it

export class WireError extends Error {
  constructor({ code = -32603, kind = "internal", message = "", hint = "", retryAfter = null }) {
    super(message);
    Object.assign(this, { code, kind, hint, retryAfter });
  }
}

export class Wire {
  constructor({ onState, onNotify }) {
    this.onState = onState;
    this.onNotify = onNotify;
    this.asked = [];
    this.answers = globalThis.answers ?? {};
    globalThis.service = this;
  }

  start() {
    this.onNotify("gateway.ready", this.answers["gateway.ready"] ?? { device: "own", name: "laptop", version: "0.1.0" });
    this.onState("ready");
  }

  async call(method, params) {
    this.asked.push({ method, params });
    const answer = this.answers[method];
    if (answer === undefined) throw new WireError({ kind: "method-not-found", message: `no ${method}` });
    if (answer.error) throw new WireError(answer.error);
    return structuredClone(answer);
  }

  insist(method, params) {
    return this.call(method, params);
  }

  tell(method, params) {
    this.onNotify(method, params);
  }
}
