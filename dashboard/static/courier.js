// Comforts of the order pages: counting down, the dialog for the delivery code, toasts when an order moves, selecting many.
// Every page works without it. `refresh` and the relative times are in app.js, the connection is sockets.js's.
"use strict";

document.documentElement.classList.add("js");

const NOTIFY = "dispatchlog.notify";
const TOAST_MS = 9000;
const livePartOfOrders = document.getElementById("live");

// --- counting down

function left(at, now) {
  const seconds = Math.round((at - now) / 1000);
  const size = Math.abs(seconds);
  const words = size < 60 ? `${size} s`
    : size < 3600 ? `${Math.floor(size / 60)} min ${String(size % 60).padStart(2, "0")} s`
    : size < 172800 ? `${Math.floor(size / 3600)} h ${Math.floor(size % 3600 / 60)} min`
    : `${Math.floor(size / 86400)} days`;
  return seconds >= 0 ? `in ${words}` : `expected ${words.replace(/ min .*/, " min")} ago`;
}

function countDown() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-countdown]")) {
    const words = left(Date.parse(time.dateTime), now);
    if (time.textContent !== words) time.textContent = words;
  }
  for (const button of document.querySelectorAll("[data-not-before]")) {
    const seconds = Math.ceil((Date.parse(button.dataset.notBefore) - now) / 1000);
    const words = button.form && button.form.querySelector("[data-wait]");
    button.toggleAttribute("data-waiting", seconds > 0);
    button.setAttribute("aria-disabled", String(seconds > 0));
    const said = seconds > 0 ? `It can be sent again in ${seconds} s.` : "It can be sent again now.";
    if (words && words.textContent !== said) words.textContent = said;
  }
}

// --- the delivery code

const codeDialog = document.getElementById("code-dialog");

function faultOf(input, digits) {
  const value = input.value.replace(/[\s-]/g, "");
  if (!value) return `Enter the ${digits} digits.`;
  if (/[^0-9]/.test(value)) return "A code has digits only.";
  return value.length === digits ? "" : `A code has ${digits} digits; these are ${value.length}.`;
}

function sayFault(form, fault) {
  const input = form.querySelector(".code-input");
  const place = form.querySelector("[data-code-fault]");
  if (place.textContent !== fault) place.textContent = fault;
  if (fault) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
}

// The page of the form, put into the dialog: tries left and waiting time are then as the server has them now.
function showForm(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const form = page.getElementById("code-form");
  if (!form) return false;
  const title = form.querySelector("h1");
  const heading = document.createElement("h2");
  heading.id = title.id; heading.className = title.className; heading.textContent = title.textContent;
  title.replaceWith(heading);
  codeDialog.replaceChildren(form);
  prepareCodeForms();
  countDown();
  if (!codeDialog.open) codeDialog.showModal();
  const input = codeDialog.querySelector(".code-input");
  if (input) input.focus();
  const said = codeDialog.querySelector("[data-said]");
  if (said) said.textContent = [...page.querySelectorAll(".toasts [data-toast]")].map((toast) => toast.textContent.trim()).join(" ");
  return true;
}

async function openCode(address) {
  try {
    const answer = await fetch(address, { redirect: "manual" });
    // It is not on the way any more: the order's page says why.
    if (answer.type === "opaqueredirect") { location.reload(); return; }
    if (!answer.ok || !showForm(await answer.text())) location.assign(address);
  } catch {
    location.assign(address);
  }
}

// Sent from the dialog: what is wrong is shown in it, and what was done on the order's page, with its words.
async function sendFromDialog(form, submitter) {
  if (form.dataset.working) return;
  form.dataset.working = "1";
  const body = new URLSearchParams(new FormData(form, submitter));
  try {
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (answer.type === "opaqueredirect") {
      if (form.hasAttribute("data-resend")) {
        await openCode(form.closest("section").querySelector("[data-code-form]").action);
        return;
      }
      location.reload();
      return;
    }
    if (!showForm(await answer.text())) location.reload();
  } catch {
    delete form.dataset.working;
    const code = form.closest("section").querySelector("[data-code-form]");
    if (code) sayFault(code, "The server could not be reached; nothing is lost. Try again.");
  }
}

