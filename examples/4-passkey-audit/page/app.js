// The page: its tabs and forms, the overlay, the profile, and the countdown to the end of the token. Text from the server
// is only ever set as text. Not here: requests, ceremonies and storage (client.js).

import { AuthAPI, Refused, TokenManager, WebAuthnClient } from "./client.js";

export { AuthAPI, TokenManager, WebAuthnClient };

const WARN_BELOW = 5 * 60; // seconds
const TOAST = 5000;

// -- what it says

const MESSAGES = {
  invalid: () => "Check the marked fields.",
  cancelled: ({ kind }) =>
    kind === "get"
      ? "You're not logged in: the request was closed, timed out, or found no passkey. Try again when you're ready."
      : "Nothing happened: the request was closed or timed out. Try again when you're ready.",
  registration_refused: () => "We couldn't register you with these details. If you already have an account, log in instead.",
  login_refused: () => "We couldn't log you in. Check the email address and use the passkey you created for it.",
  login_outdated: () => "That took too long. Try again.",
  passkey_known: () => "This device already has a passkey for your account. Log in instead.",
  wrong_address: ({ rp }) => `Passkeys for ${rp} don't work at ${location.hostname}. Open this page at ${rp} instead.`,
  unsuitable: () => "This authenticator can't be used here. Try another device or security key.",
  unsupported: () =>
    isSecureContext
      ? "This browser doesn't support passkeys. Use a different browser or update this one."
      : "Passkeys need a secure connection. Open this page with https.",
  throttled: ({ until }) => `Too many attempts. ${again(until)}`,
  unavailable: ({ until }) => `The service isn't available at the moment. ${again(until)}`,
  offline: () => "We couldn't reach the service. Check your connection and try again.",
  fault: () => "Something went wrong. Try again in a moment.",
  session_refused: () => "You've been logged out. Log in again to continue.",
  session_ended: () => "Your session has ended. Log in again to continue.",
  logged_out: () => "You're logged out.",
};
const LEADS_TO_LOGIN = ["registration_refused", "passkey_known"];
const TONES = { cancelled: "plain", session_ended: "plain", session_refused: "plain", logged_out: "good" };
const NO_DEVICE =
  "This device has no fingerprint, face or PIN sign-in set up. You can use a security key or your phone instead.";

const count = (number, unit) => `${number} ${unit}${number === 1 ? "" : "s"}`;
const minutes = (seconds) => count(Math.ceil(seconds / 60), "minute");

function again(until) {
  if (!until) return "Wait a moment, then try again.";
  const seconds = Math.ceil((until - Date.now()) / 1000);
  const wait = seconds < 100 ? count(seconds, "second") : minutes(seconds);
  return `Try again in ${wait}, at ${until.toLocaleTimeString("en-GB", { timeStyle: "short" })}.`;
}

// -- the page

const api = new AuthAPI();
const client = new WebAuthnClient(api);
const tokens = new TokenManager();
const at = (id) => document.getElementById(id);
const TITLE = document.title;
let busy = false; // one ceremony at a time, however often a button is pressed
let timer, hiding, warned;

function view(name) {
  const inside = name === "profile";
  at("entry").hidden = inside;
  at("profile").hidden = !inside;
  at("manage").hidden = inside; // the profile has a button for it
  document.querySelector("main").dataset.page = name;
  document.title = inside ? "Your profile" : TITLE;
}

