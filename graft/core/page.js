"use strict";
// Sorts and filters tables, enlarges pictures. Without it the page shows the same, and paper always shows everything.
const made = (name, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
};
const say = (element, name, value) => element.setAttribute(name, value);

// "1,200", "−3.2 points" and "57.5% [55.0, 60.1]" start with the number to sort by; "12 kB" and names are texts
const number = text => {
  const found = /^([+−-]?[\d,.]+)%?( points)?( \[.*\])?$/.exec(text);
  return text === "–" ? -Infinity : found ? parseFloat(found[1].replace("−", "-").replace(/,/g, "")) : NaN;
};

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const told = row => column => (row.cells[column].dataset.value ?? row.cells[column].textContent).trim();
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = made("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      say(head, "aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map(row => ({ row, text: told(row)(column) }));
      const numeric = rows.every(({ text }) => !Number.isNaN(number(text)));
      const order = numeric ? (a, b) => number(a.text) - number(b.text) || 0 : (a, b) => a.text.localeCompare(b.text);
      rows.sort((a, b) => up ? order(a, b) : order(b, a));
      body.append(...rows.map(({ row }) => row));
    });
  });
}

function filterable(table) {
  const rows = [...table.tBodies[0].rows], count = made("output");
  const input = made("input", { type: "search", autocomplete: "off", spellcheck: false });
  const label = made("label", {}, "Show only ", input);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLocaleLowerCase();
    rows.forEach(row => { row.hidden = !row.textContent.toLocaleLowerCase().includes(wanted); });
    count.textContent = wanted ? `${rows.filter(row => !row.hidden).length} of ${rows.length}` : "";
  });
  table.before(made("p", { className: "filter" }, label, " ", count));
}

function enlargeable(pictures) {
  let shown = 0;
  const large = made("img"), words = made("p"), close = made("button", { type: "button" }, "Close");
  const step = (text, by) => {
    const button = made("button", { type: "button" }, text);
    button.addEventListener("click", () => show(shown + by));
    return button;
  };
  const dialog = made("dialog", { className: "large" }, large, words, made("div", {}, step("Previous", -1), step("Next", 1), close));
  const show = index => {
    shown = (index + pictures.length) % pictures.length;
    const picture = pictures[shown], caption = picture.closest("figure")?.querySelector("figcaption");
    const { naturalWidth: width, naturalHeight: height } = picture;
    // Up to eight times: a picture of a few pixels stays one that can be recognised
    const times = Math.min(8, 0.9 * innerWidth / width, 0.7 * innerHeight / height);
    Object.assign(large, { src: picture.src, alt: picture.alt, width: times * width, height: times * height });
    words.textContent = caption ? caption.textContent : picture.alt;
    say(dialog, "aria-label", picture.alt);
  };
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) show(shown + by);
  });
  pictures.forEach((picture, index) => {
    const button = made("button", { type: "button", className: "zoom", title: "Enlarge" });
    say(button, "aria-haspopup", "dialog");
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener("click", () => { document.body.append(dialog); show(index); dialog.showModal(); close.focus(); });
  });
}

// What scrolls must be reached by keyboard; what does not would be one stop too many
const reach = new ResizeObserver(entries => entries.forEach(({ target }) => {
  if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight) {
    target.tabIndex = 0;
    say(target, "role", "group");
    say(target, "aria-label", `${target.closest("section")?.querySelector("h2")?.textContent ?? "Part"}, scrolls`);
  } else ["tabindex", "role", "aria-label"].forEach(name => target.removeAttribute(name));
}));

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("table.filterable").forEach(filterable);
const pictures = [...document.querySelectorAll("main img")];
if (pictures.length) enlargeable(pictures);
document.querySelectorAll(".scroll, pre").forEach(box => reach.observe(box));
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach(details => { details.open = true; });
});
addEventListener("afterprint", () => closed.forEach(details => { details.open = false; }));
