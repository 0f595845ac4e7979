"use strict";
// Keeps the part #live of a page up to date, without a reload, and says when
// that fails: a page that stands still looks like a node where all is well. A
// page works without this, too.
const period = 5000, patience = 8000;
let answered = new Date();

function show(page) {
  const live = document.getElementById("live");
  const chosen = document.getSelection();
  const busy = live.contains(document.activeElement) || (!chosen.isCollapsed && live.contains(chosen.anchorNode));
  const next = page.getElementById("live");
  if (!next) throw new Error("no such part");
  if (!busy) live.replaceChildren(...next.childNodes);
}

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { "Parley-Live": "1" }, redirect: "error", signal: AbortSignal.timeout(patience) });
  if (answer.status === 401) {
    location.assign("/login");
    return;
  }
  if (!answer.ok) throw new Error(answer.statusText);
  show(new DOMParser().parseFromString(await answer.text(), "text/html"));
  answered = new Date();
  document.getElementById("silent").hidden = true;
}

function silent() {
  const notice = document.getElementById("silent");
  const text = notice.dataset.text.replace("%s", answered.toISOString().slice(11, 19));
  // A reader of the screen reads it out each time that it changes.
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = false;
}

function again() {
  setTimeout(() => refresh().catch(silent).finally(again), period);
}

if (document.getElementById("live")) again();
