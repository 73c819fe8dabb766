// Makes a device's keys in this browser, asks for its place with the public half, and puts the file together here. The private
// key is in no request.
import "./copy.mjs";
import { newKeyPair } from "./keys.mjs";

const HOLE = "PUT-YOUR-PRIVATE-KEY-HERE";
const made = document.querySelector("#made");
const words = made.dataset;
let unsaved = false;

function say(form, text) {
  const line = form.querySelector("[data-says]");
  line.textContent = text;
  line.hidden = text === "";
}

/** Asks for a place. What fails can be tried again with the same keys, and gets the same place if it was given already. */
async function ask(form, publicKey) {
  const body = new URLSearchParams(new FormData(form));
  body.set("public_key", publicKey);
  let response;
  try {
    response = await fetch(form.action, { method: "POST", body, headers: { accept: "application/json" } });
  } catch {
    throw new Error(words.offline);
  }
  const answer = await response.json().catch(() => ({ message: words.offline }));
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

function fill(name, text) {
  made.querySelectorAll(`[data-is="${name}"]`).forEach((element) => { element.textContent = text; });
}

function showLogin(login) {
  const card = made.querySelector("#made-socks5");
  card.hidden = !login;
  if (!login) return;
  Object.entries(login).forEach(([name, value]) => fill(name, value));
  made.querySelector("#made-telegram").href = login.link;
}

function show({ file, name, socks5 }, privateKey) {
  const text = file.replace(HOLE, privateKey);
  const download = made.querySelector("#download");
  download.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  download.download = name;
  download.addEventListener("click", () => { unsaved = false; });
  fill("file", text);
  showLogin(socks5);
  const details = made.querySelector("#made-qr");
  const draw = async () => {
    if (!details.open) return;
    const { drawQr } = await import("./qr.mjs");
    const picture = details.querySelector(".qr");
    drawQr(picture, text, picture.dataset.label);
  };
  details.addEventListener("toggle", draw);
  details.open = matchMedia("(min-width: 48rem)").matches;
  unsaved = true;
  document.querySelector("#before").hidden = true;
  made.hidden = false;
  made.querySelector("h1").focus();
  scrollTo(0, 0);
}

function enable(form) {
  let keys = null;
  form.querySelectorAll("[data-script]").forEach((element) => { element.hidden = false; });
  form.addEventListener("submit", async (event) => {
    if (event.submitter?.name === "own") return;
    event.preventDefault();
    const button = form.querySelector("button[data-script]");
    if (button.disabled) return;
    button.disabled = true;
    say(form, words.making);
    try {
      keys ??= await newKeyPair();
      show(await ask(form, keys.publicKey), keys.privateKey);
      keys = null;
    } catch (error) {
      say(form, error.message);
    } finally {
      button.disabled = false;
    }
  });
}

document.querySelectorAll("form[data-makes]").forEach(enable);
addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
made.querySelector("#saved").addEventListener("click", () => { unsaved = false; });
