
"use strict";
// Sends a picture to the server that sent this page, and shows the answer. Whatever comes from outside is set as text.
const $ = id => document.getElementById(id);
const made = (name, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
};
const percent = share => `${(100 * share).toFixed(1)} %`;
const EDGE = $("picture").width, SHOWN = 5;
// Dark to light by what speaks for the label: told apart without seeing colours, too
const HEAT = [[0, 0, 12, 165], [52, 14, 84, 158], [200, 56, 72, 110], [250, 150, 30, 70], [252, 240, 140, 40]];
let here = null;
let release = null, picture = null, answer = null, chosen = 0, asked = 0, running = null, film = null;

// ------------------------------------------------------------------ asking
async function fetched(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer; is graft serve still running?");
  }
  const said = await response.json().catch(() => ({ error: `the server answered ${response.status}, and nothing that can be read` }));
  if (!response.ok) throw new Error(said.error);
  return said;
}

async function ask(file) {
  const turn = ++asked;
  running?.abort();
  running = new AbortController();
  picture?.close();
  [picture, answer, chosen] = [null, null, 0];
  $("here").hidden = true;
  show();
  $("verdict").textContent = "Looking at it …";
  try {
    if (release && file.size > release.max_bytes) {
      throw new Error(`picture has ${file.size} bytes; at most ${release.max_bytes} are taken; make it smaller`);
    }
    const said = await fetched(`/predict?map=1&top=${SHOWN}`, { method: "POST", body: file, signal: running.signal });
    const bitmap = await createImageBitmap(file).catch(() => null);
    if (turn === asked) [answer, picture] = [said, bitmap];
    else bitmap?.close();
  } catch (error) {
    if (turn === asked && error.name !== "AbortError") refuse(error.message);
    return;
  }
  if (turn !== asked) return;
  show();
  if (release?.in_browser && picture) compare(file, turn);
  $("verdict").scrollIntoView({ block: "nearest" });
}

// The same file, run by this browser: how far its probabilities are from the server's
async function compare(file, turn) {
  const told = text => { if (turn === asked) $("here").textContent = text; };
  $("here").hidden = false;
  told("This browser is asked, too …");
  try {
    here ??= import("/browser.js").then(module => module.load(release.size_px, release.output_steps));
    const run = await here, plain = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const started = performance.now(), found = await run(plain), taken = performance.now() - started;
    plain.close();
    if (turn !== asked) return;
    const best = Math.max(...found), label = release.classes[found.indexOf(best)];
    const apart = answer.answers.map(one => Math.abs(one.probability - found[release.classes.indexOf(one.label)]));
    told(`This browser ran the file itself: ${label}, ${percent(best)}, in ${taken.toFixed(0)} ms. Largest difference ` +
      `from the server: ${Math.max(...apart).toExponential(1)}.`);
  } catch (error) {
    told(`This browser cannot run the file: ${error.message}`);
  }
}

function refuse(text) {
  show();
  $("problem").textContent = text;
  $("problem").hidden = false;
  $("problem").scrollIntoView({ block: "nearest" });
}

// ----------------------------------------------------------------- showing
function show() {
  $("problem").hidden = true;
  const best = answer?.answers[0], atLeast = Number($("threshold").value), sure = best && best.probability >= atLeast;
  $("verdict").textContent = best ? (sure ? best.label : `Not sure: perhaps ${best.label}`) : "";
  $("verdict").className = best && !sure ? "unsure" : "";
  $("answers").replaceChildren(...(answer?.answers ?? []).map(row));
  draw();
}

function row({ label, probability }, index) {
  const bar = made("span", { className: "bar" });
  bar.style.width = `${100 * probability}%`;
  const button = made("button", { type: "button", title: "Show what speaks for it" },
    made("span", { className: "label" }, label), made("span", {}, percent(probability)), made("span", { className: "track" }, bar));
  button.setAttribute("aria-pressed", index === chosen);
  button.addEventListener("click", () => {
    chosen = index;
    [...$("answers").querySelectorAll("button")].forEach((one, at) => one.setAttribute("aria-pressed", at === index));
    draw();
  });
  return made("li", {}, button);
}

function draw() {
  const canvas = $("picture"), pen = canvas.getContext("2d"), lit = answer && $("heat").checked && answer.answers[chosen];
  canvas.hidden = !picture;
  $("empty").hidden = Boolean(picture) || !$("view").hidden;
  if (!picture) return;
  const edge = Math.min(picture.width, picture.height);
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "white";
  pen.fillRect(0, 0, EDGE, EDGE);
  pen.drawImage(picture, (picture.width - edge) / 2, (picture.height - edge) / 2, edge, edge, 0, 0, EDGE, EDGE);
  canvas.setAttribute("aria-label", lit ? `The picture. For ${lit.label} speaks ${place(lit.map)}.` : "The picture");
  if (lit) pen.drawImage(heat(lit.map), 0, 0, EDGE, EDGE);
}

