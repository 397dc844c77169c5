// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Draws /status. What comes from there becomes text, never markup. Times are those of the daemon's clock.
"use strict";

const patience = 10000; // ms until no answer is an answer
const most = 500; // rows; the filter finds the others
const $ = (id) => document.getElementById(id);

let report; // the last one
let arrived = 0; // when it came, by a clock that nobody sets
let silent = ""; // why there is no newer one; empty: there is
let paused = false;
let timer;
const rows = new Map(); // what is drawn of each token, by name
const words = new Map(); // the state of each token, by name

// make returns an element with a class and children; a text is a text.
function make(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// set changes a text only when it is another one: nothing is read out for nothing.
function set(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

function show(e, visible) {
  if (e.hidden === visible) e.hidden = !visible;
}

// pace is the time between two reports: large ones are rare.
const pace = () => Math.max(3000, 2 * (report?.tokens.length || 0));
const at = (text) => (text ? Date.parse(text) : NaN);
const now = () => at(report.time) + (silent || paused ? 0 : performance.now() - arrived);
// Sweden writes 2026-11-23 18:04:05
const whole = (ms) => new Date(ms).toLocaleString("sv-SE");
const clock = (ms) => whole(ms).slice(11);

// span says a time in at most two units.
function span(ms) {
  const s = Math.round(Math.abs(ms) / 1000);
  if (s < 60) return `${s} s`;
  const [size, big, small] = s < 3600 ? [60, "min", "s"] : s < 86400 ? [3600, "h", "min"] : [86400, "d", "h"];
  const rest = Math.floor((s % size) / { s: 1, min: 60, h: 3600 }[small]);
  return `${Math.floor(s / size)} ${big}${rest ? ` ${rest} ${small}` : ""}`;
}

function when(ms, t) {
  if (Math.abs(ms - t) < 1000) return "now";
  return ms > t ? `in ${span(ms - t)}` : `${span(t - ms)} ago`;
}

// stateOf returns how urgent a token is (0 most) and the word for it.
function stateOf(t, time) {
  if (!t.valid && !t.state && !t.lastError) return [2, "starting"];
  if (t.expiresAt && at(t.expiresAt) <= time) return [0, "expired"];
  if (!t.valid) return [0, t.tokenDigest ? "not valid" : "no token"];
  return t.consecutiveFailures ? [1, "failing"] : [3, "fresh"];
}

async function ask() {
  clearTimeout(timer);
  try {
    const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(patience) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const body = await answer.json();
    if (!Array.isArray(body?.tokens) || !body.process || !body.configuration || !body.logPolicy) throw new Error("this is not a report");
    if (paused) return;
    if (silent) set($("announce"), "renewd answers again.");
    [report, arrived, silent] = [body, performance.now(), ""];
  } catch (e) {
    const gone = e instanceof TypeError || e.name === "TimeoutError";
    silent ||= gone ? `No answer since ${clock(Date.now())}.` : `renewd answers, but not with a report: ${e.message}.`;
  }
  if (!paused && !document.hidden) timer = setTimeout(ask, pace());
  draw();
}

function draw() {
  document.body.classList.toggle("stale", Boolean(silent));
  show($("contact"), Boolean(silent));
  if (silent) {
    set($("announce"), silent);
    set($("contact"), `${silent} ${report ? "The last report is shown, greyed." : "There is no report yet."} Asking again every ${Math.round(pace() / 1000)} s.`);
  }
  if (!report) {
    if (silent) set($("verdict"), "No report");
    return;
  }
  const time = now();
  set($("process"), `${report.process.version} · process ${report.process.pid}` +
    (report.process.startedAt ? ` · up ${span(time - at(report.process.startedAt))}` : ""));
  set($("clock"), `Report of ${whole(at(report.time))}. By the daemon's clock, in your time zone.`);
  drawTokens(time);
  drawProblems();
  drawFile($("configuration"), report.configuration, "by flags or environment", time);
  drawFile($("policy"), report.logPolicy, "none", time);
  drawWatches();
  show($("about"), true);
}

function drawTokens(time) {
  const all = report.tokens.map((token) => {
    const [urgency, word] = stateOf(token, time);
    return { token, urgency, word, expires: at(token.expiresAt) || Infinity };
  });
  // Those in trouble first, the sooner they expire. The fresh ones keep their places.
  const rank = (e) => (e.urgency < 3 ? e.expires : 0);
  all.sort((a, b) => a.urgency - b.urgency || rank(a) - rank(b) || (a.token.name < b.token.name ? -1 : 1));
  announce(all);
  drawVerdict(all);

  const asked = $("filter").value.toLowerCase().split(/\s+/);
  const found = all.filter((e) => asked.every((part) => textOf(e).includes(part)));
  const shown = found.slice(0, most);
  drawList(shown, time);
  show($("filter"), all.length > 1);
  show($("legend"), shown.length > 0);
  show($("empty"), found.length === 0);
  set($("empty"), all.length ? "No token matches the filter." : "The configuration has no tokens. Add one: it is obeyed as soon as the file is saved.");
  let count = all.length > 1 ? "those in trouble first" : "";
  if (found.length < all.length) count = `${found.length} of ${all.length} match`;
  if (shown.length < found.length) count += `; the first ${most} are shown`;
  set($("count"), count);
}

function textOf({ token, word }) {
  return [token.name, word, token.source, token.lastErrorClass, ...(token.files || []).map((f) => f.path)].join(" ").toLowerCase();
}

function announce(all) {
  const changes = all.filter((e) => words.has(e.token.name) && words.get(e.token.name) !== e.word);
  words.clear();
  for (const e of all) words.set(e.token.name, e.word);
  if (changes.length > 5) set($("announce"), `${changes.length} tokens changed.`);
  else if (changes.length) set($("announce"), changes.map((e) => `${e.token.name}: ${e.word}`).join(", "));
}

function drawList(shown, time) {
  const focused = document.activeElement;
  const stay = new Set(shown.map((e) => e.token.name));
  for (const [name, row] of rows) {
    if (stay.has(name)) continue;
    row.item.remove();
    rows.delete(name);
  }
  let place = $("list").firstElementChild;
  for (const { token, urgency, word } of shown) {
    let row = rows.get(token.name);
    if (!row) rows.set(token.name, (row = newRow(token.name)));
    drawRow(row, token, urgency, word, time);
    if (row.item === place) place = place.nextElementSibling;
    else $("list").insertBefore(row.item, place);
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function drawVerdict(sorted) {
  const count = (urgency) => sorted.filter((e) => e.urgency === urgency).length;
  const [bad, failing, starting, fresh] = [0, 1, 2, 3].map(count);
  const all = sorted.length;
  const some = (n) => (n === all ? (n === 1 ? "The token" : `All ${n} tokens`) : `${n} of ${all} tokens`) + (n === 1 ? " is" : " are");
  let text = `${some(fresh)} fresh.`;
  if (!all) text = "No tokens.";
  else if (bad) text = `${some(bad)} not valid.${failing ? ` ${failing} more cannot be refreshed.` : ""}`;
  else if (failing) text = `${some(failing)} failing to refresh. Readers still have valid tokens.`;
  else if (starting) text = `${some(starting)} being obtained.`;
  set($("verdict"), silent ? `Last report: ${text}` : text);
  $("verdict").dataset.urgency = bad ? 0 : failing ? 1 : starting || !all ? 2 : 3;
  document.title = `${bad + failing ? `(${bad + failing}) ` : ""}renewd`;
}

// newRow makes the elements of a token; they are changed in place from then on.
function newRow(name) {
  const part = (className) => make("i", className);
  const row = {
    badge: make("span", "badge"), source: make("span", "muted source"), track: make("div", "track"),
    kept: part("kept"), window: part("window"), lived: part("lived"), next: part("next"), here: part("here"),
    issued: make("span"), attempt: make("span"), expires: make("span"),
    facts: make("p", "facts muted"), files: make("ul", "files"), trouble: make("div", "trouble"),
    error: make("p", "error"), hint: make("p", "hint"), failures: [],
  };
  row.track.setAttribute("role", "img");
  row.track.append(row.kept, row.lived, row.window, row.here, row.next);
  row.trouble.append(row.error, row.hint);
  row.item = make("li", "token",
    make("div", "title", make("h3", "", name), row.badge, row.source), row.track,
    make("p", "times", row.issued, row.attempt, row.expires), row.trouble, row.files, row.facts);
  return row;
}

function drawRow(row, t, urgency, word, time) {
  row.item.dataset.urgency = urgency;
  set(row.badge, word);
  set(row.source, `source: ${t.source}`);
  drawTrack(row, t, time);
  const issued = at(t.issuedAt), next = at(t.nextAttempt), expires = at(t.expiresAt);
  set(row.issued, issued ? `issued ${when(issued, time)}` : "not issued yet");
  set(row.attempt, next ? (next <= time ? "next attempt due" : `next attempt ${when(next, time)}`) : "");
  set(row.expires, expires ? `${expires <= time ? "expired" : "expires"} ${when(expires, time)}` : issued ? "expiry not said" : "");
  show(row.trouble, Boolean(t.lastError));
  if (t.lastError) {
    let times = t.consecutiveFailures > 1 ? `, ${t.consecutiveFailures} times in a row` : "";
    if (times && t.failedAttempts) times += `, the first ${when(at(t.failedAttempts[0]), time)}`;
    set(row.error, `${t.lastErrorClass || "error"}${times}: ${t.lastError}`);
    set(row.hint, t.hint ? `What to do: ${t.hint}` : "");
  }
  const facts = [];
  if (t.guarantee) facts.push(`readers are promised ${span(t.guarantee * 1000)} of life`);
  if (t.lastSuccess) facts.push(`last success ${when(at(t.lastSuccess), time)}`);
  if (t.tokenDigest) facts.push(`digest ${t.tokenDigest}`);
  set(row.facts, facts.join(" · "));
  const files = (t.files || []).map((f) => `${f.path} · ${f.mode} · ${f.format || "directory"}`);
  fill(row.files, files, (text) => [make("li", "", text)]);
}

function drawTrack(row, t, time) {
  const from = at(t.issuedAt), to = at(t.expiresAt) || Math.max(at(t.windowEnd), at(t.nextAttempt) || 0);
  const start = at(t.windowStart), end = at(t.windowEnd), next = at(t.nextAttempt);
  const alive = to > from;
  row.track.classList.toggle("blank", !alive);
  const label = alive ? `Issued ${clock(from)}, refresh window ${clock(start)} to ${clock(end)}${next ? `, next attempt ${clock(next)}` : ""}` +
    `${t.expiresAt ? `, expires ${clock(to)}` : ""}, now ${Math.round(percent(time, from, to))} % of the life.`
    : "No token yet.";
  if (row.track.title !== label) {
    row.track.title = label;
    row.track.setAttribute("aria-label", label);
  }
  drawFailures(row, alive && t.failedAttempts || []);
  if (!alive) return;
  const put = (e, a, b) => {
    e.style.left = `${percent(a, from, to)}%`;
    if (b !== undefined) e.style.width = `${percent(b, from, to) - percent(a, from, to)}%`;
  };
  put(row.lived, from, time);
  put(row.here, time);
  put(row.window, start, end);
  put(row.kept, to - (t.expiresAt ? (t.guarantee || 0) * 1000 : 0), to);
  show(row.next, Boolean(next));
  if (next) put(row.next, next);
  row.failures.forEach((mark, i) => put(mark, at(t.failedAttempts[i])));
}

const percent = (ms, from, to) => Math.min(100, Math.max(0, (100 * (ms - from)) / (to - from)));

// drawFailures makes as many marks as there are failures.
function drawFailures(row, times) {
  while (row.failures.length > times.length) row.failures.pop().remove();
  while (row.failures.length < times.length) {
    const mark = make("i", "fail");
    row.track.append(mark);
    row.failures.push(mark);
  }
}

function drawProblems() {
  const problems = [["Configuration", report.configuration], ["Log policy", report.logPolicy]].filter(([, f]) => f.error);
  show($("problems"), problems.length > 0);
  const drawn = fill($("problem-list"), problems, ([what, f]) => {
    const code = make("pre", "", f.error);
    code.tabIndex = 0; // a wide one is scrolled by keyboard, too
    code.setAttribute("role", "region");
    code.setAttribute("aria-label", `${what}: what is wrong`);
    return [make("li", "", make("p", "", `${what}: what is on disk is not in force; generation ${f.generation} stays.`), code)];
  });
  if (drawn && problems.length) set($("announce"), problems.map(([what]) => `${what}: what is on disk is not in force`).join(", "));
}

// fill draws a list anew if it says something else, and reports whether.
function fill(list, values, elements) {
  const text = JSON.stringify(values);
  if (list.drawn === text) return false;
  list.drawn = text;
  list.replaceChildren(...values.flatMap(elements));
  return true;
}

function drawFile(list, f, without, time) {
  const pairs = [["file", f.path || without]];
  if (f.generation) pairs.push(["generation", `${f.generation}${f.error ? ", not what is on disk" : ""}`]);
  else if (!f.error) pairs.push(["in force", "what is built in"]);
  if (f.lastReload) pairs.push(["since", whole(at(f.lastReload))]);
  if (f.sha256) pairs.push(["SHA-256", `${f.sha256.slice(0, 12)}…`]);
  for (const o of f.overrides || []) pairs.push([`level of ${o.area}`, `${o.level} until ${clock(at(o.until))}, ${when(at(o.until), time)}`]);
  fill(list, pairs, ([term, value]) => [make("dt", "", term), make("dd", "", value)]);
}

function drawWatches() {
  const watches = (report.watches || []).map((w) => {
    const state = w.state === "inotify" ? "by events" : w.state === "degraded" ? "by looking every few seconds" : "not at all: a mount of its own";
    return [w.path, `${state}${w.lastCheck ? ` · checked ${clock(at(w.lastCheck))}` : ""}`, w.error || ""];
  });
  if (!watches.length) watches.push(["All files are watched by events.", "", ""]);
  fill($("watches"), watches, ([path, state, error]) => [
    make("li", "", make("span", "path", path), make("span", "muted", state), make("span", "error", error))]);
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  if (paused) clearTimeout(timer);
  else ask();
  draw();
});
$("filter").addEventListener("input", () => report && drawTokens(now()));
document.addEventListener("visibilitychange", () => document.hidden || paused || ask());
setInterval(() => document.hidden || paused || silent || !report || draw(), 1000);
ask();
