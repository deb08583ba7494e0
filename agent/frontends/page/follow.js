// Keeps the end of what grows in sight, or lets go: the scroll is never taken from the reader.

const NEAR = 40; // px from the end within which a reader is at the end
const UP = new Set(["ArrowUp", "PageUp", "Home"]);

/**
 * Watch over a scrolled element; `content`, in it, has the items one below the other. While the reader is at its end, it
 * stays there. Wheel, touch, keys and a selection let go at once; then what is in sight stays where it is, whatever grows or
 * comes above it. `onFollow(following)` is told of each change, `onScroll()` of each scroll.
 */
export function follow(scroller, content, { onFollow = () => {}, onScroll = () => {} } = {}) {
  let following = true;
  let anchor = null; // what the reader sees first, and where: {node, top}
  let touched = 0; // where a finger came down
  let before = 0; // the offset at the last scroll
  let lived = false; // whether it was in the document
  const sizes = new ResizeObserver(grown);
  sizes.observe(scroller);
  for (const child of scroller.children) sizes.observe(child);
  scroller.addEventListener("scroll", scrolled, { passive: true });
  scroller.addEventListener("wheel", (event) => event.deltaY < 0 && letGo(), { passive: true });
  scroller.addEventListener("touchstart", (event) => (touched = event.touches[0].clientY), { passive: true });
  scroller.addEventListener("touchmove", (event) => event.touches[0].clientY > touched && letGo(), { passive: true });
  scroller.addEventListener("keydown", pressed);
  document.addEventListener("selectionchange", selected);
  return {
    toEnd,
    goTo,
    settle: grown,
    keep,
    get following() {
      return following;
    },
  };

  function become(value) {
    if (following === value) return;
    following = value;
    onFollow(value);
  }

  function letGo() {
    if (scroller.scrollHeight <= scroller.clientHeight) return; // there is nowhere to go
    become(false);
    remember();
  }

  // The browser's own way to the end takes its time, and meanwhile that is elsewhere.
  function pressed(event) {
    if (UP.has(event.key)) letGo();
    else if (event.key === "End" && event.target === scroller) {
      event.preventDefault();
      toEnd();
    }
  }

  function selected() {
    if (scroller.isConnected) lived = true;
    else if (lived) document.removeEventListener("selectionchange", selected);
    if (selecting()) letGo();
  }

  function selecting() {
    const selection = getSelection();
    return !selection.isCollapsed && content.contains(selection.anchorNode);
  }

  function toEnd() {
    become(true);
    settle();
  }

  /** Have a node of the content in sight, wherever the end is. */
  function goTo(node) {
    letGo();
    node.scrollIntoView({ block: "center" });
    before = scroller.scrollTop;
    remember();
  }

  function rest() {
    return scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
  }

  // Up is only ever the reader: what grows never makes the offset smaller, and what shrinks leaves it at the end.
  function scrolled() {
    const moved = scroller.scrollTop - before; // 0: by `settle`
    before = scroller.scrollTop;
    if (rest() <= 1 || (moved >= 0 && rest() <= NEAR && !selecting())) become(true);
    else if (moved < 0) become(false);
    if (moved) remember();
    onScroll();
  }

  function remember() {
    if (following) return;
    const node = firstSeen();
    anchor = node && { node, id: node.dataset.id, top: node.getBoundingClientRect().top };
  }

  // By halves: the items stand one below the other.
  function firstSeen() {
    const edge = scroller.getBoundingClientRect().top;
    const nodes = content.children;
    let [low, high] = [0, nodes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (nodes[middle].getBoundingClientRect().bottom > edge) high = middle;
      else low = middle + 1;
    }
    return nodes[low] ?? null;
  }

  // The reader may have moved without a scroll that was told yet: nothing of it is undone.
  function grown() {
    if (scroller.scrollTop !== before) scrolled();
    settle();
  }

  function settle() {
    if (following) {
      scroller.scrollTop = scroller.scrollHeight;
      before = scroller.scrollTop;
    } else if (anchored()) {
      const moved = anchor.node.getBoundingClientRect().top - anchor.top;
      if (Math.abs(moved) >= 1) scroller.scrollTop += moved;
      before = scroller.scrollTop;
    }
  }

  // A node that was made anew has the same id.
  function anchored() {
    if (anchor && !anchor.node.isConnected) {
      anchor.node = [...content.children].find((node) => node.dataset.id === anchor.id) ?? anchor.node;
    }
    return anchor?.node.isConnected;
  }

  /** Change what is in it while what is in sight stays where it is. */
  function keep(change) {
    if (scroller.scrollTop !== before) scrolled();
    else if (!following) settle(); // a line above may have come in this very frame
    change();
    settle();
  }
}
