// What programs print: colours and styles of terminals as spans; all that moves, hides or asks is left out.

import { el } from "./dom.js";

const SEQUENCE = new RegExp(
  "\x1b(?:\\[([0-?]*)[ -/]*([@-~])|[\\]PX^_][^\\x00-\\x1f\\x7f-\\x9f]{0,4096}(?:\\x07|\x1b\\\\)"
  + "|[()*+./-][%\"&]?[0-9<=>?@A-Z`f]|#[34568]|%[@G8]| [FGLMN]|[78=>cDEHMNOZ\\\\])", "g");
// What is left out of any text (`protocol.characters`): controls, what turns text around, what is not seen.
const HIDDEN = new RegExp("(?![\u200c\u200d\ufe0e\ufe0f])[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u2028\u2029\u00ad\u034f\u061c\u115f"
  + "\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
  + "\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]", "gu");
const MOVES = new RegExp("(?:\x1b\\[[\\d;]*[HfdE])+", "g"); // it goes on elsewhere on the screen: another line, for a reader
const WRITTEN_OVER = /[^\n]*\r(?=[^\r\n])/g; // as progress bars are
const UNENDED = new RegExp("\x1b(?:\\[[0-?]*[ -/]*|[\\]PX^_][^\x07\x1b]*)?$");
const RUNS = 5_000; // beyond so many, text is plain
const LINE_MAX = 8_192; // characters of a line that is drawn anew with whatever comes
const BASE = "000000 cd3131 0dbc79 e5e510 2472c8 bc3fbc 11a8cd e5e5e5 666666 f14c4c 23d18b f5f543 3b8eea d670d6 29b8db ffffff"
  .split(" ").map((each) => `#${each}`);
const ON = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"], 39: ["fg"], 49: ["bg"] };

/** The parts of an output: `{text, style}`; `style` has `bold dim italic underline inverse strike` and colours `fg bg`. */
export function runs(output) {
  return read(output, {}, RUNS).found;
}

function read(output, style, most) {
  const found = [];
  let at = 0;
  const put = (end) => {
    const text = output.slice(at, end).replace(/\r+\n|\r/g, "\n").replace(HIDDEN, "");
    const last = found.at(-1);
    if (!text) return;
    if (last && (found.length >= most || last.style === style)) last.text += text;
    else found.push({ text, style });
  };
  for (const match of output.matchAll(SEQUENCE)) {
    put(match.index);
    at = match.index + match[0].length;
    if (match[2] === "m" && /^[\d;:]*$/.test(match[1])) style = styled(style, match[1]);
  }
  put(output.length);
  return { found, style };
}

function styled(before, codes) {
  const style = { ...before };
  const rest = codes.split(";");
  while (rest.length) {
    const [code, ...more] = rest.shift().split(":").map(Number);
    if (code === 0) Object.keys(style).forEach((key) => delete style[key]);
    else if (code === 4 && more[0] === 0) delete style.underline;
    else if (ON[code]) style[ON[code]] = true;
    else if (OFF[code]) OFF[code].forEach((key) => delete style[key]);
    else if (code === 38 || code === 48 || code === 58) {
      const colour = colourOf(more.length ? more : rest.splice(0, rest[0] === "2" ? 4 : 2).map(Number));
      if (code !== 58 && colour) style[code === 38 ? "fg" : "bg"] = colour;
    } else if ((code >= 30 && code < 38) || (code >= 40 && code < 48)) style[code < 40 ? "fg" : "bg"] = BASE[code % 10];
    else if ((code >= 90 && code < 98) || (code >= 100 && code < 108)) style[code < 100 ? "fg" : "bg"] = BASE[8 + (code % 10)];
  }
  return style;
}

function colourOf([kind, ...numbers]) {
  if (kind === 2) return hex(numbers.slice(-3)); // `2:SPACE:R:G:B` has one more
  const place = numbers[0];
  if (kind !== 5 || !(place >= 0 && place < 256)) return null;
  if (place < 16) return BASE[place];
  if (place >= 232) return hex(Array(3).fill(8 + 10 * (place - 232)));
  return hex([36, 6, 1].map((by) => Math.floor((place - 16) / by) % 6).map((step) => step && 55 + 40 * step));
}

function hex(numbers) {
  if (numbers.length < 3 || !numbers.every((each) => each >= 0 && each < 256)) return null;
  return `#${numbers.map((each) => each.toString(16).padStart(2, "0")).join("")}`;
}

/** The nodes of an output. */
export function ansiNodes(output) {
  return nodesOf(runs(output));
}

/**
 * The node of a program's output that grows, in its colours: `add(text)` appends what comes, `finish(text)` gives all of
 * it, which counts. The line that has not ended is drawn anew each time: it may be written over.
 */
export function outputNode() {
  const last = el("span");
  const node = el("pre", { class: "output", tabindex: "0", dir: "ltr" }, last);
  let line = "";
  let style = {}; // with which it begins
  return { node, add, finish: (whole) => node.replaceChildren(...ansiNodes(lines(whole))) };

  function add(more) {
    line += more;
    const end = line.length > LINE_MAX ? line.length : line.lastIndexOf("\n") + 1;
    const whole = read(lines(line.slice(0, end)), style, RUNS - node.childNodes.length);
    last.before(...nodesOf(whole.found));
    style = whole.style;
    line = line.slice(end);
    last.replaceChildren(...nodesOf(read(lines(line), style, RUNS).found));
  }
}

const lines = (output) => output.replace(WRITTEN_OVER, "").replace(MOVES, "\n").replace(UNENDED, "");

function nodesOf(found) {
  return found.map(({ text, style }) => {
    const { fg, bg, ...marks } = style;
    const names = Object.keys(marks);
    if (!names.length && !fg && !bg) return document.createTextNode(text);
    const node = el("span", { class: ["ansi", fg && "fg", bg && "bg", ...names] }, text);
    if (fg) node.style.setProperty("--fg", fg);
    if (bg) node.style.setProperty("--bg", bg);
    return node;
  });
}
