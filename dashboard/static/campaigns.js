// The editor's buttons without leaving the page: the form is sent as they send it, and the answer's form takes its place.
"use strict";

const form = document.querySelector("[data-campaign-form]");
if (form) {
  const said = form.querySelector("[data-said]");
  let asked = null;
  const words = { "add-step": "A step was added.", "remove-step": "The step was removed.", "up-step": "The step was moved up.",
    "add-condition": "A condition was added.", "remove-condition": "The condition was removed." };

  // Where the button is gone or moved: what it made, or the place that it left.
  const placeAfter = (what) => {
    const [act, at = "0", row = "0"] = what.split(".");
    if (act === "add-step") return [...form.querySelectorAll(".step-card")].at(-1)?.querySelector("input:not([type=hidden])");
    if (act === "up-step") return form.querySelector(`#up-step-${Number(at) - 1}, #steps-${Number(at) - 1}-name`);
    if (act === "remove-step") return form.querySelector(`#steps-${Math.max(0, Number(at) - 1)}-name`);
    if (act === "add-condition") return [...form.querySelectorAll(`#steps-${at} .condition`)].at(-1)?.querySelector("select");
    if (act === "remove-condition") return form.querySelector(`#remove-condition-${at}-${Math.max(0, Number(row) - 1)}, #add-condition-${at}`);
    return null;
  };

  // What was written while the answer was under way is not lost: nothing is kept there, so the same is asked with it again.
  const answered = async (what, signal) => {
    for (;;) {
      const fields = new FormData(form);
      const sent = new URLSearchParams(fields).toString();
      fields.set("do", what);
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body: fields, signal });
      if (!answer.ok || answer.redirected) return null;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (new URLSearchParams(new FormData(form)).toString() === sent) return page.querySelector("[data-draft]");
    }
  };

  const redraw = async (what, focusId) => {
    asked?.abort();
    asked = new AbortController();
    try {
      const fresh = await answered(what, asked.signal);
      if (!fresh) { location.reload(); return; }
      const focused = focusId ? document.activeElement.id : "";
      form.querySelector("[data-draft]").replaceWith(fresh);
      (focusId ? document.getElementById(focused || focusId) : placeAfter(what))?.focus();
      said.textContent = words[what.split(".")[0]] ?? "The form shows what belongs to your choice.";
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  };

  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || button.name !== "do" || button.value === "save") return;
    event.preventDefault();
    redraw(button.value, "");
  });
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-redraw]")) redraw("refresh", event.target.id);
  });
  document.documentElement.classList.add("js");
}
document.getElementById("problem")?.focus();
