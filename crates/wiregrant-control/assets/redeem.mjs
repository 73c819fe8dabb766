// The page that takes an access code. It works without this; with it, a code in the fragment is filled in, and the page can
// be handed on to a phone.

const input = document.querySelector("#code");
const handOver = document.querySelector("#hand-over");
const picture = document.querySelector("#hand-over-qr");

/** The 20 symbols of a code, however it was typed; nothing while it is not whole. */
function wholeCode(text) {
  const symbols = text.toUpperCase().replaceAll(/[\s-]/g, "");
  return /^[0-9A-Z]{20}$/.test(symbols) ? symbols.match(/.{5}/g).join("-") : null;
}

function takeCodeFromFragment() {
  const code = wholeCode(location.hash.slice(1));
  if (!code) return;
  input.value = code;
  // The code is a secret: it does not stay in the address bar, nor in the history.
  history.replaceState(null, "", location.pathname + location.search);
}

async function drawHandOver() {
  const code = wholeCode(input.value);
  handOver.hidden = code === null;
  if (code === null || !handOver.open) return;
  const { drawQr } = await import("./qr.mjs");
  drawQr(picture, `${location.origin}${location.pathname}#${code}`, picture.dataset.label);
}

takeCodeFromFragment();
drawHandOver();
input.addEventListener("input", drawHandOver);
handOver.addEventListener("toggle", drawHandOver);
addEventListener("hashchange", () => { takeCodeFromFragment(); drawHandOver(); });
