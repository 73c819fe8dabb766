// "Waiting for your node" turns by itself: asks every few seconds whether it has joined. Without this there is a link.
import "./copy.mjs";

const SECONDS = 3;
const waiting = document.querySelector("[data-watch]");

async function look() {
  let node = null;
  try {
    const answer = await fetch(waiting.dataset.watch, { headers: { accept: "application/json" } });
    ({ node } = await answer.json());
  } catch {
    // Asked again: a control plane that restarts is back in a moment.
  }
  if (!node) {
    setTimeout(look, SECONDS * 1000);
    return;
  }
  const joined = document.querySelector("[data-joined]");
  joined.querySelector("code").textContent = node;
  joined.hidden = false;
  waiting.hidden = true;
}

if (waiting) look();
