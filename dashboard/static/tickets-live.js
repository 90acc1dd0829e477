// Tells a page of tickets' changes; the connection is socket-connection.js's, which the page loads before this.
//
// [data-ticket-live] with data-socket-address and data-ticket-id listens to that ticket, or with data-ticket-id="" to all of
// one's own. What is told becomes a DOM event on that element, which bubbles: "dispatchlog:ticket", its detail being what was
// told, and `what`: "ticket" (status, version), "message" (number), "read" (partyId, readNumber), or "poll", which says only
// that the page is to look for itself: more changed than was told, or the page was not connected. While it is not, that comes
// every minute (data-ticket-poll: other seconds).
"use strict";

(() => {
  const place = document.querySelector("[data-ticket-live]");
  if (!place) return;
  const id = place.dataset.ticketId;
  const WHAT = { "ticket.updated": "ticket", "message.created": "message", "message.read": "read", "tickets.stale": "poll" };
  const SHOWN = ["ticketId", "ticketNumber", "status", "version", "threadId", "number", "readNumber", "lastNumber", "traceId"];

  function tell(what, payload = {}) {
    // The page may have read itself anew since, and this element with it.
    const here = place.isConnected ? place : document.querySelector("[data-ticket-live]") ?? document;
    here.dispatchEvent(new CustomEvent("dispatchlog:ticket", { bubbles: true, detail: { ...payload, what } }));
  }

  function hear(event, payload) {
    if (!Object.hasOwn(WHAT, event)) return;
    // Only ids and statuses: whoever looks over a shoulder learns nothing of a person.
    const shown = Object.fromEntries(SHOWN.filter((name) => name in payload).map((name) => [name, payload[name]]));
    console.info(`Ticket told by socket: ${event} ${JSON.stringify(shown)}`);
    tell(WHAT[event], payload);
  }

  window.connectSocket(place.dataset.socketAddress, {
    rooms: () => [id ? `ticket:${id}` : "tickets"],
    hear,
    read: () => tell("poll"),
    // Whoever joins a ticket's room is told how it stands; a list has to look for itself.
    joined: (isAgain) => { if (isAgain || !id) tell("poll"); },
    pollSeconds: Number(place.dataset.ticketPoll ?? 0),
    stays: false,
  });
})();