function prepareCodeForms() {
  for (const form of document.querySelectorAll("[data-code-form]")) form.noValidate = true;
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-code-form]");
  if (!form || !event.target.matches(".code-input")) return;
  const digits = Number(form.dataset.digits);
  const fault = faultOf(event.target, digits);
  const value = event.target.value.replace(/[\s-]/g, "");
  // While it is being typed only what can never become right is named, and what was named is named until it is right.
  if (!fault || event.target.hasAttribute("aria-invalid") || /[^0-9]/.test(value) || value.length > digits) sayFault(form, fault);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  const waiting = form.querySelector("[data-waiting]");
  if (waiting) { event.preventDefault(); return; }
  if (form.matches("[data-code-form]")) {
    const input = form.querySelector(".code-input");
    const fault = faultOf(input, Number(form.dataset.digits));
    sayFault(form, fault);
    if (fault) { event.preventDefault(); input.focus(); return; }
    input.value = input.value.replace(/[\s-]/g, "");
  }
  if (codeDialog && codeDialog.contains(form) && !event.defaultPrevented) {
    event.preventDefault();
    sendFromDialog(form, event.submitter);
  }
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open-code]");
  if (opener && codeDialog && !event.metaKey && !event.ctrlKey) { event.preventDefault(); openCode(opener.href); return; }
  const leaver = event.target.closest("[data-dialog-leave]");
  if (leaver && codeDialog && codeDialog.open) { event.preventDefault(); codeDialog.close(); return; }
  const copier = event.target.closest("[data-copy]");
  if (copier) copy(copier);
  if (event.target.closest("[data-notify]")) allowNotes();
});

// --- what changed

function toast(words) {
  const place = document.querySelector(".toasts");
  if (!place) return;
  const said = document.createElement("p");
  said.className = "toast toast-info";
  const text = document.createElement("span");
  text.textContent = words;
  said.append(text);
  place.append(said);
  setTimeout(() => said.remove(), TOAST_MS);
}

const labelsOf = (part) => JSON.parse(part.dataset.labels || "{}");

function wordsOf(payload, part) {
  const labels = labelsOf(part);
  const number = payload.orderNumber || part.dataset.orderNumber;
  if (payload.what === "status" && payload.dispatchStatus) return `${number}: ${labels[payload.dispatchStatus] || payload.dispatchStatus}`;
  if (payload.what === "paid") return `${number}: payment ${String(payload.paymentStatus).toLowerCase()}`;
  if (payload.what === "ready") return `${number}: marked ready`;
  if (payload.what === "dispatch") return `${number}: a courier is being booked`;
  if (payload.what === "cancelling") return `${number}: being canceled`;
  if (payload.what === "code") return `${number}: the delivery code was sent or tried`;
  return `${number} was updated`;
}

document.addEventListener("dispatchlog:order-updated", (event) => {
  const payload = event.detail || {};
  const part = livePartOfOrders;
  if (!part || !part.dataset.order || part.dataset.order !== payload.orderId) return;
  const words = wordsOf(payload, part);
  toast(words);
  if (notesAreOn() && !document.hasFocus()) new Notification(words, { tag: payload.orderId });
});

const notesAreOn = () => "Notification" in window && Notification.permission === "granted" && localStorage.getItem(NOTIFY) === "on";

async function allowNotes() {
  const allowed = notesAreOn() ? "off" : await Notification.requestPermission();
  localStorage.setItem(NOTIFY, allowed === "granted" ? "on" : "off");
  offerNotes(allowed === "denied" ? "This browser does not allow it. Allow notifications for this site in its settings." : undefined);
}

function offerNotes(words) {
  const offer = document.querySelector("[data-notify-offer]");
  if (!offer || !("Notification" in window)) return;
  offer.hidden = false;
  const on = notesAreOn();
  // Who wants to be notified is told also while another page is looked at.
  livePartOfOrders.toggleAttribute("data-socket-stays", on);
  offer.querySelector("button span").textContent = on ? "Do not notify me" : "Notify me in this browser";
  const said = words || (on ? "You are told of changes while this page is open." : "");
  const place = offer.querySelector("[data-notify-words]");
  if (place.textContent !== said) place.textContent = said;
}

async function copy(button) {
  const words = button.querySelector("span");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    words.textContent = "Copied";
  } catch {
    words.textContent = "Select it and copy";
  }
  toast(words.textContent === "Copied" ? "The trace id is copied." : "The browser did not allow copying.");
}

// --- selecting many

const boxesOfOrders = () => [...document.querySelectorAll('input[name="pick"][type="checkbox"]')];

function showSelected() {
  const form = document.querySelector("[data-selection]");
  if (!form) return;
  const boxes = boxesOfOrders();
  const ticked = boxes.filter((box) => box.checked).length;
  const all = form.querySelector("[data-select-page]");
  all.checked = ticked > 0 && ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
  const button = form.querySelector("[data-act-on-selected]");
  button.disabled = ticked === 0;
  button.classList.toggle("primary", ticked > 0);
  button.querySelector("span").textContent = ticked ? button.dataset.actOnSelected.replace("{}", ticked) : "Mark selected ready";
  const said = ticked ? `${ticked} selected` : "";
  const status = form.querySelector("[data-selected]");
  if (status.textContent !== said) status.textContent = said;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-page]")) {
    for (const box of boxesOfOrders()) box.checked = event.target.checked;
  }
  showSelected();
});

function afterRefresh() {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  showSelected();
  offerNotes();
  countDown();
}

if (livePartOfOrders) new MutationObserver(afterRefresh).observe(livePartOfOrders, { childList: true });
afterRefresh();
prepareCodeForms();
setInterval(countDown, 1000);
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
