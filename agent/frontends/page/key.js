// The browser's key, and the greeting: the service proves itself first, and only then does the page sign.

const CURVE = {name: "ECDSA", namedCurve: "P-256"};
const SIGN = {name: "ECDSA", hash: "SHA-256"};
const STORE = "keys";

/** Somebody else answers at the service's port: nothing was said to it. */
export class Impostor extends Error {}

/** This browser is not logged in, or not any more. */
export class LoggedOut extends Error {}

let database = null; // a promise of it, once it was asked for
let known = null; // {privateKey, service}: in memory from the first use, whatever becomes of the database
let resume = ""; // known to this document only: it comes back with it after a restart of the service

const bytesOf = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
const words = (who, ...parts) => new TextEncoder().encode([`lan-agent-${who}`, location.origin, ...parts].join("|"));
const nonce = () => Array.from(crypto.getRandomValues(new Uint8Array(32)), (each) => each.toString(16).padStart(2, "0")).join("");

// As soon as this module is there, which is before all others: both take longer than to fetch these.
opened().catch(() => {});
/** A promise that a key was named to the service, if this document has just logged in. What failed is told by the greeting. */
export const enrolled = enrol().catch(() => {});

async function enrol() {
  const meta = document.querySelector("meta[name=enrol]");
  if (!meta) return;
  meta.remove();
  history.replaceState(null, "", `/${location.hash}`); // a reload asks for the page, not for the login once more
  await name(meta.content);
}

/** Log in by the code that `agent page --code` shows. Rejects with the service's words; TypeError: nobody answers. */
export async function loginByCode(code) {
  const {token} = await post("/code", {code});
  await name(token);
}

async function name(token) {
  const pair = await crypto.subtle.generateKey(CURVE, false, ["sign"]); // not extractable: no script can give it away
  const mine = await crypto.subtle.exportKey("spki", pair.publicKey);
  const told = await post("/enrol", {token, key: base64(mine)});
  const service = await crypto.subtle.importKey("spki", bytesOf(told.key), CURVE, false, ["verify"]);
  known = {privateKey: pair.privateKey, service};
  resume = told.resume;
  // Nothing waits for it; where it fails, the login is this document's alone.
  inStore("readwrite", (store) => store.put(known, 1)).catch(() => {});
}

async function post(path, body) {
  const answer = await fetch(path, {method: "POST", body: JSON.stringify(body)});
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

/** Whether this browser has logged in at this address: else there is nothing to greet with. */
export async function hasKey() {
  known ??= await stored();
  return Boolean(known);
}

/**
 * Greet over a fresh WebSocket: `send(object)`, `next()` → the next object. Rejects with Impostor or LoggedOut. `anew`: this
 * document was refused, and another one of this browser may have logged in since.
 */
export async function greet(send, next, anew = false) {
  if (!(await hasKey())) throw new LoggedOut();
  const asked = nonce();
  send({nonce: asked});
  const proof = await next();
  if (typeof proof?.nonce !== "string" || typeof proof.signature !== "string") throw new Impostor();
  const said = words("service", asked, proof.nonce);
  if (!(await crypto.subtle.verify(SIGN, known.service, bytesOf(proof.signature), said))) throw new Impostor();
  // Only what the page signs with: whoever held the port meanwhile may have put a key of his own in the service's place.
  if (anew) known.privateKey = (await stored())?.privateKey ?? known.privateKey;
  const signature = base64(await crypto.subtle.sign(SIGN, known.privateKey, words("page", asked, proof.nonce)));
  send({signature, resume});
  resume = (await next()).resume ?? "";
}

const stored = () => inStore("readonly", (store) => store.get(1)).catch(() => null);

async function inStore(mode, use) {
  const transaction = (await opened()).transaction(STORE, mode);
  const asked = use(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(asked.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

function opened() {
  database ??= new Promise((resolve, reject) => {
    const opening = indexedDB.open("lan-agent", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const made = opening.result;
      made.onclose = made.onversionchange = () => {
        made.close();
        database = null;
      };
      resolve(made);
    };
  });
  return database;
}
