// Live list of conversations: a row for each, with its last line. All texts are shown as text.
"use strict";
(() => {
  const MOST = 200, table = document.getElementById("conversations"), live = document.getElementById("live");
  const rows = new Map([...table.tBodies[0].rows].map((row) => [row.dataset.id, row]));
  const cell = (row, name, words) => { const one = document.createElement(name); one.textContent = words; row.append(one); return one; };
  const row = (one) => {
    let found = rows.get(one.id);
    if (!found) {
      found = document.createElement("tr");
      const link = document.createElement("a");
      link.href = table.dataset.base + encodeURIComponent(one.id);
      link.textContent = one.id;
      const head = cell(found, "th", "");
      head.scope = "row";
      head.append(link);
      for (const words of [one.protocol, one.role, one.peer, "open", ""]) cell(found, "td", words);
      table.tBodies[0].prepend(found);
      rows.set(one.id, found);
      if (rows.size > MOST) { const [oldest, gone] = rows.entries().next().value; gone.remove(); rows.delete(oldest); }
    }
    return found;
  };
  const source = new EventSource(table.dataset.events);
  source.addEventListener("open", () => { live.textContent = "Watching."; });
  source.addEventListener("error", () => { live.textContent = "The connection is lost; trying again."; });
  source.addEventListener("conversation", (told) => row(JSON.parse(told.data).conversation));
  source.addEventListener("event", (told) => {
    const {session, event} = JSON.parse(told.data), found = rows.get(session);
    if (!found) return;
    if (event.kind === "closed") found.cells[4].textContent = "over";
    if (event.text) found.cells[5].textContent = (event.direction === "in" ? "← " : event.direction === "out" ? "→ " : "") + event.text.slice(0, 200);
  });
  source.addEventListener("lost", (told) => {
    live.textContent = `${JSON.parse(told.data).lost} events were lost, because this browser reads slowly. Reload the page to see the current state.`;
  });
  addEventListener("pagehide", () => source.close());
})();
