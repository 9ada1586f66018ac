// One galaxy, one button a class. Answers go to Python, which saves them and sends the next scene.

function element(tag, className, parent) {
  const node = document.createElement(tag);
  node.className = className;
  parent.append(node);
  return node;
}

function render({ model, el }) {
  const classes = model.get("classes");

  const root = element("div", "galaxy-vote", el);
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Classify galaxies");
  // JupyterLab has its own use for the number keys (headings); inside the widget they are answers.
  root.setAttribute("data-lm-suppress-shortcuts", "true");

  const picture = element("img", "galaxy-vote-picture", root);
  const panel = element("div", "galaxy-vote-panel", root);
  const progress = element("progress", "galaxy-vote-progress", panel);
  progress.setAttribute("aria-label", "Galaxies classified");
  const count = element("div", "galaxy-vote-count", panel);
  const buttons = classes.map((name, i) => {
    const button = element("button", "galaxy-vote-button", panel);
    button.type = "button";
    const label = name.replaceAll("_", " ");
    button.setAttribute("aria-label", label);
    button.setAttribute("aria-keyshortcuts", String(i + 1));
    element("kbd", "", button).textContent = String(i + 1);
    element("span", "", button).textContent = label;
    button.addEventListener("click", () => vote(i));
    return button;
  });
  const back = element("button", "galaxy-vote-button galaxy-vote-undo", panel);
  back.type = "button";
  back.setAttribute("aria-label", "Take the last answer back");
  back.setAttribute("aria-keyshortcuts", "Backspace");
  element("kbd", "", back).textContent = "Backspace";
  element("span", "", back).textContent = "take the last answer back";
  back.addEventListener("click", undo);
  element("div", "galaxy-vote-hint", panel).textContent =
    "Click the galaxy, or tab to it, and the keys answer too.";
  const message = element("div", "galaxy-vote-message", panel);
  message.setAttribute("role", "status");
  const problem = element("div", "galaxy-vote-problem", panel);
  problem.setAttribute("role", "alert");

  // An answer belongs to the galaxy on the screen: nothing is taken until Python shows the next.
  let waiting = false;
  let address = null;

  function send(content) {
    if (waiting) return;
    waiting = true;
    root.setAttribute("aria-busy", "true");
    model.send(content);
  }

  function vote(i) {
    const { id } = model.get("scene");
    if (id !== null) send({ kind: "vote", id, answer: classes[i] });
  }

  function undo() {
    if (model.get("scene").done > 0) send({ kind: "undo" });
  }

  function draw() {
    const scene = model.get("scene");
    waiting = false;
    root.removeAttribute("aria-busy");
    const finished = scene.id === null;
    if (address) URL.revokeObjectURL(address);
    address = finished ? null : URL.createObjectURL(new Blob([scene.image], { type: "image/png" }));
    picture.hidden = finished;
    if (finished) {
      picture.removeAttribute("src");
      picture.alt = "";
    } else {
      picture.src = address;
      picture.alt = `Galaxy ${scene.id}, to be classified`;
    }
    progress.max = scene.total;
    progress.value = scene.done;
    count.textContent = `${scene.done} of ${scene.total}`;
    // Not `disabled`: a disabled button loses the focus, and with it the keyboard.
    for (const button of buttons) button.setAttribute("aria-disabled", String(finished));
    back.setAttribute("aria-disabled", String(scene.done === 0));
    message.textContent = [scene.message, finished ? "All galaxies are classified." : ""].join(" ");
    problem.textContent = scene.problem;
  }

  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const i = Number(event.key) - 1;
    const isAnswer = /^[1-9]$/.test(event.key) && i < classes.length;
    if (!isAnswer && event.key !== "Backspace") return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat) return; // a key held down is one answer
    if (isAnswer) vote(i);
    else undo();
  });
  model.on("change:scene", draw);
  draw();
  return () => {
    model.off("change:scene", draw);
    if (address) URL.revokeObjectURL(address);
  };
}

export default { render };
