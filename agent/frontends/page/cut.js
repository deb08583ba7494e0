// Where a growing text in Markdown may be cut: what stands before a cut is read once and never again.

const FENCE = /^[ \t]*(?:(?:[-+*>]|\d{1,9}[.)])[ \t]*)*(`{3,}(?=[^`]*$)|~{3,})(.*)/;
// A line that no list goes on with, and surely so: of the last one it may not all be there yet.
const BEGINS = /^(?![-+*](?:\s|$)|\d{1,9}(?:$|[.)](?:\s|$)))\S/;

/** The places at which a block begins that nothing before it can change: after a blank line, outside of code and lists. */
export function* cuts(text, from = 0) {
  let fence = "";
  let blank = false;
  let at = from;
  while (at < text.length) {
    const end = text.indexOf("\n", at) + 1 || text.length;
    const line = text.slice(at, end);
    if (blank && !fence && at > from && BEGINS.test(line)) yield at;
    fence = within(fence, line.trimEnd());
    blank = line.endsWith("\n") && !line.trim();
    at = end;
  }
}

function within(fence, line) {
  const [, marks, rest] = FENCE.exec(line) ?? [];
  if (!fence) return marks ?? "";
  return marks?.startsWith(fence) && !rest.trim() ? "" : fence;
}

/** The last such place, `from` if there is none. */
export function stable(text, from = 0) {
  let last = from;
  for (last of cuts(text, from));
  return last;
}

/** A text in parts of at most `most` characters, as far as it can be cut. */
export function pieces(text, most) {
  const parts = [];
  let start = 0;
  let last = 0;
  for (const at of [...cuts(text), text.length]) {
    if (at - start > most && last > start) {
      parts.push(text.slice(start, last));
      start = last;
    }
    last = at;
  }
  return text ? [...parts, text.slice(start)] : [];
}
