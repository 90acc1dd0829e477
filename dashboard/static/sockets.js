// Tells a page of orders' changes over Socket.IO (protocol 5 on Engine.IO 4, WebSocket alone; docs/decisions/0005).
//
// data-socket-room="order:<id>" or "orders" joins that room; data-socket-version is the version of the order that the page
// shows. A change has the page's live part read anew (live.js does that) and is a DOM event: "dispatchlog:order-updated" on
// the document, its detail being what was told. <html data-socket> is "on", "connecting", "off" or "paused". A page that is
// not connected asks every minute (data-socket-poll: other seconds); one with data-socket-stays listens while it is hidden.
"use strict";

(() => {
  const address = document.currentScript.dataset.socket;
  const CLOSED_AFTER_MS = 10000, AGAIN_MS = 1000, AGAIN_MOST_MS = 10000, REFUSED_MS = 30000, POLL_SECONDS = 60;
  const SHOWN = ["orderId", "orderNumber", "what", "version", "dispatchId", "attempt", "dispatchStatus", "bookingStatus",
    "paymentStatus", "isReadyForDispatch", "status", "traceId"];
  const root = document.documentElement;
  const versions = new Map();
  let socket = null, state = "", heartbeat = 0, patience = 0, again = 0, poll = 0, pause = AGAIN_MS;
  let acknowledgements = new Map(), number = 0, wasOn = false;

  const places = () => [...document.querySelectorAll("[data-socket-room]")];
  const rooms = () => [...new Set(places().map((place) => place.dataset.socketRoom))];
  const isAway = () => document.hidden && !document.querySelector("[data-socket-stays]");

  // Only ids and statuses: whoever looks over a shoulder learns nothing of a person.
  function shown(payload) {
    return JSON.stringify(Object.fromEntries(SHOWN.filter((name) => name in payload).map((name) => [name, payload[name]])));
  }

  function show(now, why = "") {
    if (state !== now) console.info(`Socket ${now === "on" ? "connected" : now}${why ? ` (${why})` : ""}`);
    root.dataset.socket = state = now;
    const words = { on: "Live", connecting: "Connecting", off: "Not connected; asking every minute", paused: "Paused" }[now];
    for (const place of document.querySelectorAll("[data-socket-text]")) place.textContent = words;
    planPolling();
  }

  function readAnew() {
    const part = document.querySelector("[data-refresh]");
    if (part) part.dispatchEvent(new CustomEvent("dispatchlog:read"));
  }

  function planPolling() {
    if (state === "on" || state === "paused") { clearInterval(poll); poll = 0; return; }
    const own = document.querySelector("[data-socket-poll]");
    if (!poll) poll = setInterval(readAnew, (own ? Number(own.dataset.socketPoll) : POLL_SECONDS) * 1000);
  }

  function told(payload) {
    console.info(`Order updated via socket: ${shown(payload)}`);
    const place = places().find((each) => each.dataset.socketRoom === `order:${payload.orderId}`);
    const known = versions.get(payload.orderId) ?? Number(place?.dataset.socketVersion ?? NaN);
    if (payload.version <= known) return;
    versions.set(payload.orderId, payload.version);
    readAnew();
    // How an order stands when its page begins to listen is no news of it.
    if (Number.isNaN(known) && place) return;
    document.dispatchEvent(new CustomEvent("dispatchlog:order-updated", { detail: payload }));
  }

  const events = {
    "order.updated": told,
    "orders.stale": readAnew,
    "dispatch:updated": (payload) => console.info(`Dispatch updated (fallback): ${shown(payload)}`),
  };

  function emit(event, data) {
    return new Promise((resolve) => {
      acknowledgements.set(number, resolve);
      socket.send(`42${number++}${JSON.stringify([event, data])}`);
    });
  }

  async function joinAll() {
    const here = socket;
    const answers = await Promise.all(rooms().map((room) => emit("join", { room })));
    if (here !== socket) return;
    const refused = answers.find((answer) => !answer.ok);
    if (refused) { lose(`a room was refused: ${refused.code}`); return; }
    clearTimeout(patience);
    pause = AGAIN_MS;
    show("on");
    if (wasOn) readAnew();
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
    else if (kind === "1") { lose("the server ended it", REFUSED_MS); readAnew(); }
    else if (kind === "2") { const [event, payload] = data; if (Object.hasOwn(events, event)) events[event](payload); }
    else if (kind === "3") { acknowledgements.get(Number(id))?.(data[0]); acknowledgements.delete(Number(id)); }
    // Whoever is signed in no longer is led to the sign-in by reading the page.
    else if (kind === "4") { lose(data?.data?.code ?? "refused", REFUSED_MS); readAnew(); }
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

  if (!address || !rooms().length) return;

  function lookedAtOrNot() {
    if (isAway()) { leave(); return; }
    if (socket) return;
    pause = AGAIN_MS;
    open();
  }

  document.addEventListener("visibilitychange", lookedAtOrNot);
  window.addEventListener("online", lookedAtOrNot);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => { if (event.persisted) lookedAtOrNot(); });
  open();
})();
