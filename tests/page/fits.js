// What does not fit in the window as it stands: text that is cut, boxes outside, controls that are covered or too small.
() => {
  const wrong = [];
  const clips = (value) => value === "hidden" || value === "clip";
  const named = (element) =>
    `${element.tagName.toLowerCase()}.${element.className} “${(element.innerText || element.ariaLabel || "").trim().replace(/\s+/g, " ").slice(0, 40)}”`;
  const parents = (element) => {
    const found = [];
    for (let at = element; at && at !== document.documentElement; at = at.parentElement) found.push(at);
    return found;
  };
  const modal = document.querySelector("dialog:modal");
  const inPlay = (element) =>
    (!modal || modal.contains(element)) &&
    element.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true });
  // For readers of screens and keyboards only: a box of a pixel somewhere above, or one to the left of the window.
  const unseen = (element) =>
    parents(element).some((each) => (each.offsetWidth <= 1 && each.offsetHeight <= 1) || each.getBoundingClientRect().right <= 0);

  const root = document.documentElement;
  if (root.scrollWidth !== innerWidth) wrong.push(`the document is ${root.scrollWidth} px wide in a window of ${innerWidth}`);
  if (root.scrollHeight > innerHeight) wrong.push(`the document is ${root.scrollHeight} px high in a window of ${innerHeight}`);
  const message = document.querySelector("#message");
  if (message?.checkVisibility()) {
    const { top, bottom, height } = message.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight || height < 24) wrong.push(`the message box stands from ${top} to ${bottom}`);
  }

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const holder = text.parentElement;
    if (!text.data.trim() || !inPlay(holder) || unseen(holder)) continue;
    range.selectNodeContents(text);
    const { left, right, top, bottom } = range.getBoundingClientRect();
    for (const parent of parents(holder)) {
      const style = getComputedStyle(parent);
      const scrolls = /auto|scroll/.test(style.overflow);
      if (scrolls) break; // one gets there
      const box = parent.getBoundingClientRect();
      if (parent === document.body) {
        if (left < -1 || right > innerWidth + 1) wrong.push(`outside: ${named(holder)}`);
        if (top < -1 || bottom > innerHeight + 1) wrong.push(`below the window: ${named(holder)}`);
      } else if (clips(style.overflowX) && parent.scrollWidth > parent.clientWidth + 1 && (left < box.left - 1 || right > box.right + 1)) {
        if (style.textOverflow !== "ellipsis") wrong.push(`cut: ${named(holder)}`);
        break;
      } else if (clips(style.overflowY) && bottom > box.bottom + 2) {
        const whole = parent.closest("[title]") ?? parent.parentElement.querySelector(":scope > button"); // to show all of it
        if (!whole) wrong.push(`cut below: ${named(holder)}`);
        break;
      }
    }
  }

  for (const control of document.body.querySelectorAll("button, a[href], input, select, textarea, summary, [role=button]")) {
    if (!inPlay(control) || unseen(control)) continue;
    const box = control.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const target = control.closest("label")?.getBoundingClientRect() ?? box;
    const inText = getComputedStyle(control).display === "inline";
    if (!inText && (target.width < 24 || target.height < 24)) wrong.push(`${target.width} x ${target.height} px: ${named(control)}`);
    const scrolledAway = parents(control).some((parent) => {
      const around = parent.getBoundingClientRect();
      const within = y > around.top + 2 && y < around.bottom - 2 && x > around.left && x < around.right;
      return getComputedStyle(parent).overflow !== "visible" && !within;
    });
    if (scrolledAway || inText) continue;
    const there = document.elementFromPoint(x, y);
    const own = there && (there.closest("[role=menu], .to-end") || control.contains(there) || there.contains(control) || control.closest("label")?.contains(there));
    if (!own) wrong.push(`covered by ${there ? named(there) : "the window's edge"}: ${named(control)}`);
  }
  return [...new Set(wrong)];
}
