// Draws on each card the address that redeems its code. The code stands in the fragment, which no server sees.
import "./copy.mjs";
import { drawQr } from "./qr.mjs";

document.querySelectorAll("[data-code]").forEach((card) => {
  const picture = card.querySelector("[data-qr]");
  drawQr(picture, card.dataset.code, picture.dataset.qr);
  picture.hidden = false;
});
