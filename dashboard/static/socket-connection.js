// One connection to `dispatchlog sockets`: Socket.IO (protocol 5 on Engine.IO 4), WebSocket alone (docs/decisions/0005). It
// joins the page's rooms, comes back by itself, rests while nobody looks, and asks every minute while it is not connected.
// <html data-socket> is "on", "connecting", "off" or "paused"; [data-socket-text] has it in words. It knows no event.
//
// connectSocket(address, page): page.rooms() names the rooms, page.hear(event, payload) is what was told, page.joined(isAgain)
// that it is in all of them, page.read() that the page is to read itself anew; page.pollSeconds, page.stays (while hidden).
"use strict";

window.connectSocket = (address, page) => {
  const CLOSED_AFTER_MS = 10000, AGAIN_MS = 1000, AGAIN_MOST_MS = 10000, REFUSED_MS = 30000, POLL_SECONDS = 60;
  const root = document.documentElement;
  let socket = null, state = "", heartbeat = 0, patience = 0, again = 0, poll = 0, pause = AGAIN_MS;
  let acknowledgements = new Map(), number = 0, wasOn = false;

  const isAway = () => document.hidden && !page.stays;

  function show(now, why = "") {
    if (state !== now) console.info(`Socket ${now === "on" ? "connected" : now}${why ? ` (${why})` : ""}`);
    root.dataset.socket = state = now;
    const words = { on: "Live", connecting: "Connecting", off: "Not connected; asking every minute", paused: "Paused" }[now];
    for (const place of document.querySelectorAll("[data-socket-text]")) place.textContent = words;
    planPolling();
  }

  function planPolling() {
    if (state === "on" || state === "paused") { clearInterval(poll); poll = 0; return; }
    if (!poll) poll = setInterval(page.read, (page.pollSeconds || POLL_SECONDS) * 1000);
  }

  function emit(event, data) {
    return new Promise((resolve) => {
      acknowledgements.set(number, resolve);
      socket.send(`42${number++}${JSON.stringify([event, data])}`);
    });
  }

  async function joinAll() {
    const here = socket;
    const answers = await Promise.all(page.rooms().map((room) => emit("join", { room })));
    if (here !== socket) return;
    const refused = answers.find((answer) => !answer.ok);
    if (refused) { lose(`a room was refused: ${refused.code}`); return; }
    clearTimeout(patience);
    pause = AGAIN_MS;
    show("on");
    page.joined(wasOn);
    wasOn = true;
  }

  // Engine.IO's packet types are single digits; Socket.IO's follow a 4.
  function receive(text) {
    keepAlive();
    if (text[0] === "0") { keepAlive(JSON.parse(text.slice(1))); socket.send("40"); return; }
    if (text[0] === "2") { socket.send("3"); return; }
    if (text[0] === "1") { lose("the server closed it"); return; }
    if (text[0] !== "4") return;
    const [, kind, id, body] = /^4(\d)(\d*)([^]*)$/.exec(text);
    const data = body ? JSON.parse(body) : undefined;
    if (kind === "0") joinAll();
    else if (kind === "1") { lose("the server ended it", REFUSED_MS); page.read(); }
    else if (kind === "2") page.hear(...data);
    else if (kind === "3") { acknowledgements.get(Number(id))?.(data[0]); acknowledgements.delete(Number(id)); }
    // Whoever is signed in no longer is led to the sign-in by reading the page.
    else if (kind === "4") { lose(data?.data?.code ?? "refused", REFUSED_MS); page.read(); }
  }

  let silenceMs = 45000;
  function keepAlive(told) {
    if (told) silenceMs = told.pingInterval + told.pingTimeout;
    clearTimeout(heartbeat);
    heartbeat = setTimeout(() => lose("the server is silent"), silenceMs);
  }

  function open() {
    clearTimeout(again);
    if (socket || isAway()) return;
    show(state === "off" ? "off" : "connecting");
    const fresh = socket = new WebSocket(`${address}/socket.io/?EIO=4&transport=websocket`);
    acknowledgements = new Map();
    patience = setTimeout(() => lose("no answer"), CLOSED_AFTER_MS);
    fresh.onmessage = (event) => { if (fresh === socket) receive(event.data); };
    fresh.onclose = () => { if (fresh === socket) lose("the connection ended"); };
  }

  // Tries again later and later, and not all pages at once.
  function lose(why, least = 0) {
    drop();
    show("off", why);
    again = setTimeout(open, Math.max(pause, least) * (0.5 + Math.random()));
    pause = Math.min(2 * pause, AGAIN_MOST_MS);
  }

  function drop() {
    clearTimeout(heartbeat); clearTimeout(patience); clearTimeout(again);
    const last = socket;
    socket = null;
    if (!last) return;
    if (last.readyState === WebSocket.OPEN) last.send("41");
    last.close();
  }

  function leave() { drop(); show("paused"); }

  function lookedAtOrNot() {
    if (isAway()) { leave(); return; }
    if (socket) return;
    pause = AGAIN_MS;
    open();
  }

  // Without an address there is only the asking.
  if (!address) { show("off", "no address"); return; }
  document.addEventListener("visibilitychange", lookedAtOrNot);
  window.addEventListener("online", lookedAtOrNot);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => { if (event.persisted) lookedAtOrNot(); });
  open();
};
