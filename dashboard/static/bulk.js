// Comforts for selecting many: everything on the page at once, how many are ticked, and what a tick adds to a preview.
"use strict";

document.documentElement.classList.add("js");

const words = (number) => number.toLocaleString("en-GB");

function showTicked() {
  const form = document.querySelector("[data-bulk]");
  if (!form) return;
  const boxes = [...document.querySelectorAll('input[name="pick"]')];
  const ticked = boxes.filter((box) => box.checked).length;
  const all = form.querySelector("[data-select-page]");
  all.checked = ticked > 0 && ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
  const button = form.querySelector("[data-act-on-ticked]");
  button.disabled = ticked === 0;
  button.textContent = ticked ? `Act on ${words(ticked)} ticked…` : "Act on ticked…";
  button.classList.toggle("primary", ticked > 0);
  const said = ticked ? `${words(ticked)} selected` : "";
  const status = form.querySelector("[data-selected]");
  if (status.textContent !== said) status.textContent = said;
}

function showChosen(form) {
  const ticked = [...form.querySelectorAll('input[name="include"]:checked')];
  const chosen = ticked.reduce((sum, box) => sum + Number(box.dataset.number), Number(form.dataset.safe));
  const button = form.querySelector("[data-begin]");
  if (!button) return;
  button.textContent = `${form.dataset.verb} ${words(chosen)}`;
  button.disabled = chosen === 0;
  const number = form.querySelector("[data-chosen]");
  if (number) number.textContent = words(chosen);
  const field = form.querySelector("[data-confirm-field]");
  if (field) {
    const needed = chosen > Number(form.dataset.confirmAbove);
    field.hidden = !needed;
    field.querySelector("input").required = needed;
  }
  form.querySelector("[data-chosen-words]").textContent = `${words(chosen)} chosen`;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-page]")) {
    for (const box of document.querySelectorAll('input[name="pick"]')) box.checked = event.target.checked;
  }
  showTicked();
  const preview = event.target.closest("[data-bulk-preview]");
  if (preview) showChosen(preview);
});

const list = document.getElementById("live");
if (list) new MutationObserver(showTicked).observe(list, { childList: true });
showTicked();
for (const preview of document.querySelectorAll("[data-bulk-preview]")) showChosen(preview);
