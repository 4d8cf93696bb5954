"use strict";
// What is found is made of text nodes alone: descriptions are whatever their authors wrote.
const index = JSON.parse(document.getElementById("index").textContent);
const fields = ["words", "takes", "gives", "store"].map((name) => document.getElementById(name)).filter(Boolean);
const [list, count, more] = ["found", "count", "more"].map((name) => document.getElementById(name));
const PAGE = 50;
const VALUES = new Set(["String", "Integer", "Float", "Boolean", "JsonObject", "JsonArray", "PipelineTaskFinalStatus"]);
const plain = (text) => text.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();

const typesOf = new Map(); // what an artifact is, to the types that kfp takes it for
for (const each of index.components) {
  each.key = plain(each.name);
  const ports = [...each.takes, ...each.gives];
  each.hay = plain([each.name, each.text, ...ports.map(([name, label]) => name + " " + label)].join(" "));
  for (const [, label, type] of ports) {
    if (!typesOf.has(plain(label))) typesOf.set(plain(label), new Set());
    typesOf.get(plain(label)).add(type);
  }
}

// 2: an input or output is what is asked for; 1: it may be, as it says no more than a general type; 0: none is.
function fit(ports, asked) {
  if (!asked) return 2;
  const types = typesOf.get(asked);
  let best = 0;
  for (const [, label, type] of ports) {
    const own = plain(label);
    if (types ? own === asked : own.includes(asked)) return 2;
    const general = label === type && !VALUES.has(type);
    if (general && types && [...types].some((each) => mayBe(each, type))) best = 1;
  }
  return best;
}
// As kfp has it: an Artifact goes with every type of artifact.
const mayBe = (one, other) => !VALUES.has(one) && (one === other || one === "Artifact" || other === "Artifact");

function search(asked) {
  const words = plain(asked.words).split(" ").filter(Boolean);
  const [key, taken, given] = [words.join(" "), plain(asked.takes), plain(asked.gives)];
  const found = [];
  for (const each of index.components) {
    if (asked.store && index.stores[each.store] !== asked.store) continue;
    if (!words.every((word) => each.hay.includes(word))) continue;
    const [takes, gives] = [fit(each.takes, taken), fit(each.gives, given)];
    if (!takes || !gives) continue;
    const named = !key || each.key.startsWith(key) ? 2 : words.every((word) => each.key.includes(word)) ? 1 : 0;
    found.push({ each, sure: takes + gives, named });
  }
  // The index is in the order of names, and sorting keeps what is equal as it was.
  return found.sort((a, b) => b.sure - a.sure || b.named - a.named);
}

function element(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function row({ each, sure }) {
  const item = document.createElement("li");
  const link = element("a", each.name);
  link.href = each.page;
  item.append(link);
  if (each.version) item.append(" ", element("span", each.version, "soft"));
  if (index.stores.length > 1) item.append(" ", element("span", index.stores[each.store], "badge quiet"));
  if (each.state) item.append(" ", element("span", each.state, "badge " + (each.state === "yanked" ? "bad" : "warn")));
  if (sure < 4) item.append(" ", element("span", "may fit: it takes or gives any", "badge quiet"));
  if (each.text) item.append(element("p", each.text));
  const artifacts = (ports) => [...new Set(ports.filter(([, , type]) => !VALUES.has(type)).map(([, label]) => label))];
  const told = [["takes", artifacts(each.takes)], ["gives", artifacts(each.gives)]].filter(([, labels]) => labels.length);
  if (told.length) item.append(element("p", told.map(([verb, labels]) => verb + " " + labels.join(", ")).join("; "), "soft"));
  return item;
}

let results = [];
let shown = 0;
function extend() {
  const part = results.slice(shown, shown + PAGE);
  list.append(...part.map(row));
  shown += part.length;
  more.hidden = shown >= results.length;
}

function show() {
  const asked = { words: "", takes: "", gives: "", store: "" };
  for (const field of fields) asked[field.id] = field.value;
  results = search(asked);
  shown = 0;
  list.replaceChildren();
  extend();
  const all = index.components.length;
  count.textContent = results.length === all ? `All ${all.toLocaleString("en")}` : `${results.length.toLocaleString("en")} of ${all.toLocaleString("en")}`;
}

// What is looked for stands in the address, to be linked to and to come back to. Browsers limit how often it may change.
function remember() {
  const told = fields.filter((field) => field.value).map((field) => field.id + "=" + encodeURIComponent(field.value));
  history.replaceState(null, "", "#" + told.join("&"));
}

function read() {
  const told = new Map(location.hash.slice(1).split("&").map((part) => part.split("=")));
  for (const field of fields) {
    try {
      field.value = decodeURIComponent(told.get(field.id) || "");
    } catch (error) {
      field.value = "";
    }
  }
  show();
}

const form = document.getElementById("search");
form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", show);
form.addEventListener("change", remember);
more.addEventListener("click", () => {
  const next = shown;
  extend();
  list.children[next].querySelector("a").focus();
});
addEventListener("hashchange", read);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const at = document.activeElement;
  const typing = at.matches("input, select");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    fields[0].focus();
  } else if (event.key === "Escape") {
    for (const field of fields) field.value = "";
    show();
    remember();
    fields[0].focus();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const links = [...list.querySelectorAll("a")];
    const place = links.indexOf(at);
    if (place < 0 && !(at === fields[0] && event.key === "ArrowDown")) return;
    event.preventDefault();
    (links[place + (event.key === "ArrowDown" ? 1 : -1)] || (event.key === "ArrowUp" ? fields[0] : at)).focus();
  }
});
read();
