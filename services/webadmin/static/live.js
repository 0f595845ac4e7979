"use strict";
// Keeps the part #live of a page up to date, without a reload. A page works
// without this, too.
const period = 5000;

async function refresh() {
  const live = document.getElementById("live");
  const chosen = document.getSelection();
  const busy = document.hidden || live.contains(document.activeElement) || (!chosen.isCollapsed && live.contains(chosen.anchorNode));
  if (!busy) {
    const answer = await fetch(location.href, { headers: { "Parley-Live": "1" }, redirect: "error" });
    if (answer.status === 401) {
      location.assign("/login");
      return;
    }
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.getElementById("live");
      if (next) live.replaceChildren(...next.childNodes);
    }
  }
}

function again() {
  setTimeout(() => refresh().catch(() => {}).finally(again), period);
}

if (document.getElementById("live")) again();
