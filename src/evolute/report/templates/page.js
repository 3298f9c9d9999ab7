"use strict";
// The page is complete without this. It lets one point at the map, and hide rounds in it.
(function () {
  const map = document.querySelector("#map svg[viewBox='0 0 720 720']");
  const said = document.getElementById("pointed");
  if (!map || !said) return;
  const show = (event) => {
    const title = event.target.querySelector && event.target !== map && event.target.querySelector("title");
    if (!title) return;
    said.hidden = false;
    said.textContent = title.textContent;
    map.querySelectorAll(".here").forEach((mark) => mark.classList.remove("here"));
    event.target.classList.add("here");
  };
  map.addEventListener("pointerover", show);
  map.addEventListener("click", show);
  for (const entry of document.querySelectorAll("#legend span[data-round]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...entry.childNodes);
    button.setAttribute("aria-pressed", "true");
    button.title = "Show or hide";
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      map.classList.toggle("no-" + entry.dataset.round, !on);
    });
    entry.replaceWith(button);
  }
})();
