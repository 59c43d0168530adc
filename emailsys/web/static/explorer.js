// Explorer of the API: lists the operations of the OpenAPI document, and sends requests with a token that stays here.
"use strict";
(async () => {
  const MOST = 20000, place = document.getElementById("operations"), about = document.getElementById("about");
  const token = document.getElementById("token");
  document.getElementById("token-form").addEventListener("submit", (event) => event.preventDefault());
  const make = (name, words = "", more = {}) => { const one = document.createElement(name); one.textContent = words; Object.assign(one, more); return one; };
  const example = (schema) => {
    const kind = Array.isArray(schema.type) ? schema.type[0] : schema.type;
    if (schema.enum) return schema.enum[0];
    if (kind === "object") return Object.fromEntries((schema.required || []).map((name) => [name, example(schema.properties[name])]));
    if (kind === "array") return schema.minItems ? [example(schema.items)] : [];
    if (kind === "boolean") return false;
    if (kind === "integer" || kind === "number") return schema.minimum || 0;
    return schema.format === "email" ? "bob@example.org" : schema.format === "hostname" ? "example.org" : "";
  };
  const answer = await fetch(place.dataset.document), spec = await answer.json(), base = spec.servers[0].url;
  // The descriptions are Markdown; of that they use code only.
  const described = (one, words) => { one.append(...words.split("`").map((piece, at) => at % 2 ? make("code", piece) : piece)); return one; };
  about.replaceChildren();
  described(about, spec.info.description);
  for (const tag of spec.tags) {
    place.append(make("h2", tag.name), described(make("p", "", {className: "soft"}), tag.description));
    for (const [path, methods] of Object.entries(spec.paths)) for (const [method, one] of Object.entries(methods)) {
      if (!one.tags.includes(tag.name)) continue;
      const box = make("details", "", {className: "operation", id: one.operationId}), head = make("summary");
      head.append(make("span", method.toUpperCase(), {className: "method"}), make("code", path), make("span", one.summary));
      const form = make("form");
      form.append(described(make("p", "", {className: "soft"}), one.description));
      const fields = one.parameters.map((parameter) => {
        const id = `${one.operationId}-${parameter.name}`, field = make("input", "", {id, required: parameter.required});
        field.placeholder = parameter.schema.default === undefined ? "" : String(parameter.schema.default);
        form.append(described(make("label", "", {htmlFor: id}), `${parameter.name}${parameter.required ? " (required)" : ""}: ${parameter.description}`), field);
        return {parameter, field};
      });
      let body = null;
      const content = one.requestBody && one.requestBody.content["application/json"];
      if (content) {
        const id = `${one.operationId}-body`;
        body = make("textarea", "", {id, spellcheck: false, value: JSON.stringify(example(content.schema), null, 2)});
        form.append(make("label", "Body (JSON)", {htmlFor: id}), body);
      }
      const send = make("button", method === "get" ? "Try" : "Send", {className: method === "delete" ? "danger" : "primary"});
      const shown = make("pre", "", {className: "answer", hidden: true, tabIndex: 0});
      shown.setAttribute("role", "status");
      form.append(make("p", "", {className: "row"}), shown);
      form.querySelector(".row").append(send);
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        let address = path;
        const query = new URLSearchParams();
        for (const {parameter, field} of fields) {
          if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(field.value));
          else if (field.value) query.append(parameter.name, field.value);
        }
        const headers = {Authorization: `Bearer ${token.value.trim()}`};
        if (body) headers["Content-Type"] = "application/json";
        const stopper = new AbortController();
        shown.hidden = false;
        shown.textContent = "Waiting for the answer…";
        try {
          const got = await fetch(`${base}${address}${query.size ? "?" + query : ""}`, {method: method.toUpperCase(), headers, body: body ? body.value : undefined, credentials: "omit", signal: stopper.signal});
          const kind = got.headers.get("Content-Type") || "";
          let words = `${got.status} ${got.statusText}\n`;
          if (kind.startsWith("text/event-stream")) {
            const reader = got.body.pipeThrough(new TextDecoderStream()).getReader();
            for (let events = 0; events < 3; events += 1) { const piece = await reader.read(); if (piece.done) break; words += piece.value; shown.textContent = words; }
            stopper.abort();
          } else if (kind.includes("json")) words += JSON.stringify(await got.json(), null, 2);
          else words += await got.text();
          shown.textContent = words.length > MOST ? words.slice(0, MOST) + "\n… cut" : words;
        } catch (error) {
          shown.textContent = `No answer: ${error.message}`;
        }
      });
      box.append(head, form);
      place.append(box);
    }
  }
})();
