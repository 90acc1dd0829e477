// Keeps the part of a page that is marked `data-refresh` current: told by a stream of changes while somebody looks at it, and
// by asking every few seconds where there is no stream. A hidden page does neither. `refresh` and `isInUse` are in app.js.
"use strict";

const streamAddress = document.currentScript.dataset.stream;
const COALESCE_MS = 1000, SLOWER_WITH_STREAM = 5, STREAM_AGAIN_MS = 1500, STREAM_AGAIN_MOST_MS = 8000;

function keepCurrent(part) {
  const seconds = Number(part.dataset.refresh);
  const root = document.documentElement;
  let source = null, wanted = false, running = false, lastStart = 0, timer = 0, poll = 0, again = 0;
  let wait = seconds, failing = false, stale = false, pause = STREAM_AGAIN_MS;

  function show(state) {
    root.dataset.live = state;
    const words = part.querySelector("[data-live-text]");
    if (!words) return;
    if (failing) words.textContent = "Not reachable; trying again";
    else if (state === "on" && !words.textContent.startsWith("Live")) words.textContent = `Live · ${words.textContent.replace(/^As/, "as")}`;
  }

  // Reads the part anew soon, but at most once a second; what comes in between is one more time at the end of it.
  function ask() {
    wanted = true;
    if (running || timer || document.hidden) return;
    timer = setTimeout(read, Math.max(0, lastStart + COALESCE_MS - Date.now()));
  }

  async function read() {
    timer = 0;
    if (document.hidden) return;
    if (isInUse(part)) { timer = setTimeout(read, COALESCE_MS); return; }
    running = true; wanted = false; lastStart = Date.now();
    try {
      if (await refresh(part) === false) wanted = true;
      if (stale) openAnew();
      failing = false; wait = seconds;
    } catch {
      failing = stale = true; wait = Math.min(wait * 2, 60);
    }
    running = false;
    show(root.dataset.live);
    plan();
    if (wanted) ask();
  }

  function plan() {
    clearTimeout(poll);
    if (!document.hidden) poll = setTimeout(ask, wait * (root.dataset.live === "on" && !failing ? SLOWER_WITH_STREAM : 1) * 1000);
  }

  function concerns(change) {
    if (part.dataset.liveLane && part.dataset.liveLane !== change.lane) return false;
    return !part.dataset.liveDispatch || change.more || part.dataset.liveDispatch in change.dispatches;
  }

  function open() {
    clearTimeout(again);
    if (source || document.hidden || !streamAddress || !window.EventSource) return;
    show("connecting");
    source = new EventSource(streamAddress);
    source.addEventListener("hello", (event) => {
      pause = STREAM_AGAIN_MS; stale = false;
      show("on"); plan();
      if (!JSON.parse(event.data).resumed || failing) ask();
    });
    source.addEventListener("moved", (event) => { if (concerns(JSON.parse(event.data))) ask(); });
    source.addEventListener("all", ask);
    // The session ended, which asking tells, or only the server did.
    source.addEventListener("over", () => { openLater(); ask(); });
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) {
        openLater();
        plan();
      } else if (root.dataset.live === "on") {
        // Only the first time: each try to reconnect that fails comes here, and would put the asking off for ever.
        show("connecting");
        plan();
      }
    };
  }

  // Whoever was refused or sent away tries again: soon at first, then seldom enough for a server whose streams are all taken.
  function openLater() {
    close("off");
    again = setTimeout(open, pause * (1 + Math.random()));
    pause = Math.min(2 * pause, STREAM_AGAIN_MOST_MS);
  }

  // Who could not be reached is there again. A stream from before may hang in the air, and one that waits has waited enough.
  function openAnew() {
    close("off");
    pause = STREAM_AGAIN_MS; stale = false;
    open();
  }

  function close(state) {
    clearTimeout(again);
    if (source) source.close();
    source = null;
    show(state);
  }

  function lookedAtOrNot() {
    clearTimeout(poll); clearTimeout(timer); timer = 0;
    if (document.hidden) { close("paused"); return; }
    open(); ask();
  }

  // Others who learn of a change, such as sockets.js, have it read in turn.
  part.addEventListener("dispatchlog:read", ask);
  document.addEventListener("visibilitychange", lookedAtOrNot);
  window.addEventListener("pagehide", () => close("paused"));
  window.addEventListener("pageshow", (event) => { if (event.persisted) lookedAtOrNot(); });
  open(); plan();
}

const livePart = document.querySelector("[data-refresh]");
if (livePart) keepCurrent(livePart);
