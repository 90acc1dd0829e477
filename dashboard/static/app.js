// Comforts over pages that work without it: relative times, refreshing what is looked at, and asking before acting.
"use strict";

const minute = 60, hour = 3600, day = 86400;

function relative(at, now) {
  const seconds = Math.abs(now - at) / 1000;
  const past = at <= now;
  if (seconds < 10) return past ? "just now" : "in a moment";
  const amount = seconds < minute ? `${Math.floor(seconds)} s`
    : seconds < hour ? `${Math.floor(seconds / minute)} min`
    : seconds < 2 * day ? `${Math.floor(seconds / hour)} h`
    : `${Math.floor(seconds / day)} days`;
  return past ? `${amount} ago` : `in ${amount}`;
}

function updateTimes() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const words = relative(Date.parse(time.dateTime), now);
    if (time.textContent !== words) time.textContent = words;
  }
}

// A link that is replaced between the press and the release of a button is not clicked.
let pressed = false;
document.addEventListener("pointerdown", () => { pressed = true; }, true);
for (const ending of ["pointerup", "pointercancel", "dragend"]) {
  document.addEventListener(ending, () => setTimeout(() => { pressed = false; }), true);
}

// Whether somebody wrote or chose something in it that was not sent yet.
function wasChanged(field) {
  if (!field.matches("select")) return field.value !== field.defaultValue;
  const options = [...field.options];
  return field.selectedIndex !== Math.max(0, options.findIndex((option) => option.defaultSelected));
}

// While somebody works inside the part, replacing it would take their focus, their click or their text away.
function isInUse(part) {
  if (pressed) return true;
  if (document.querySelector("dialog[open]") || part.querySelector("details[open], input:checked, [data-working]")) return true;
  const focused = document.activeElement;
  if (part.contains(focused) && focused.matches("input, select, textarea")) return true;
  if ([...part.querySelectorAll("input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea")].some(wasChanged)) return true;
  const selection = window.getSelection();
  return Boolean(selection && !selection.isCollapsed && part.contains(selection.anchorNode));
}

// What tells a control from the others of its page: where it leads, or what its form is asked to do.
function purposeOf(control) {
  const form = control.form;
  return form ? `${form.getAttribute("action")} ${control.name} ${control.value}` : control.getAttribute("href") || control.id;
}

// The focus goes to what has the same purpose. A link that is gone leaves it to what is in its place; a button does not, for
// whoever presses Enter would do to another line what they meant for the one that is gone.
function keepFocus(part, swap) {
  const controls = () => [...part.querySelectorAll("a, button, summary, [tabindex]")];
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const purpose = focused && purposeOf(focused);
  const alike = () => purpose ? controls().filter((control) => purposeOf(control) === purpose) : [];
  const place = controls().indexOf(focused), placeAmongAlike = alike().indexOf(focused);
  swap();
  if (!focused) return;
  const again = alike()[placeAmongAlike] || alike()[0] || (!focused.form && controls()[place]);
  if (again) again.focus({ preventScroll: true });
}

// False: somebody began to work inside it meanwhile, so it is as it was.
async function refresh(part) {
  const patience = AbortSignal.timeout(20000);
  const answer = await fetch(location.href, { headers: { "X-Background-Refresh": "1" }, redirect: "manual", signal: patience });
  if (answer.type === "opaqueredirect") { location.reload(); return true; }
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
  if (!fresh || fresh.innerHTML === part.dataset.last) return true;
  if (isInUse(part)) return false;
  part.dataset.last = fresh.innerHTML;
  keepFocus(part, () => { part.replaceChildren(...fresh.childNodes); });
  updateTimes();
  return true;
}

function askFirst(event) {
  const form = event.target.closest("form[data-confirm]");
  const dialog = document.getElementById("confirm");
  if (!form || !dialog || form.dataset.confirmed) return;
  event.preventDefault();
  dialog.querySelector("[data-confirm-title]").textContent = `${form.dataset.confirmLabel}?`;
  dialog.querySelector("[data-confirm-text]").textContent = form.dataset.confirm;
  dialog.querySelector("[data-confirm-yes]").textContent = form.dataset.confirmLabel;
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    form.dataset.confirmed = "1";
    form.requestSubmit();
  };
  dialog.showModal();
}

function askForReason(event) {
  const link = event.target.closest("[data-reason-for]");
  const dialog = link && document.getElementById(link.dataset.reasonDialog || "reason");
  if (!link || !dialog || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  dialog.querySelector("[data-reason-form]").action = link.dataset.reasonFor;
  dialog.querySelector("[data-reason-back]").value = link.dataset.back;
  dialog.querySelector("[name=reason]").value = "";
  for (const [part, words] of [["title", link.dataset.reasonTitle], ["text", link.dataset.reasonText], ["yes", link.dataset.reasonYes]]) {
    if (words) dialog.querySelector(`[data-reason-${part}]`).textContent = words;
  }
  dialog.showModal();
}

function openByHash() {
  const target = location.hash && document.querySelector(`details[data-open-by-hash]${CSS.escape ? "#" + CSS.escape(location.hash.slice(1)) : ""}`);
  if (!target) return;
  target.open = true;
  const field = target.querySelector("input:not([type=hidden])");
  if (field) field.focus();
}

document.addEventListener("submit", askFirst);
document.addEventListener("click", askForReason);
document.addEventListener("click", (event) => {
  const closer = event.target.closest("[data-dialog-close]");
  if (closer) closer.closest("dialog").close();
});
document.addEventListener("toggle", (event) => {
  const details = event.target;
  const field = details.open && details.matches(".act") && details.querySelector("input:not([type=hidden])");
  if (field) field.focus();
}, true);
window.addEventListener("hashchange", openByHash);

for (const toast of document.querySelectorAll("[data-toast]")) setTimeout(() => toast.remove(), 9000);
openByHash();
updateTimes();
setInterval(updateTimes, 5000);