function heat(map) {
  const small = made("canvas", { width: map[0].length, height: map.length }), pen = small.getContext("2d");
  const pixels = pen.createImageData(small.width, small.height);
  map.flat().forEach((value, at) => pixels.data.set(colour(value), 4 * at));
  pen.putImageData(pixels, 0, 0);
  return small;
}

function colour(value) {
  const at = value * (HEAT.length - 1), low = Math.min(Math.floor(at), HEAT.length - 2);
  return HEAT[low].map((from, part) => from + (at - low) * (HEAT[low + 1][part] - from));
}

function place(map) {
  const values = map.flat(), at = values.indexOf(Math.max(...values)), size = map.length;
  if (!values[at]) return "no place in it";
  const third = value => Math.floor(3 * (value + 0.5) / size);
  const words = [["top", "middle", "bottom"][third(Math.floor(at / size))], ["left", "centre", "right"][third(at % size)]];
  return `above all the ${words.join(" ")}`;
}

// --------------------------------------------------------------- thresholds
function threshold() {
  const at = Number($("threshold").value);
  $("at-least").textContent = `${Math.round(100 * at)} %`;
  const known = release?.thresholds.filter(one => one.confidence <= at + 0.005).sort((a, b) => a.confidence - b.confidence).pop();
  $("meaning").textContent = known
    ? `Measured from ${percent(known.confidence)} on: ${percent(known.coverage)} of the test pictures were answered, and ` +
      `${percent(known.accuracy)} of those answers were right.`
    : "";
}

function measured(one) {
  const button = made("button", { type: "button" }, `${Math.round(100 * one.wanted)} % right: ${percent(one.confidence)}`);
  button.addEventListener("click", () => set(one.confidence));
  return button;
}

function set(at) {
  $("threshold").value = Math.min(1, Math.ceil(100 * at) / 100);
  threshold();
  show();
}

// ------------------------------------------------------------------- camera
async function start() {
  try {
    film = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    refuse(error.name === "NotFoundError" ? "There is no camera here; choose a picture." : "The camera may not be used; allow it in the browser, or choose a picture.");
    return;
  }
  $("view").srcObject = film;
  filming(true);
  await $("view").play();
  $("shoot").focus();
}

function filming(on) {
  $("view").hidden = $("shooting").hidden = !on;
  $("ways").hidden = on;
  $("empty").hidden = on || Boolean(picture);
  $("picture").hidden = on || !picture;
}

function stop() {
  film?.getTracks().forEach(track => track.stop());
  film = $("view").srcObject = null;
  filming(false);
  $("camera").focus();
}

function shoot() {
  const view = $("view"), canvas = made("canvas", { width: view.videoWidth, height: view.videoHeight });
  canvas.getContext("2d").drawImage(view, 0, 0);
  stop();
  canvas.toBlob(ask, "image/png");
}

// --------------------------------------------------------------------- ways
const first = files => [...files].find(Boolean);
$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  const file = first($("file").files);
  if (file) ask(file);
  $("file").value = "";
});
document.addEventListener("paste", event => {
  const file = first(event.clipboardData.files);
  if (file) ask(file);
});
["dragover", "dragleave", "drop"].forEach(name => document.addEventListener(name, event => {
  event.preventDefault();
  $("drop").classList.toggle("over", name === "dragover");
  const file = name === "drop" && first(event.dataTransfer.files);
  if (file) ask(file);
}));
$("heat").addEventListener("change", draw);
$("threshold").addEventListener("input", () => { threshold(); show(); });
$("camera").addEventListener("click", start);
$("shoot").addEventListener("click", shoot);
$("stop").addEventListener("click", stop);
$("camera").hidden = !navigator.mediaDevices?.getUserMedia;
threshold();
fetched("/model").then(said => {
  release = said;
  document.title = $("name").textContent = said.model;
  $("about").textContent = `Knows ${said.classes.length} classes: ${said.classes.slice(0, 30).join(", ")}${said.classes.length > 30 ? " …" : ""}. Runs ${said.file} by LiteRT on this server; no picture leaves it.`;
  $("warning").textContent = said.warning;
  $("warning").hidden = !said.warning;
  const seen = said.thresholds.filter(one => one.set === "seen");
  release.thresholds = seen;
  $("measured").replaceChildren(...seen.map(measured));
  if (seen.length) set(seen[0].confidence);
}).catch(error => refuse(error.message));
