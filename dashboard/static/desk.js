// The in-doubt desk: after an answer the next doubt has the focus, so that a keyboard goes on where the eyes do.
"use strict";

function focusTarget() {
  const target = location.hash.startsWith("#doubt-") && document.getElementById(location.hash.slice(1));
  if (target) target.focus({ preventScroll: false });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
focusTarget();
