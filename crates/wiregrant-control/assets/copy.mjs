// Secrets and long texts that are copied with one press: `<button data-copy="id of an element">`, hidden without this.

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const words = button.closest("[data-copied]").dataset;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = words.copied;
  } catch {
    // Pages without TLS have no clipboard: what is selected can be copied by hand.
    getSelection().selectAllChildren(source);
    button.textContent = words.byHand;
  }
}

document.querySelectorAll("button[data-copy]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
});
