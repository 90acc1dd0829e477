// Keys for people who work here all day, and the browser's own time zone. Every page works without it.
"use strict";

const keysAreOn = document.documentElement.dataset.keys !== "off";
const pagesByKey = JSON.parse(document.currentScript.dataset.pages);
const SECOND_KEY_MS = 1500;

// Without a choice, times are shown as this browser has them from the next page on.
if (!/(?:^|; )zone=/.test(document.cookie)) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
}

const rowsOf = () => [...document.querySelectorAll("table.rows tbody tr, [data-key-row]")];
let firstKeyAt = 0;

// The line one is at is the one that has the focus, which stays when the page refreshes itself.
const rowAt = (rows) => rows.findIndex((row) => row.contains(document.activeElement));

function step(by) {
  const rows = rowsOf();
  if (!rows.length) return false;
  const at = rowAt(rows);
  const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))];
  const link = next.querySelector("a.row-link, a");
  if (!link) return false;
  link.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function tick() {
  const rows = rowsOf();
  const row = rows[rowAt(rows)];
  const box = row && row.querySelector("input[type=checkbox]");
  if (!box) return false;
  box.click();
  return true;
}

function backToList() {
  const link = document.querySelector("[data-back-to-list], a.crumb, .crumb a");
  if (!link) return false;
  link.click();
  return true;
}

function walk(rel) {
  const link = document.querySelector(`[data-walk="${rel}"]`);
  if (!link) return false;
  link.click();
  return true;
}

function openPage(key) {
  const address = pagesByKey[key];
  if (!address) return false;
  location.assign(address);
  return true;
}

function showKeys() {
  const sheet = document.getElementById("keys");
  if (!sheet) return false;
  if (!sheet.open) sheet.showModal();
  return true;
}

function search() {
  const field = document.getElementById("q");
  if (!field) return false;
  field.focus();
  return true;
}

// Whether keys are meant for what has the focus. A dialog that was just closed keeps it until the page is drawn anew.
function takesKeys(focused) {
  const dialog = focused.closest("dialog");
  return dialog ? dialog.open : Boolean(focused.closest("input, select, textarea, [contenteditable]"));
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || takesKeys(event.target)) return;
  const second = Date.now() - firstKeyAt < SECOND_KEY_MS;
  firstKeyAt = 0;
  let done = false;
  if (second) done = openPage(event.key);
  else if (event.key === "g") { firstKeyAt = Date.now(); done = true; }
  else if (event.key === "?") done = showKeys();
  else if (event.key === "/") done = search();
  else if (event.key === "j") done = step(1);
  else if (event.key === "k") done = step(-1);
  else if (event.key === "x") done = tick();
  else if (event.key === "n") done = walk("next");
  else if (event.key === "p") done = walk("prev");
  else if (event.key === "u") done = backToList();
  if (done) event.preventDefault();
}

// The menu is longer than most screens; the line of this page is always in sight.
const here = document.querySelector(".side-nav [aria-current]"), side = here && here.closest(".side");
if (side) side.scrollTop = Math.max(0, here.offsetTop + here.offsetHeight * 2 - side.clientHeight);

if (keysAreOn) document.addEventListener("keydown", onKey);
for (const button of document.querySelectorAll("[data-show-keys]")) {
  button.hidden = false;
  button.addEventListener("click", showKeys);
}
