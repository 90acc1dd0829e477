// The preview while writing: the form is sent as its button "Show the preview" sends it, and the answer's preview is shown.
"use strict";

const form = document.querySelector("[data-live-preview]");
if (form) {
  const shown = document.querySelector("[data-preview] [role=status]");
  let timer = 0;
  let asked = null;
  const refresh = async () => {
    asked?.abort();
    asked = new AbortController();
    const fields = new FormData(form);
    fields.set("action", "preview");
    try {
      // Its buttons are called "action", and hide the form's own property of that name.
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body: fields, signal: asked.signal });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.querySelector("[data-preview] [role=status]");
      if (found) shown.replaceChildren(...found.childNodes);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, 350);
  });
  const channel = form.elements.namedItem("channel");
  const showParts = () => {
    for (const part of form.querySelectorAll("[data-only]")) part.hidden = part.dataset.only !== channel.value;
  };
  channel.addEventListener("change", showParts);
  showParts();
  // Written before this script was there, or given back by the browser.
  const isOther = (field) => "defaultValue" in field && field.type !== "checkbox" && field.value !== field.defaultValue;
  if ([...form.elements].some(isOther)) refresh();
}
