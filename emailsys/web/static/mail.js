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

// In a list, the arrows, Home and End go from message to message, and Delete deletes.
for (const list of document.querySelectorAll(".mails")) {
  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const row = event.target.closest(".mail"), rows = [...list.children], at = rows.indexOf(row);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined && rows[to]) {
      event.preventDefault();
      rows[to].querySelector(event.target.localName).focus();
    } else if (event.key === "Delete" && list.closest("form")) {
      row.querySelector("input").checked = true;
      list.closest("form").requestSubmit();
    }
  });
}

// Files can be dropped anywhere on the form. They are listed, and each can be taken away again.
const compose = document.getElementById("compose");
if (compose) {
  const input = document.getElementById("files");
  const chosen = document.getElementById("chosen"), tooLarge = document.getElementById("too-large");
  const size = (octets) => octets < 1e3 ? `${octets} B` : octets < 1e6 ? `${Math.round(octets / 1e3)} kB` : `${(octets / 1e6).toFixed(1)} MB`;
  let kept = [];
  const choose = (files) => {
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    input.files = transfer.files;
    kept = [...files];
    chosen.replaceChildren(...kept.map((file) => {
      const row = document.createElement("li"), name = document.createElement("bdi"), remove = document.createElement("button");
      name.textContent = `${file.name} (${size(file.size)})`;
      remove.type = "button";
      remove.textContent = "Remove";
      remove.setAttribute("aria-label", `Remove ${file.name}`);
      remove.addEventListener("click", () => { choose(kept.filter((one) => one !== file)); input.focus(); });
      row.append(name, remove);
      return row;
    }));
    // In base64, 57 octets become a line of 78.
    const sent = kept.reduce((all, file) => all + file.size, 0) * 78 / 57, most = Number(input.dataset.most);
    const problem = sent > most ? `As they are sent, these files have ${size(sent)}: at most ${size(most)} are allowed.` : "";
    input.setCustomValidity(problem);
    tooLarge.textContent = problem;
    tooLarge.hidden = !problem;
  };
  const isKept = (file) => kept.some((one) => one.name === file.name && one.size === file.size && one.lastModified === file.lastModified);
  const add = (files) => choose([...kept, ...[...files].filter((file) => !isKept(file))]);
  input.addEventListener("change", () => add(input.files));
  // Going back to this page, a browser may have kept the files.
  if (input.files.length) add(input.files);
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
    add(event.dataTransfer.files);
  });
  compose.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) compose.requestSubmit();
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
