// For tests of replies that grow: a clock moved by hand, and a service that makes a paragraph of each block.

import { replyNode } from "./render.js";

/** `run(bench)` with `reply`, `asked` (texts of each request), `answer(n)`, `fail()`, `advance(ms)`, `html()`, `bare()`. */
export async function withReply(run) {
  const { setTimeout: later, clearTimeout: never } = globalThis;
  const now = performance.now.bind(performance);
  let [time, id] = [0, 0];
  let timers = [];
  globalThis.setTimeout = (call, ms = 0) => {
    id += 1;
    timers.push({ id, call, at: time + ms });
    return id;
  };
  globalThis.clearTimeout = (which) => {
    timers = timers.filter((timer) => timer.id !== which);
  };
  performance.now = () => time;
  const settled = () => new Promise((resolve) => later(resolve));

  const waiting = [];
  const asked = [];
  const wire = {
    insist(method, { texts }) {
      asked.push(texts);
      return new Promise((resolve, reject) => waiting.push({ texts, resolve, reject }));
    },
  };
  const app = { wire };
  const reply = replyNode(app);
  const bench = {
    app,
    reply,
    asked,
    replyNode: () => replyNode(app),
    html: () => reply.node.querySelector(".markdown").innerHTML,
    bare: () => reply.node.querySelector(".fresh").textContent,
    async advance(ms) {
      const end = time + ms;
      for (;;) {
        timers.sort((one, other) => one.at - other.at || one.id - other.id);
        if (!timers.length || timers[0].at > end) break;
        const timer = timers.shift();
        time = Math.max(time, timer.at);
        timer.call();
        await settled();
      }
      time = end;
      await settled();
    },
    async answer() {
      const { texts, resolve } = waiting.shift();
      resolve({ trees: texts.map((text) => text.split("\n\n").filter(Boolean).map((part) => ["p", {}, [part]])) });
      await settled();
    },
    async fail() {
      waiting.shift().reject(new Error("no"));
      await settled();
    },
  };
  document.body.append(reply.node);
  try {
    return await run(bench);
  } finally {
    reply.node.remove();
    Object.assign(globalThis, { setTimeout: later, clearTimeout: never });
    performance.now = now;
  }
}
