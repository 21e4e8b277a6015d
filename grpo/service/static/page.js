// What makes the page live: parts are asked for again and put in place, keys, and the few buttons that change something.
"use strict";

const notice = document.getElementById("notice");
const words = document.body.dataset;

function tell(lines) {
  notice.textContent = lines.join(" · ");
  notice.hidden = lines.length === 0;
}

// The same page again; only parts that differ are put in the place of the old ones.
let seen = null;
async function refresh() {
  const headers = seen ? { "if-none-match": seen } : {};
  const answer = await fetch(location.href, { headers, cache: "no-store" });
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(String(answer.status));
  seen = answer.headers.get("etag");
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!other || other.isEqualNode(part)) continue;
    const here = part.contains(document.activeElement) && document.activeElement.id;
    const row = part.querySelector(".here a")?.getAttribute("href");
    const log = part.querySelector("[data-end]");
    const atEnd = log && log.scrollTop + log.clientHeight >= log.scrollHeight - 30;
    part.replaceWith(other);
    if (here) document.getElementById(here)?.focus();
    if (row) other.querySelector(`a[href="${CSS.escape(row)}"]`)?.closest("[data-row]")?.classList.add("here");
    if (atEnd) toEnd(other);
    filter();
  }
}

function toEnd(where) {
  const log = where.querySelector("[data-end]");
  if (log) log.scrollTop = log.scrollHeight;
}

async function live() {
  for (;;) {
    const part = document.querySelector("[data-every]");
    const seconds = part ? Number(part.dataset.every) : 15;
    await new Promise((done) => setTimeout(done, seconds * 1000));
    if (document.hidden || !document.querySelector("[data-live]")) continue;
    try {
      await refresh();
      if (notice.dataset.lost) { delete notice.dataset.lost; tell([]); }
    } catch (error) {
      notice.dataset.lost = "1";
      tell([words.lost]);
    }
  }
}

async function send(address, body) {
  let answer;
  try {
    answer = await fetch(address, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    return { problems: [words.failed] };
  }
  try {
    return await answer.json();
  } catch (error) {
    return { problems: [`${words.failed} (${answer.status})`] };
  }
}

async function hold(button, work) {
  const said = button.textContent;
  button.disabled = true;
  if (button.dataset.busy) button.textContent = button.dataset.busy;
  try { await work(); } finally { button.disabled = false; button.textContent = said; }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.help !== undefined) document.getElementById("help").showModal();
  if (button.dataset.post) {
    if (button.dataset.confirm !== undefined && !confirm(words.sure)) return;
    hold(button, async () => {
      const answer = await send(button.dataset.post);
      tell(answer.problems || []);
      seen = null;
      await refresh().catch(() => {});
    });
  }
  if (button.dataset.submit) {
    hold(button, async () => {
      const answer = await send("/v1/runs", JSON.parse(button.dataset.submit));
      if (answer.problems) tell(answer.problems);
      else location.assign(`/runs/${encodeURIComponent(answer.runs[0].id)}`);
    });
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.form) return;
  event.preventDefault();
  const given = Object.fromEntries(new FormData(form));
  const body = { profile: given.profile, priority: Number(given.priority) || 0 };
  if (given.yaml.trim()) body.yaml = given.yaml; else body.config = given.config;
  body.set = given.set.split("\n").map((line) => line.trim()).filter(Boolean);
  const seeds = given.seeds.split(/[\s,;]+/).filter(Boolean);
  if (seeds.length) body.seeds = seeds.map(Number);
  if (given.name.trim()) body.name = given.name.trim();
  if (given.after) body.after = given.after;
  const problems = document.getElementById("problems");
  problems.replaceChildren();
  hold(form.querySelector("button"), async () => {
    const answer = await send(form.dataset.form, body);
    if (!answer.problems) {
      location.assign(answer.runs.length > 1 ? "/" : `/runs/${encodeURIComponent(answer.runs[0].id)}`);
      return;
    }
    for (const line of answer.problems) {
      const shown = document.createElement("p");
      shown.className = "problem";
      shown.textContent = line;
      problems.append(shown);
    }
    problems.scrollIntoView({ block: "nearest" });
  });
});

