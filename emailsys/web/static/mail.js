// Conveniences of the mail pages. Every page works without this script.

// Times in the zone and the language of the reader.
const now = new Date();
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) continue;
  const isToday = at.toDateString() === now.toDateString();
  const day = { day: "numeric", month: "short", ...(at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" }) };
  const clock = { hour: "2-digit", minute: "2-digit" };
  time.title = at.toLocaleString();
  time.textContent = at.toLocaleString(undefined, "short" in time.dataset ? (isToday ? clock : day) : { ...day, year: "numeric", ...clock });
}

// One box marks all messages of a page.
const all = document.getElementById("all");
if (all) {
  const boxes = () => document.querySelectorAll('.mails input[name="uid"]');
  all.closest("label").hidden = false;
  all.addEventListener("change", () => boxes().forEach((box) => { box.checked = all.checked; }));
}

// Files can be dropped anywhere on the form.
const compose = document.getElementById("compose");
if (compose) {
  const input = document.getElementById("files");
  const has = (event) => [...event.dataTransfer.types].includes("Files");
  for (const kind of ["dragenter", "dragover"]) {
    compose.addEventListener(kind, (event) => {
      if (!has(event)) return;
      event.preventDefault();
      compose.classList.add("dropping");
    });
  }
  compose.addEventListener("dragleave", (event) => {
    if (!compose.contains(event.relatedTarget)) compose.classList.remove("dropping");
  });
  compose.addEventListener("drop", (event) => {
    if (!has(event)) return;
    event.preventDefault();
    compose.classList.remove("dropping");
    const files = new DataTransfer();
    for (const file of [...input.files, ...event.dataTransfer.files]) files.items.add(file);
    input.files = files.files;
  });
  // One click sends once.
  compose.addEventListener("submit", () => { setTimeout(() => { compose.querySelector(".primary").disabled = true; }); });
}

// Escape closes the menu of accounts.
for (const menu of document.querySelectorAll("details.menu")) {
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); }
  });
}