function choose(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    at(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (name === "login") at("login_email").value ||= at("email").value;
  view(name);
}

/** "bad" interrupts a screen reader, "good" waits. */
function toast(tone, text) {
  clearTimeout(hiding);
  const clear = () => { at("toast-good").textContent = at("toast-bad").textContent = ""; };
  clear();
  at(`toast-${tone}`).textContent = text;
  hiding = setTimeout(clear, TOAST);
}

/** Shown beside a form until something else happens there; without a code, nothing is. */
function notice(place, code, text = "", tone = "bad") {
  const box = at(`notice-${place}`);
  box.hidden = !code;
  box.dataset.code = code ?? "";
  box.className = `notice ${tone}`;
  box.querySelector("use").setAttribute("href", tone === "good" ? "#icon-good" : "#icon-bad");
  box.querySelector("p").textContent = text;
  if (place === "register") box.querySelector("button").hidden = !LEADS_TO_LOGIN.includes(code);
}

/** Marks the fields with these names, the first with the focus; whether there are any. */
function mark(form, names) {
  const wrong = [...form.querySelectorAll("input")].filter((input) => names.includes(input.name));
  for (const input of form.querySelectorAll("input")) clearMark(input);
  for (const input of wrong) {
    input.setAttribute("aria-invalid", "true");
    const sentence = at(`wrong-${input.id}`);
    sentence.textContent = sentence.dataset.text;
  }
  wrong[0]?.focus();
  return wrong.length > 0;
}

function clearMark(input) {
  input.removeAttribute("aria-invalid");
  at(`wrong-${input.id}`).textContent = "";
}

function explain(name, refused) {
  const form = at(name).querySelector("form");
  const isMarked = mark(form, refused.fields ?? []);
  const isKnown = refused.code in MESSAGES && (isMarked || refused.code !== "invalid");
  if (!isKnown) console.error(refused);
  const code = isKnown ? refused.code : "fault";
  const text = MESSAGES[code](refused);
  const tone = TONES[code] ?? "bad";
  notice(name, code, text, tone);
  toast(tone === "bad" ? "bad" : "good", text);
  if (!isMarked) form.querySelector("button.main").focus();
}

// -- registering and logging in

/** The overlay over the page while the authenticator is asked. Cancel and Escape close it until it has answered. */
class Overlay {
  #stop = new AbortController();
  #isAnswered = false;
  signal = this.#stop.signal;
  answered = () => { this.#isAnswered = true; };

  open(step) {
    this.#isAnswered = false;
    at("overlay").oncancel = (event) => { event.preventDefault(); this.#cancel(); };
    at("cancel").onclick = () => this.#cancel();
    if (!at("overlay").open) at("overlay").showModal();
    at("step").textContent = step;
  }

  close() {
    at("overlay").close();
  }

  #cancel() {
    if (!this.#isAnswered) this.#stop.abort();
  }
}

async function once(name, work) {
  if (busy) return;
  busy = true;
  const overlay = new Overlay();
  notice(name);
  mark(at(name), []);
  try {
    await work(overlay);
  } catch (refused) {
    overlay.close();
    explain(name, refused);
  } finally {
    overlay.close();
    busy = false;
  }
}

async function register(person, overlay) {
  overlay.open("Step 1 of 2: create your passkey.");
  const made = await client.register(person, overlay);
  console.info(`User ID: ${made.id}`);
  at("register").querySelector("form").reset();
  at("login_email").value = made.email;
  try {
    await login(made.email, overlay, "Step 2 of 2: log in with your new passkey.");
  } catch (refused) {
    overlay.close();
    const more = refused.code === "cancelled" ? "Log in with your new passkey." : MESSAGES[refused.code]?.(refused);
    const text = `Your account is ready. ${more ?? MESSAGES.fault()}`;
    choose("login");
    notice("login", "registered", text, "good");
    toast("good", text);
    at("login").querySelector("button.main").focus();
  }
}

async function login(email, overlay, step = "Use your fingerprint, face, PIN or security key.") {
  overlay.open(step);
  tokens.save(await client.login(email, overlay));
  overlay.close();
  notice("login");
  toast("good", "You're logged in.");
  openProfile();
  at("profile").querySelector("h1").focus();
}

function typed(form) {
  const inputs = [...form.querySelectorAll("input")];
  for (const input of inputs) input.value = input.value.trim();
  const wrong = inputs.filter((input) => !input.checkValidity()).map((input) => input.name);
  if (!mark(form, wrong)) return Object.fromEntries(new FormData(form));
  toast("bad", MESSAGES.invalid());
}

function submitted(event) {
  event.preventDefault();
  if (busy) return;
  const given = typed(event.target);
  if (!given) return;
  if (event.target.closest("#login")) return once("login", (overlay) => login(given.email, overlay));
  const person = { ...given, date_of_birth: `${given.date_of_birth}T00:00:00Z` };
  return once("register", (overlay) => register(person, overlay));
}

// -- the profile

function openProfile() {
  fill(tokens.user);
  view("profile");
  warned = false;
  clearInterval(timer);
  timer = setInterval(tick, 1000);
  tick();
  details();
}

/** What login does not answer: the other fields, and whether the token is still accepted. */
async function details() {
  const { token, userId } = tokens;
  if (!token) return;
  notice("profile");
  try {
    const user = await api.user(userId, token);
    if (tokens.token === token) fill(user);
  } catch (refused) {
    if (tokens.token !== token) return;
    if (refused.code === "session_refused") leave("session_refused");
    else notice("profile", refused.code, MESSAGES[refused.code]?.(refused) ?? MESSAGES.fault());
  }
}

function fill(user) {
  for (const place of at("profile").querySelectorAll("[data-field]")) {
    const value = user[place.dataset.field];
    if (value === undefined) continue;
    place.textContent = place.localName === "time" ? date(value, place.dataset.zone) : value;
    if (place.localName === "time") place.dateTime = value;
  }
}

function date(text, timeZone) {
  const found = new Date(text);
  return Number.isNaN(found.getTime()) ? text : found.toLocaleDateString("en-GB", { dateStyle: "long", timeZone });
}

function tick() {
  const left = tokens.secondsLeft;
  if (!left) return leave("session_ended");
  const [hour, minute, second] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  const two = (number) => String(number).padStart(2, "0");
  at("left").textContent = hour ? `${hour}:${two(minute)}:${two(second)}` : `${minute}:${two(second)}`;
  const isUrgent = left < WARN_BELOW;
  at("countdown").classList.toggle("urgent", isUrgent);
  at("countdown").querySelector(".soon").hidden = !isUrgent;
  if (isUrgent && !warned) toast("good", `Your session ends in ${minutes(left)}.`);
  warned = isUrgent;
}

function leave(code) {
  clearInterval(timer);
  at("login_email").value = tokens.user.email ?? "";
  tokens.clear();
  for (const place of at("profile").querySelectorAll("[data-field]")) place.textContent = "";
  choose("login");
  explain("login", new Refused(code));
}

async function copyId() {
  try {
    await navigator.clipboard.writeText(tokens.userId);
    toast("good", "User ID copied.");
  } catch {
    getSelection().selectAllChildren(at("profile").querySelector("code"));
  }
}

async function warn() {
  const text = WebAuthnClient.isSupported()
    ? (await WebAuthnClient.isPlatformAuthenticatorAvailable()) ? "" : NO_DEVICE
    : MESSAGES.unsupported();
  at("warning").hidden = !text;
  at("warning").querySelector("span").textContent = text;
}

// -- the beginning

function moved(event) {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const here = tabs.indexOf(event.target);
  const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const tab = tabs.at(to % tabs.length);
  choose(tab.getAttribute("aria-controls"));
  tab.focus();
}

for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => choose(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", moved);
}
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", submitted);
  form.addEventListener("input", (event) => clearMark(event.target));
}
at("date_of_birth").max = new Date().toISOString().slice(0, 10);
at("notice-register").querySelector("button").addEventListener("click", () => {
  choose("login");
  at("login_email").focus();
});
at("notice-profile").querySelector("button").addEventListener("click", details);
at("logout").addEventListener("click", () => {
  api.end(tokens.token);
  leave("logged_out");
});
at("copy").addEventListener("click", copyId);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !at("profile").hidden) tick(); // a tab in the background is late
});
warn();
if (tokens.token) openProfile();
