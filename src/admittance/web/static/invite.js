"use strict";

const form = document.getElementById("invite");
const message = document.getElementById("message");
const button = form.querySelector("button");
const secret = window.location.hash.slice(1);

function show(text, kind) {
  message.textContent = text;
  message.className = kind;
}

function value(id) {
  return document.getElementById(id).value;
}

async function accept() {
  const response = await fetch("/api/invites/accept", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    credentials: "omit",
    body: JSON.stringify({
      secret: secret,
      email: value("email"),
      password: value("password"),
      display_name: value("display-name"),
    }),
  });
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(answer.detail || "The server refused the request.");
  }
  return answer;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (value("password") !== value("again")) {
    show("The two passwords differ.", "error");
    return;
  }
  button.disabled = true;
  show("One moment …", "");
  try {
    const account = await accept();
    window.history.replaceState(null, "", window.location.pathname);
    form.hidden = true;
    show(`Your account ${account.email} is ready. You can log in with the app, or with: admit account login`, "success");
  } catch (error) {
    const offline = error instanceof TypeError;
    show(offline ? "The server does not answer. Try again; nothing is lost." : error.message, "error");
  } finally {
    button.disabled = false;
  }
});

if (!secret) {
  form.hidden = true;
  show("This link is incomplete: the part behind # is missing. Open the whole link that you were given.", "error");
}