// A choice in a list of filters, or of a step, is meant at once.
document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (event.target.name === "goto") location.assign(form.dataset.goto + encodeURIComponent(event.target.value) + location.search.replace(/([?&])(group|page|first)=[^&]*/g, "$1"));
  else if (event.target.matches(".filters select") && !event.target.closest("label")) form.requestSubmit();
});

function filter() {
  const field = document.querySelector("[data-filter]");
  if (!field) return;
  const wanted = field.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  for (const row of document.querySelectorAll("[data-words]")) {
    const has = row.dataset.words.toLocaleLowerCase();
    row.hidden = !wanted.every((word) => has.includes(word));
  }
}
document.querySelector("[data-filter]")?.addEventListener("input", filter);

// A group is put in the place of the one that is looked at, without a new page; the address goes along.
async function open(link, push) {
  const list = document.querySelector(".split .list");
  const detail = document.getElementById("detail");
  if (!list || !detail) { location.assign(link.href); return; }
  const address = link.href;
  for (const other of list.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  link.scrollIntoView({ block: "nearest" });
  open.wanted = address;
  const answer = await fetch(address).catch(() => null);
  if (open.wanted !== address) return;
  if (!answer || !answer.ok) { location.assign(address); return; }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (open.wanted !== address) return;
  detail.replaceWith(fresh.getElementById("detail"));
  document.querySelector(".split").classList.add("chosen");
  if (push) history.pushState(null, "", address);
  window.scrollTo({ top: Math.min(window.scrollY, document.querySelector(".split").offsetTop - 70) });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest(".split .list li a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  open(link, true);
});
addEventListener("popstate", () => location.reload());

function step(selector, by, current) {
  const rows = [...document.querySelectorAll(selector)].filter((row) => !row.hidden);
  if (!rows.length) return null;
  const place = rows.findIndex(current);
  return rows[place < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, place + by))];
}

function walk(by) {
  const group = step(".split .list a[data-row]", by, (row) => row.hasAttribute("aria-current"));
  if (group) { group.focus({ preventScroll: true }); open(group, true); return; }
  const row = step("tr[data-row]", by, (each) => each.classList.contains("here"));
  if (!row) return;
  document.querySelectorAll("tr.here").forEach((each) => each.classList.remove("here"));
  row.classList.add("here");
  row.querySelector("a").focus();
  row.scrollIntoView({ block: "nearest" });
}

function walkAnswers(by) {
  const answer = step(".answers .answer", by, (each) => each.classList.contains("here"));
  if (!answer) return;
  document.querySelectorAll(".answer.here").forEach((each) => each.classList.remove("here"));
  answer.classList.add("here");
  answer.focus({ preventScroll: true });
  answer.scrollIntoView({ block: "start" });
  history.replaceState(null, "", answer.querySelector(".place").href);
}

const keys = {
  j: () => walk(1),
  k: () => walk(-1),
  n: () => document.querySelector('[data-key="n"]')?.click(),
  p: () => document.querySelector('[data-key="p"]')?.click(),
  "]": () => walkAnswers(1),
  "[": () => walkAnswers(-1),
  "/": () => document.querySelector("[data-search], [data-filter]")?.focus(),
  u: () => (document.querySelector(".split.chosen [data-up2]") || document.querySelector("[data-up]"))?.click(),
  "?": () => document.getElementById("help").showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, dialog")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = keys[event.key];
  if (act) { event.preventDefault(); act(); }
});

document.querySelector(".list [aria-current]")?.scrollIntoView({ block: "nearest" });
document.querySelectorAll("[data-end]").forEach((log) => toEnd(log.parentElement));
live();
