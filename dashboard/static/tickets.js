// The list of tickets reads itself anew when a ticket changed; live.js does that, and tickets-live.js tells of changes.
"use strict";

(() => {
  const part = document.querySelector("#live[data-ticket-live]");
  // Caught on its way down, so that it does not matter which element was told.
  if (part) document.addEventListener("dispatchlog:ticket", () => part.dispatchEvent(new CustomEvent("dispatchlog:read")), true);
})();
