// Enhancement only: every page works without it. A button beside each password field shows what was typed.
for (const field of document.querySelectorAll("input[type=password][data-show]")) {
  const button = document.createElement("button");
  const frame = document.createElement("span");
  button.type = "button";
  button.className = "reveal";
  button.setAttribute("aria-controls", field.id);
  const tell = () => {
    const shown = field.type === "text";
    button.textContent = shown ? field.dataset.hide : field.dataset.show;
    button.setAttribute("aria-pressed", String(shown));
  };
  button.addEventListener("click", () => {
    field.type = field.type === "password" ? "text" : "password";
    tell();
    field.focus();
  });
  // Sent hidden, so that no browser remembers it as a plain field.
  field.form?.addEventListener("submit", () => { field.type = "password"; });
  frame.className = "secret";
  const wasFocused = document.activeElement === field;
  field.replaceWith(frame);
  frame.append(field, button);
  if (wasFocused) field.focus();
  tell();
}
