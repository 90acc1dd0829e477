// Tells a page of orders' changes; the connection is socket-connection.js's, which the page loads before this.
//
// data-socket-room="order:<id>" or "orders" joins that room; data-socket-version is the version of the order that the page
// shows. A change has the page's live part read anew (live.js does that) and is a DOM event: "dispatchlog:order-updated" on
// the document, its detail being what was told. A page that is not connected asks every minute (data-socket-poll: other
// seconds); one with data-socket-stays listens while it is hidden.
"use strict";

(() => {
  const address = document.currentScript.dataset.socket;
  const SHOWN = ["orderId", "orderNumber", "what", "version", "dispatchId", "attempt", "dispatchStatus", "bookingStatus",
    "paymentStatus", "isReadyForDispatch", "status", "traceId"];
  const versions = new Map();

  const places = () => [...document.querySelectorAll("[data-socket-room]")];
  const rooms = () => [...new Set(places().map((place) => place.dataset.socketRoom))];

  // Only ids and statuses: whoever looks over a shoulder learns nothing of a person.
  function shown(payload) {
    return JSON.stringify(Object.fromEntries(SHOWN.filter((name) => name in payload).map((name) => [name, payload[name]])));
  }

  function readAnew() {
    const part = document.querySelector("[data-refresh]");
    if (part) part.dispatchEvent(new CustomEvent("dispatchlog:read"));
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

  if (!address || !rooms().length) return;
  window.connectSocket(address, {
    rooms,
    read: readAnew,
    hear: (event, payload) => { if (Object.hasOwn(events, event)) events[event](payload); },
    joined: (isAgain) => { if (isAgain) readAnew(); },
    pollSeconds: Number(document.querySelector("[data-socket-poll]")?.dataset.socketPoll ?? 0),
    get stays() { return Boolean(document.querySelector("[data-socket-stays]")); },
  });
})();
