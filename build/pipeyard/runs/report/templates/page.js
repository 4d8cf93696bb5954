"use strict";
// Embedded pages have no scripts, so their height is set from here, and again whenever their content changes it.
function fit(frame) {
  const page = frame.contentDocument;
  if (!page || !page.body) return;
  const size = () => {
    const height = Math.max(page.documentElement.offsetHeight, page.body.scrollHeight);
    frame.style.height = Math.min(Math.max(height + 4, 60), 6000) + "px";
  };
  size();
  new ResizeObserver(size).observe(page.documentElement);
}
for (const frame of document.querySelectorAll("iframe")) {
  frame.addEventListener("load", () => fit(frame));
  if (frame.contentDocument && frame.contentDocument.readyState === "complete") fit(frame);
}
// Artifacts' files have no ending, so a browser would show their source: the page itself hands out a copy.
for (const link of document.querySelectorAll("a.alone")) {
  const frame = link.closest(".frame").querySelector("iframe");
  link.addEventListener("click", () => {
    link.href = URL.createObjectURL(new Blob([frame.srcdoc], { type: "text/html" }));
  }, { once: true });
}
function reveal() {
  const step = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (step && step.tagName === "DETAILS") {
    step.open = true;
    step.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);
reveal();
// A second click on the same box changes no hash, and must open its step all the same.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link && link.hash && link.hash === location.hash) reveal();
});
for (const button of document.querySelectorAll("button[data-open]")) {
  button.addEventListener("click", () => {
    for (const step of document.querySelectorAll("details.step")) step.open = button.dataset.open === "true";
  });
}
