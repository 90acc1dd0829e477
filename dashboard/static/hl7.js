// Comforts of the HL7 pages: how many are ticked, all of a page at once, and a button that says that it is at work.
"use strict";

document.documentElement.classList.add("js");

const boxesOf = () => [...document.querySelectorAll('input[name="pick"]')];

function showSelected() {
  const form = document.querySelector("[data-selection]");
  if (!form || form.dataset.working) return;
  const boxes = boxesOf();
  const ticked = boxes.filter((box) => box.checked).length;
  const all = form.querySelector("[data-select-page]");
  all.checked = ticked > 0 && ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
  const button = form.querySelector("[data-retry-selected]");
  button.disabled = ticked === 0;
  button.classList.toggle("primary", ticked > 0);
  button.querySelector("span").textContent = ticked ? `Retry ${ticked} selected` : "Retry selected";
  const said = ticked ? `${ticked} selected` : "";
  const status = form.querySelector("[data-selected]");
  if (status.textContent !== said) status.textContent = said;
}

// A disabled button would not be sent with its form, so it only says so; a second click sends nothing.
function showWorking(event) {
  const form = event.target.closest("form[data-busy]");
  if (!form || event.defaultPrevented) return;
  if (form.dataset.working) { event.preventDefault(); return; }
  form.dataset.working = "1";
  const button = event.submitter || form.querySelector("button:not([type=button])");
  if (!button) return;
  button.setAttribute("aria-disabled", "true");
  button.setAttribute("aria-busy", "true");
  (button.querySelector("span") || button).textContent = form.dataset.busy;
}

document.addEventListener("submit", showWorking);
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-page]")) {
    for (const box of boxesOf()) box.checked = event.target.checked;
  }
  showSelected();
});
// Back from the next page, nothing is at work any more.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
const messages = document.getElementById("live");
if (messages) new MutationObserver(showSelected).observe(messages, { childList: true });
showSelected();
